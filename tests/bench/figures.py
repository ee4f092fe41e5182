"""Replays become figures: for each load and strategy the mean over seeds, and how far the seeds are apart."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.replay import Judged, Run


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One load under one strategy.

    Attributes:
        trace: The load.
        strategy: What the workers got.
        clusters: Judged, over all seeds.
        nodes_over_fewest: Mean over the seeds of the mean over a seed's clusters.
        least: The seed with the lowest mean.
        most: The seed with the highest.
        on_fewest: Share of clusters that stand on the fewest nodes.
        racks_over_fewest: As `nodes_over_fewest`, for racks.
    """

    trace: str
    strategy: str
    clusters: int
    nodes_over_fewest: float
    least: float
    most: float
    on_fewest: float
    racks_over_fewest: float


def figures(runs: Sequence[Run]) -> list[Figure]:
    """One for each load and strategy, in the order of the runs."""
    kinds = dict.fromkeys((run.trace, run.strategy) for run in runs)
    return [_figure([run for run in runs if (run.trace, run.strategy) == kind]) for kind in kinds]


def _figure(seeds: Sequence[Run]) -> Figure:
    nodes = [mean(map(_nodes, run.judged)) for run in seeds]
    return Figure(
        trace=seeds[0].trace,
        strategy=seeds[0].strategy,
        clusters=sum(len(run.judged) for run in seeds),
        nodes_over_fewest=round(mean(nodes), 3),
        least=round(min(nodes), 3),
        most=round(max(nodes), 3),
        on_fewest=round(mean(each.nodes == each.fewest_nodes for run in seeds for each in run.judged), 3),
        racks_over_fewest=round(mean(mean(map(_racks, run.judged)) for run in seeds), 3),
    )


def _nodes(judged: Judged) -> float:
    return judged.nodes / judged.fewest_nodes


def _racks(judged: Judged) -> float:
    return judged.racks / judged.fewest_racks
