"""Figures of the placement benchmark: for each load and strategy the mean of all replays, and their spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Placement of one cluster after its workers were bound.

    Attributes:
        workers: Number of its GPU workers.
        nodes: Number of nodes that run them.
        minimum_nodes: Minimum number of nodes, given the free GPUs before the workers started.
        racks: Number of racks that run them.
        minimum_racks: Minimum number of racks.
        beside_scheduler: Number of workers on the node of their own scheduler.
        scaling: Way in which the cluster was scaled; "" for a new cluster.
    """

    workers: int
    nodes: int
    minimum_nodes: int
    racks: int
    minimum_racks: int
    beside_scheduler: int = 0
    scaling: str = ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Result of one replay.

    Attributes:
        load: Name of the load.
        strategy: Name of the strategy.
        seed: Seed of the load.
        repeat: 0 for the first replay of a seed.
        judged: Placements in the order of the load.
        nodes: GPUs of each node at the end, rack by rack: the cluster on each GPU, None where it is free.
    """

    load: str
    strategy: str
    seed: int
    repeat: int
    judged: tuple[Judged, ...]
    nodes: tuple[tuple[str | None, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Result of one load under one strategy.

    Attributes:
        load: Name of the load.
        strategy: Name of the strategy.
        clusters: Number of judged placements in all replays.
        nodes_over_minimum: Mean over the replays of the mean over a replay's clusters.
        least: Lowest mean of a replay.
        most: Highest mean of a replay.
        on_minimum: Share of placements on the minimum number of nodes.
        racks_over_minimum: As `nodes_over_minimum`, for racks.
        beside_scheduler: Share of placements with a worker on the node of its own scheduler.
    """

    load: str
    strategy: str
    clusters: int
    nodes_over_minimum: float
    least: float
    most: float
    on_minimum: float
    racks_over_minimum: float
    beside_scheduler: float


def figures(runs: Sequence[Run]) -> list[Figure]:
    """Return one figure for each load and strategy, in the order of the runs."""
    kinds = dict.fromkeys((run.load, run.strategy) for run in runs)
    return [_figure([run for run in runs if (run.load, run.strategy) == kind]) for kind in kinds]


def _figure(runs: Sequence[Run]) -> Figure:
    nodes = [mean(map(_nodes, run.judged)) for run in runs]
    judged = [placement for run in runs for placement in run.judged]
    return Figure(
        load=runs[0].load,
        strategy=runs[0].strategy,
        clusters=len(judged),
        nodes_over_minimum=round(mean(nodes), 3),
        least=round(min(nodes), 3),
        most=round(max(nodes), 3),
        on_minimum=round(mean(placement.nodes == placement.minimum_nodes for placement in judged), 3),
        racks_over_minimum=round(mean(mean(map(_racks, run.judged)) for run in runs), 3),
        beside_scheduler=round(mean(placement.beside_scheduler > 0 for placement in judged), 3),
    )


def _nodes(judged: Judged) -> float:
    return judged.nodes / judged.minimum_nodes


def _racks(judged: Judged) -> float:
    return judged.racks / judged.minimum_racks
