"""What a worker's terms cost the scheduler: pods created and bound in a large cluster, strategy by strategy.

The strategies take turns in each round, and every round begins with another one, so that what else the machine
does falls on all of them alike. Pods come in batches that are timed one by one, and of each batch the least
disturbed round counts: what a machine does beside only ever adds. kwok and the controllers rest meanwhile: the
nodes are ready and nobody asks them anything, which leaves the API server, the scheduler and the webhook. Two
clocks are read: the wall's, and the scheduler's own processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.bench.machine import machine, versions
from tests.bench.placements import Placements
from tests.bench.plane import control_plane
from tests.bench.room import RACK, namespace, rest, worker
from tests.bench.strategies import SPELLING, STRATEGIES, Strategy, written
from tests.bench.traces import BARE, WITH_REQUESTS, Request, Shape
from tests.e2e.bed.nodes import NODES
from tests.e2e.bed.waiting import until
from tests.e2e.webhook_process import installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.e2e.bed.bed import Bed
    from tests.e2e.bed.process import Process

WORKERS, GPUS = 16, 8  # of each cluster, of each node
BATCH = 25  # clusters that are timed together: 400 pods, some seconds
RACK_SIZE = 16  # nodes
CREATORS = 8  # threads that create pods: enough that the scheduler is never without work
WALL = ("pods/s", "slowdown, wall", "of the guide's, wall")
CPU = ("scheduler ms/pod", "slowdown, CPU", "of the guide's, CPU")
COLUMNS = (*WALL, *CPU, "nodes/fewest")
RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is measured: workers of a shape under a strategy."""

    strategy: Strategy
    shape: Shape = WITH_REQUESTS

    @property
    def name(self) -> str:
        """For the table."""
        return self.strategy.name if self.shape.requests else f"{self.strategy.name}, no CPU requests"


DEFAULT = next(each for each in STRATEGIES if each.name == "default")
# Without capacity hints: worker groups get them, and pods without a group, as here, would be the default's once more.
CASES = (*(Case(strategy=each) for each in STRATEGIES if not each.hinted), Case(strategy=DEFAULT, shape=BARE))


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is scheduled: clusters of `WORKERS` on nodes in racks, `rounds` times for each strategy."""

    nodes: int
    pods: int
    rounds: int

    @property
    def clusters(self) -> tuple[Request, ...]:
        """The clusters that come."""
        return tuple(Request(cluster=f"gpu-{number:04}", workers=WORKERS) for number in range(self.pods // WORKERS))


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One batch of a strategy in one round.

    Attributes:
        batch: Its number; the more there are already, the more there is to score.
        seconds: From the first request to the last binding.
        scheduler_seconds: Processor time of the scheduler meanwhile.
        nodes_over_fewest: Mean over the clusters; each would fit two nodes.
    """

    strategy: str
    round: int
    batch: int
    pods: int
    seconds: float
    scheduler_seconds: float
    nodes_over_fewest: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A strategy, each batch in its least disturbed round, and what it adds to no terms at all.

    Attributes:
        pods_per_second: Created and bound.
        scheduler_ms: Processor time of the scheduler for each pod.
        slowdown: How much longer than without terms, 0.2 is a fifth; by the wall.
        scheduler_slowdown: The same by the scheduler's processor time.
        of_the_guide: `slowdown` over that of the guide's affinity.
        scheduler_of_the_guide: The same for the scheduler's processor time.
        nodes_over_fewest: Mean over the clusters; each would fit two nodes.
    """

    strategy: str
    pods_per_second: float
    scheduler_ms: float
    slowdown: float
    scheduler_slowdown: float
    of_the_guide: float
    scheduler_of_the_guide: float
    nodes_over_fewest: float


WHOLE = Size(nodes=1000, pods=5000, rounds=3)  # its record is kept beside the benchmark


def measure(cases: Sequence[Case], size: Size) -> tuple[list[Sample], dict[str, str]]:
    """All rounds on a fresh control plane, and the versions of what ran."""
    with control_plane() as bed, installed(bed), _nodes(bed, size):
        spaces = {each.name: namespace(bed, each.strategy.annotations) for each in cases}
        rest(bed)
        placements = Placements(bed.plane)
        placements.start()
        samples = []
        for number in range(size.rounds):
            shift = number * (len(cases) // 2) % len(cases)
            for each in (*cases[shift:], *cases[:shift]):
                samples += _samples(bed, placements, each, spaces[each.name], (size, number))
                print(f"round {number}: {each.name}", flush=True)
        placements.stop()
        return samples, versions(bed)


def costs(samples: Sequence[Sample]) -> list[Cost]:
    """Each strategy against `none` and `guide`, which have to be among the samples."""
    names = list(dict.fromkeys(each.strategy for each in samples))
    pods = sum(each.pods for each in samples if (each.strategy, each.round) == (names[0], 0))
    wall = {name: _least(samples, name, lambda each: each.seconds) / pods for name in names}
    cpu = {name: _least(samples, name, lambda each: each.scheduler_seconds) / pods for name in names}
    return [
        Cost(
            strategy=name,
            pods_per_second=round(1 / wall[name], 1),
            scheduler_ms=round(1000 * cpu[name], 3),
            slowdown=round(wall[name] / wall["none"] - 1, 3),
            scheduler_slowdown=round(cpu[name] / cpu["none"] - 1, 3),
            of_the_guide=round((wall[name] - wall["none"]) / (wall["guide"] - wall["none"]), 3),
            scheduler_of_the_guide=round((cpu[name] - cpu["none"]) / (cpu["guide"] - cpu["none"]), 3),
            nodes_over_fewest=round(mean(each.nodes_over_fewest for each in samples if each.strategy == name), 3),
        )
        for name in names
    ]


def _least(samples: Sequence[Sample], name: str, figure: Callable[[Sample], float]) -> float:
    """The sum over the batches, each in the round in which it took least."""
    least: dict[int, float] = {}
    for each in samples:
        if each.strategy == name:
            least[each.batch] = min(figure(each), least.get(each.batch, figure(each)))
    return sum(least.values())


@contextmanager
def _nodes(bed: Bed, size: Size) -> Iterator[None]:
    """Nodes in racks of `RACK_SIZE`, ready."""
    with ExitStack() as stack:
        for first in range(0, size.nodes, RACK_SIZE):
            count, labels = min(RACK_SIZE, size.nodes - first), {RACK: f"rack-{first // RACK_SIZE:02}"}
            stack.enter_context(bed.nodes(count, GPUS, labels))
        until(lambda: _ready(bed) == size.nodes, 300, "the nodes are ready", str)
        yield


def _ready(bed: Bed) -> int:
    return sum(not each["spec"].get("taints") for each in bed.api.items(NODES))


def _samples(bed: Bed, placements: Placements, case: Case, space: str, when: tuple[Size, int]) -> list[Sample]:
    """One round of a strategy, batch by batch; its pods are gone afterwards."""
    size, number = when
    samples = []
    for batch, first in enumerate(range(0, len(size.clusters), BATCH)):
        clusters = size.clusters[first : first + BATCH]
        began = (time.monotonic(), _scheduler_seconds(bed))
        over_fewest = _create(bed, placements, case, space, clusters)
        took = (time.monotonic() - began[0], _scheduler_seconds(bed) - began[1])
        samples.append(
            Sample(
                strategy=case.name,
                round=number,
                batch=batch,
                pods=len(clusters) * WORKERS,
                seconds=round(took[0], 3),
                scheduler_seconds=round(took[1], 2),
                nodes_over_fewest=round(over_fewest, 3),
            )
        )
    _delete(bed, placements, space, size)
    return samples


def _delete(bed: Bed, placements: Placements, space: str, size: Size) -> None:
    """Cluster by cluster: thousands of pods at once take the API server longer than a client waits."""
    for request in size.clusters:
        only = f"dask.org/cluster-name={request.cluster}"
        bed.api.delete(f"/api/v1/namespaces/{space}/pods", gracePeriodSeconds="0", labelSelector=only)
        placements.gone((space, request.cluster))


def _create(bed: Bed, placements: Placements, case: Case, space: str, clusters: Sequence[Request]) -> float:
    """Create clusters and wait until they are bound; the mean of their nodes over the fewest."""
    path = f"/api/v1/namespaces/{space}/pods"
    pods = [
        worker(f"{request.cluster}-{index}", request, case.shape, case.strategy.affinity)
        for request in clusters
        for index in range(request.workers)
    ]
    with ThreadPoolExecutor(CREATORS) as creators:
        list(creators.map(lambda pod: bed.api.create(path, pod), pods))
    stood = [placements.nodes((space, request.cluster), request.workers) for request in clusters]
    return mean(len(set(nodes)) / (WORKERS / GPUS) for nodes in stood)


def _scheduler_seconds(bed: Bed) -> float:
    return _processor_seconds(next(each for each in bed.plane.processes if each.name == "kube-scheduler"))


def _processor_seconds(process: Process) -> float:
    """User and system time of a process; the fields are counted behind its name, which may hold anything."""
    fields = Path(f"/proc/{process.child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(found: Sequence[Cost], size: Size) -> None:
    """The table."""
    what = f"{size.pods} pods in clusters of {WORKERS} on {size.nodes} nodes"
    table = Table(title=f"{what}, each batch in the best of {size.rounds} rounds")
    table.add_column("workers get")
    for title in COLUMNS:
        table.add_column(title, justify="right")
    for each in found:
        table.add_row(
            each.strategy,
            f"{each.pods_per_second:.0f}",
            f"{each.slowdown:.0%}",
            f"{each.of_the_guide:.0%}",
            f"{each.scheduler_ms:.2f}",
            f"{each.scheduler_slowdown:.0%}",
            f"{each.scheduler_of_the_guide:.0%}",
            f"{each.nodes_over_fewest:.2f}",
        )
    Console(width=120).print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, show, and write `scheduler-cost.json`."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scheduler_cost", description=__doc__)
    parser.add_argument("--nodes", type=int, default=WHOLE.nodes)
    parser.add_argument("--pods", type=int, default=WHOLE.pods)
    parser.add_argument("--rounds", type=int, default=WHOLE.rounds)
    parser.add_argument("--also", action="append", default=[], metavar=SPELLING, help="a namespace's annotations")
    parser.add_argument("--out", type=Path, help="a folder; the whole size goes to tests/bench/results, others nowhere")
    given = parser.parse_args(arguments)
    also = [written(text) for text in given.also]
    if any(each.hinted for each in also):
        parser.error("capacity hints are for worker groups; here are only pods")
    size = Size(nodes=given.nodes, pods=given.pods, rounds=given.rounds)
    where = machine()
    samples, ran = measure((*CASES, *(Case(strategy=each) for each in also)), size)
    found = costs(samples)
    show(found, size)
    if out := folder(size, given.out):
        record = {"machine": where, "versions": ran, "size": asdict(size), "costs": [*map(asdict, found)]}
        record["samples"] = [asdict(each) for each in samples]
        out.mkdir(parents=True, exist_ok=True)
        (out / "scheduler-cost.json").write_text(json.dumps(record, indent=1) + "\n")


def folder(size: Size, out: Path | None) -> Path | None:
    """Where the record goes: where it is said, else beside the benchmark if it is of the whole size."""
    return out or (RESULTS if size == WHOLE else None)


if __name__ == "__main__":
    main()
