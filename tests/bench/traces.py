"""What happens in a room of nodes: clusters that come, grow and go, drawn from a seed.

A trace knows sizes only. Which GPUs the clusters stand on is up to the scheduler, so the same trace is replayed
under each strategy, and clusters go by the same draw wherever they stand.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Workers of a cluster: a node of the room or less, one and a half, two nodes. 7.4 and 4.6 GPUs in the mean.
SIZES = {8: (2, 3, 4, 6, 8, 8, 12, 16), 2: (2, 3, 4, 4, 6, 8)}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a worker asks for beside its GPU; where it asks for nothing, the scheduler sees the nodes as equally full.

    Attributes:
        requests: As in a pod spec.
    """

    requests: Mapping[str, str] = field(default_factory=dict)


# Half a GPU's share of a node with 8 GPUs, 64 cores and 256 GiB.
WITH_REQUESTS = Shape(requests={"cpu": "4", "memory": "16Gi"})
BARE = Shape()  # the guide's own manifest


@dataclass(frozen=True, kw_only=True)
class Room:
    """The nodes of a trace and how its users share them.

    Attributes:
        nodes: How many nodes, spread evenly over the racks.
        gpus: GPUs of each node.
        racks: How many racks.
        namespaces: Clusters are dealt out to so many.
        shape: What the GPU workers ask for.
    """

    nodes: int = 16
    gpus: int = 8
    racks: int = 4
    namespaces: int = 1
    shape: Shape = WITH_REQUESTS

    @property
    def capacity(self) -> int:
        """All GPUs of the room."""
        return self.nodes * self.gpus


@dataclass(frozen=True, kw_only=True)
class Request:
    """Workers that start together.

    Attributes:
        cluster: The cluster's name; one that runs already grows.
        workers: How many start.
        namespace: The number of its namespace.
        gpu: Whether each takes a GPU. One that does not takes 2 cores and is not judged.
        dask: Whether it is a Dask cluster; other pods with GPUs get nothing of the webhook's and are not judged.
    """

    cluster: str
    workers: int
    namespace: int = 0
    gpu: bool = True
    dask: bool = True

    @property
    def judged(self) -> bool:
        """Whether its placement counts."""
        return self.gpu and self.dask


@dataclass(frozen=True, kw_only=True)
class Step:
    """One moment: first clusters go, then workers come.

    Attributes:
        gone: Clusters that end.
        requests: What starts; the workers of several requests are created in turns, as controllers do.
        judged: Whether the room was as full as it should be, so that the placement counts.
    """

    gone: tuple[str, ...]
    requests: tuple[Request, ...]
    judged: bool


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A named kind of load, drawn anew for each seed."""

    name: str
    title: str
    room: Room
    draw: Callable[[Room, random.Random, int], Iterator[Step]] = field(repr=False)

    def steps(self, seed: int, judged: int) -> tuple[Step, ...]:
        """The trace of a seed, until `judged` requests for GPUs were judged."""
        return tuple(self.draw(self.room, random.Random(f"{self.name}-{seed}"), judged))  # noqa: S311 - a trace, no secret


@dataclass
class Tenants:
    """Who is in the room while a trace is drawn.

    Attributes:
        room: The room.
        chance: The source of every draw.
        fill: The share of GPUs that is never exceeded.
    """

    room: Room
    chance: random.Random
    fill: float
    alive: dict[str, Request] = field(default_factory=dict)
    arrived: int = 0
    full: bool = False

    def cluster(self, *, gpu: bool = True, dask: bool = True) -> Request:
        """A new cluster of a drawn size; it is not in the room yet."""
        self.arrived += 1
        name = f"{'gpu' if gpu else 'cpu'}-{self.arrived:03}"
        size = self.chance.choice(SIZES[self.room.gpus])
        namespace = self.chance.randrange(self.room.namespaces)
        return Request(cluster=name, workers=size, namespace=namespace, gpu=gpu, dask=dask)

    def admit(self, *requests: Request) -> Step:
        """Let others go, oldest or not, until the requests fit; then they come."""
        growing = {each.cluster for each in requests}
        gone = []
        while self._taken(*self.alive.values(), *requests) > self.fill * self.room.capacity:
            may_go = [name for name, each in self.alive.items() if each.gpu and name not in growing]
            gone.append(self.chance.choice(may_go))
            del self.alive[gone[-1]]
            self.full = True
        for each in requests:
            before = self.alive[each.cluster].workers if each.cluster in self.alive else 0
            self.alive[each.cluster] = Request(
                cluster=each.cluster,
                workers=before + each.workers,
                namespace=each.namespace,
                gpu=each.gpu,
                dask=each.dask,
            )
        return Step(gone=tuple(gone), requests=requests, judged=self.full)

    def leave(self, name: str) -> None:
        """One cluster goes by itself."""
        del self.alive[name]

    def _taken(self, *requests: Request) -> int:
        return sum(each.workers for each in requests if each.gpu)


def _until(steps: Iterator[Step], judged: int) -> Iterator[Step]:
    """The steps up to the one with which `judged` requests for GPUs have been judged."""
    seen = 0
    for step in steps:
        yield step
        seen += sum(each.judged for each in step.requests) if step.judged else 0
        if seen >= judged:
            return


def _one_by_one(fill: float) -> Callable[[Room, random.Random, int], Iterator[Step]]:
    def arrivals(tenants: Tenants) -> Iterator[Step]:
        while True:
            yield tenants.admit(tenants.cluster())

    return lambda room, chance, judged: _until(arrivals(Tenants(room, chance, fill)), judged)


def _bursts(fill: float, at_once: int) -> Callable[[Room, random.Random, int], Iterator[Step]]:
    def arrivals(tenants: Tenants) -> Iterator[Step]:
        while True:
            yield tenants.admit(*(tenants.cluster() for _ in range(at_once)))

    return lambda room, chance, judged: _until(arrivals(Tenants(room, chance, fill)), judged)


def _growing(fill: float) -> Callable[[Room, random.Random, int], Iterator[Step]]:
    """Every other step a cluster of the room scales up by as many workers as a new one might have, at most 8."""

    def arrivals(tenants: Tenants) -> Iterator[Step]:
        while True:
            yield tenants.admit(tenants.cluster())
            grows = tenants.alive[tenants.chance.choice(sorted(tenants.alive))]
            more = tenants.chance.choice([size for size in SIZES[tenants.room.gpus] if size <= tenants.room.gpus])
            yield tenants.admit(Request(cluster=grows.cluster, workers=more, namespace=grows.namespace))

    return lambda room, chance, judged: _until(arrivals(Tenants(room, chance, fill)), judged)


def _mixed(fill: float, others: int) -> Callable[[Room, random.Random, int], Iterator[Step]]:
    """Between the clusters with GPUs, as many without: the newest `others` of them are in the room."""

    def arrivals(tenants: Tenants) -> Iterator[Step]:
        plain: list[str] = []
        while True:
            yield tenants.admit(tenants.cluster())
            plain.append((request := tenants.cluster(gpu=False)).cluster)
            gone = tuple(plain[:-others])
            plain = plain[-others:]
            for name in gone:
                tenants.leave(name)
            step = tenants.admit(request)
            yield Step(gone=(*gone, *step.gone), requests=step.requests, judged=step.judged)

    return lambda room, chance, judged: _until(arrivals(Tenants(room, chance, fill)), judged)


def _beside_others(fill: float) -> Callable[[Room, random.Random, int], Iterator[Step]]:
    """Dask clusters and, as often, pods of others with GPUs, one GPU each, placed as the scheduler likes."""

    def arrivals(tenants: Tenants) -> Iterator[Step]:
        while True:
            yield tenants.admit(tenants.cluster(dask=False))
            yield tenants.admit(tenants.cluster())

    return lambda room, chance, judged: _until(arrivals(Tenants(room, chance, fill)), judged)


SMALL_NODES = Room(nodes=32, gpus=2, racks=4)
TRACES = (
    Trace(name="steady-80", title="80 % full", room=Room(), draw=_one_by_one(0.8)),
    Trace(name="steady-95", title="95 % full", room=Room(), draw=_one_by_one(0.95)),
    Trace(name="bursts", title="four at once", room=Room(), draw=_bursts(0.8, at_once=4)),
    Trace(name="growing", title="scaled later", room=Room(), draw=_growing(0.8)),
    Trace(name="mixed", title="with CPU workers", room=Room(), draw=_mixed(0.8, others=8)),
    Trace(name="namespaces", title="four namespaces", room=Room(namespaces=4), draw=_one_by_one(0.8)),
    Trace(name="bare", title="no CPU requests", room=Room(shape=BARE), draw=_one_by_one(0.8)),
    Trace(name="others", title="beside other GPU pods", room=Room(), draw=_beside_others(0.8)),
    Trace(name="small-nodes", title="2-GPU nodes", room=SMALL_NODES, draw=_one_by_one(0.8)),
)
BY_NAME: Mapping[str, Trace] = {trace.name: trace for trace in TRACES}
