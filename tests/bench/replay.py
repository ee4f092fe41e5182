"""A trace under a strategy on the real scheduler: where its clusters stood, and where they could have."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.fewest import fewest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.placements import Placements
    from tests.bench.room import Floors, Place
    from tests.bench.strategies import Strategy
    from tests.bench.traces import Request, Step, Trace


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One cluster after its workers were bound, or after it grew.

    Attributes:
        workers: How many it has then.
        nodes: On so many nodes they stand.
        fewest_nodes: So many would have done, given what was free when they came.
        racks: In so many racks.
        fewest_racks: So many would have done.
    """

    workers: int
    nodes: int
    fewest_nodes: int
    racks: int
    fewest_racks: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """One replay.

    Attributes:
        judged: In the order of the trace.
        nodes: At the end: for each node, rack by rack, the cluster on each of its GPUs, None where one is free.
    """

    trace: str
    strategy: str
    seed: int
    judged: tuple[Judged, ...]
    nodes: tuple[tuple[str | None, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to replay."""

    trace: Trace
    strategy: Strategy
    seed: int
    judged: int


def replay(floors: Floors, placements: Placements, job: Job) -> Run:
    """Replay a trace in a room of its own."""
    with floors.place(placements, job.strategy, job.trace.room) as here:
        judged = [each for step in job.trace.steps(job.seed, job.judged) for each in _take(here, step)]
        return Run(
            trace=job.trace.name,
            strategy=job.strategy.name,
            seed=job.seed,
            judged=tuple(judged),
            nodes=occupied(here),
        )


def _take(here: Place, step: Step) -> list[Judged]:
    here.end(step.gone)
    free = here.free()
    held = {each.cluster: here.nodes.get(each.cluster, ()) for each in step.requests}
    here.start(step.requests)
    if not step.judged:
        return []
    return [
        judge(each, free, here.floor.racks, (held[each.cluster], here.nodes[each.cluster]))
        for each in step.requests
        if each.judged
    ]


def judge(
    request: Request, free: Mapping[str, int], racks: Mapping[str, str], stood: tuple[Sequence[str], Sequence[str]]
) -> Judged:
    """Compare where a cluster stands with where it could.

    Args:
        request: The workers that came.
        free: Free GPUs of each node before.
        racks: The rack of each node.
        stood: The nodes of its workers before and after, one for each worker.
    """
    before, after = stood
    free_racks: Counter[str] = Counter()
    for node, gpus in free.items():
        free_racks[racks[node]] += gpus
    return Judged(
        workers=len(after),
        nodes=len(set(after)),
        fewest_nodes=fewest(free, request.workers, set(before)),
        racks=len({racks[node] for node in after}),
        fewest_racks=fewest(free_racks, request.workers, {racks[node] for node in before}),
    )


def occupied(here: Place) -> tuple[tuple[str | None, ...], ...]:
    """The cluster on each GPU of each node; see `Run.nodes`."""
    on: dict[str, list[str | None]] = {node: [] for node in here.floor.racks}
    for cluster, nodes in here.nodes.items():
        for node in nodes if here.requests[cluster].gpu else ():
            on[node].append(cluster)
    return tuple((*clusters, *([None] * (here.floor.gpus - len(clusters)))) for clusters in on.values())
