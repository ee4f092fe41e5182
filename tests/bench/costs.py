"""Cases, sizes and costs of the scheduler benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.table import Table

from tests.bench.shapes import BARE, WITH_REQUESTS, ClusterShape
from tests.bench.strategies import STRATEGIES, Strategy
from tests.bench.variants import VARIANTS

WORKERS, GPUS = 16, 8  # of each cluster, of each node
WALL = ("pods/s", "slowdown, wall", "of the guide's, wall")
CPU = ("scheduler ms/pod", "slowdown, CPU", "of the guide's, CPU")
COLUMNS = (*WALL, *CPU, "nodes/minimum")
RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, kw_only=True)
class Case:
    """Clusters of one shape under one strategy."""

    strategy: Strategy
    shape: ClusterShape = WITH_REQUESTS

    @property
    def name(self) -> str:
        """Return the key in the record."""
        return self.strategy.name if self.shape.requests else f"{self.strategy.name}, no CPU requests"

    @property
    def title(self) -> str:
        """Return the row title in tables."""
        return f"{self.strategy.title}{self.name.removeprefix(self.strategy.name)}"


_NAMED = {strategy.name: strategy for strategy in (*STRATEGIES, *VARIANTS)}
# `keep` is the default without the Dask scheduler's terms. Capacity hints are left out: a pod without a worker group,
# as here, gets none.
CASES = (
    *(Case(strategy=_NAMED[name]) for name in ("none", "guide", "keep", "default")),
    *(Case(strategy=_NAMED[name], shape=BARE) for name in ("keep", "default")),
)


@dataclass(frozen=True, kw_only=True)
class Size:
    """Number of nodes, worker pods in clusters of `WORKERS`, and rounds for each strategy."""

    nodes: int
    pods: int
    rounds: int

    @property
    def clusters(self) -> tuple[str, ...]:
        """Return the names of the clusters."""
        return tuple(f"gpu-{number:04}" for number in range(self.pods // WORKERS))


# The size of the record in `results`: about ten minutes on two cores.
WHOLE = Size(nodes=500, pods=2000, rounds=3)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Measurement of one batch of a strategy in one round.

    Attributes:
        strategy: Name of the case.
        batch: Index of the batch; kube-scheduler scores more pods in later batches.
        pods: Number of worker pods.
        seconds: Wall time from the first request to the last binding.
        scheduler_seconds: Processor time of kube-scheduler in that interval.
        nodes_over_minimum: Mean over the clusters; each fits two nodes.
    """

    strategy: str
    round: int
    batch: int
    pods: int
    seconds: float
    scheduler_seconds: float
    nodes_over_minimum: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of a strategy, each batch in its fastest round, and the difference to no terms at all.

    Attributes:
        strategy: Name of the case.
        pods_per_second: Worker pods created and bound.
        scheduler_ms: Processor time of kube-scheduler for each worker pod.
        slowdown: Additional wall time, as a share of the wall time without terms.
        scheduler_slowdown: Additional processor time of kube-scheduler, as a share of that without terms.
        of_the_guide: `slowdown` over that of the guide's affinity.
        scheduler_of_the_guide: `scheduler_slowdown` over that of the guide's affinity.
        nodes_over_minimum: Mean over the clusters; each fits two nodes.
    """

    strategy: str
    pods_per_second: float
    scheduler_ms: float
    slowdown: float
    scheduler_slowdown: float
    of_the_guide: float
    scheduler_of_the_guide: float
    nodes_over_minimum: float


def costs(samples: Sequence[Sample]) -> list[Cost]:
    """Return the cost of each strategy; the samples must include `none` and `guide`."""
    names = list(dict.fromkeys(sample.strategy for sample in samples))
    pods = sum(sample.pods for sample in samples if (sample.strategy, sample.round) == (names[0], 0))
    wall = {name: _least(samples, name, lambda sample: sample.seconds) / pods for name in names}
    cpu = {name: _least(samples, name, lambda sample: sample.scheduler_seconds) / pods for name in names}
    return [
        Cost(
            strategy=name,
            pods_per_second=round(1 / wall[name], 1),
            scheduler_ms=round(1000 * cpu[name], 3),
            slowdown=round(wall[name] / wall["none"] - 1, 3),
            scheduler_slowdown=round(cpu[name] / cpu["none"] - 1, 3),
            of_the_guide=round((wall[name] - wall["none"]) / (wall["guide"] - wall["none"]), 3),
            scheduler_of_the_guide=round((cpu[name] - cpu["none"]) / (cpu["guide"] - cpu["none"]), 3),
            nodes_over_minimum=round(
                mean(sample.nodes_over_minimum for sample in samples if sample.strategy == name), 3
            ),
        )
        for name in names
    ]


def _least(samples: Sequence[Sample], name: str, figure: Callable[[Sample], float]) -> float:
    """Return the sum over the batches, each in its fastest round."""
    least: dict[int, float] = {}
    for sample in samples:
        if sample.strategy == name:
            least[sample.batch] = min(figure(sample), least.get(sample.batch, figure(sample)))
    return sum(least.values())


def show(rows: Sequence[Cost], size: Size) -> None:
    """Print the table."""
    title = f"{size.pods} pods in clusters of {WORKERS} on {size.nodes} nodes"
    table = Table(title=f"{title}, each batch in the best of {size.rounds} rounds")
    table.add_column("workers get")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for cost in rows:
        table.add_row(
            cost.strategy,
            f"{cost.pods_per_second:.0f}",
            f"{cost.slowdown:.0%}",
            f"{cost.of_the_guide:.0%}",
            f"{cost.scheduler_ms:.2f}",
            f"{cost.scheduler_slowdown:.0%}",
            f"{cost.scheduler_of_the_guide:.0%}",
            f"{cost.nodes_over_minimum:.2f}",
        )
    Console(width=120).print(table)


def folder(size: Size, out: Path | None) -> Path | None:
    """Return the folder of the record: `out`, or `results` for the whole size, or None."""
    return out or (RESULTS if size == WHOLE else None)
