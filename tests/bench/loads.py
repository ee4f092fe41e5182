"""Loads: Dask clusters that are created, scaled and deleted, drawn from a seed.

A load contains sizes only. kube-scheduler decides which nodes the clusters run on, so each strategy replays the same
steps, and the same clusters are deleted wherever they run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tests.bench.shapes import BARE, NODES_OF_2, NODES_OF_8, WITH_REQUESTS, ClusterShape, PoolShape

# Workers of a cluster: up to one node of the pool, one and a half nodes, or two nodes. The mean is 7.4 and 4.3 GPUs.
SIZES = {8: (2, 3, 4, 6, 8, 8, 12, 16), 2: (2, 3, 4, 4, 6, 8)}


class Scaling(StrEnum):
    """Ways to scale a running cluster."""

    CLUSTER = "kubectl scale daskcluster"
    GROUP = "kubectl scale daskworkergroup"
    CLIENT = "KubeCluster.scale"
    AUTOSCALER = "DaskAutoscaler"


@dataclass(frozen=True, kw_only=True)
class Request:
    """GPU workers of one cluster that start together.

    Attributes:
        cluster: Name of the cluster.
        workers: Number of workers that start.
        namespace: Index of the namespace.
        scheduler_gpus: GPUs of the Dask scheduler that starts with the workers; 0 for a cluster that is scaled.
        scaling: Way in which the cluster is scaled; None for a new cluster.
        earlier_pods: Number of worker pods that are created before the scheduler pod.
    """

    cluster: str
    workers: int
    namespace: int = 0
    scheduler_gpus: int = 0
    scaling: Scaling | None = None
    earlier_pods: int = 0

    @property
    def gpus(self) -> int:
        """Return the number of GPUs of the request."""
        return self.workers + self.scheduler_gpus


@dataclass(frozen=True, kw_only=True)
class Step:
    """Step of a load: first clusters are deleted, then workers start.

    Attributes:
        deleted: Names of the deleted clusters.
        requests: Workers that start. Pods of several requests are created in turns, as the operator does.
        judged: Whether the pool was full once, so that the placement counts.
    """

    deleted: tuple[str, ...]
    requests: tuple[Request, ...]
    judged: bool


@dataclass
class Population:
    """Clusters that run while a load is drawn.

    Attributes:
        load: The load.
        chance: Random generator of the load.
        running: GPUs of each running cluster.
        namespaces: Namespace index of each running cluster.
        full: Whether the pool was filled up to the load's share once.
    """

    load: Load
    chance: random.Random
    created: int = 0
    running: dict[str, int] = field(default_factory=dict)
    namespaces: dict[str, int] = field(default_factory=dict)
    full: bool = False

    def new_cluster(self) -> Request:
        """Return a new cluster of a drawn size; it does not run yet."""
        self.created += 1
        workers = self.chance.choice(SIZES[self.load.pool.gpus])
        namespace = self.chance.randrange(self.load.namespaces)
        gpus = self.load.shape.scheduler_gpus
        return Request(cluster=f"gpu-{self.created:03}", workers=workers, namespace=namespace, scheduler_gpus=gpus)

    def scaled(self, scaling: Scaling) -> list[Request]:
        """Return a running cluster's new workers, at most 8: in one request, or in two from an autoscaler."""
        cluster = self.chance.choice(sorted(self.running))
        gpus = self.load.pool.gpus
        workers = self.chance.choice([size for size in SIZES[gpus] if size <= gpus])
        steps = (workers // 2, workers - workers // 2) if scaling is Scaling.AUTOSCALER else (workers,)
        namespace = self.namespaces[cluster]
        return [Request(cluster=cluster, workers=step, namespace=namespace, scaling=scaling) for step in steps if step]

    def admit(self, *requests: Request) -> Step:
        """Return the step in which random clusters are deleted until the requests fit, and then run them."""
        growing = {request.cluster for request in requests}
        deleted = []
        most = self.load.fill * self.load.pool.capacity
        while sum(self.running.values()) + sum(request.gpus for request in requests) > most:
            deleted.append(self.chance.choice([name for name in self.running if name not in growing]))
            del self.running[deleted[-1]]
            self.full = True
        for request in requests:
            self.running[request.cluster] = self.running.get(request.cluster, 0) + request.gpus
            self.namespaces[request.cluster] = request.namespace
        return Step(deleted=tuple(deleted), requests=requests, judged=self.full)


Draw = Callable[[Population], Iterator[Step]]


@dataclass(frozen=True, kw_only=True)
class Load:
    """Named load.

    Attributes:
        name: Key in the record.
        title: Row title in tables.
        fill: Maximum share of used GPUs.
        draw: Draws the steps.
        pool: Nodes.
        shape: Pod templates.
        namespaces: Number of namespaces that the clusters are created in.
        drawn_as: Name of the load that draws the same steps from the same seed; "" for the load itself.
    """

    name: str
    title: str
    draw: Draw = field(repr=False)
    fill: float = 0.8
    pool: PoolShape = NODES_OF_8
    shape: ClusterShape = WITH_REQUESTS
    namespaces: int = 1
    drawn_as: str = ""

    def steps(self, seed: int, judged: int) -> tuple[Step, ...]:
        """Return the steps of a seed, up to the one in which `judged` requests have been judged."""
        chance = random.Random(f"{self.drawn_as or self.name}-{seed}")  # noqa: S311 - a load, not a secret
        steps, seen = [], 0
        for step in self.draw(Population(load=self, chance=chance)):
            steps.append(step)
            seen += len(step.requests) if step.judged else 0
            if seen >= judged:
                break
        return tuple(steps)


def one_by_one(population: Population) -> Iterator[Step]:
    """Create one cluster after another."""
    while True:
        yield population.admit(population.new_cluster())


def four_at_once(population: Population) -> Iterator[Step]:
    """Create four clusters at the same moment."""
    while True:
        yield population.admit(*(population.new_cluster() for _ in range(4)))


def scaled_later(population: Population) -> Iterator[Step]:
    """Create a cluster, then scale a running one, in the four ways in turn."""
    while True:
        for scaling in Scaling:
            yield population.admit(population.new_cluster())
            for request in population.scaled(scaling):
                yield population.admit(request)


def guide(population: Population) -> Iterator[Step]:
    """Create the RAPIDS guide's cluster of 2 workers, scale it to 4 and delete it; its first pods come in any order."""
    deleted: tuple[str, ...] = ()
    while True:
        population.created += 1
        cluster = f"gpu-{population.created:03}"
        earlier = population.chance.randrange(3)
        first = Request(cluster=cluster, workers=2, scheduler_gpus=1, earlier_pods=earlier)
        yield Step(deleted=deleted, requests=(first,), judged=True)
        more = Request(cluster=cluster, workers=2, scaling=Scaling.GROUP)
        yield Step(deleted=(), requests=(more,), judged=True)
        deleted = (cluster,)


NO_SCHEDULER_GPU = ClusterShape(scheduler_gpus=0)
LOADS = (
    Load(name="guide", title="the guide's 3 nodes", draw=guide, pool=PoolShape(nodes=3, gpus=2, racks=1), shape=BARE),
    Load(name="steady-80", title="80 % full", draw=one_by_one),
    Load(name="steady-95", title="95 % full", draw=one_by_one, fill=0.95),
    Load(name="bursts", title="four at once", draw=four_at_once),
    Load(name="small-nodes", title="2-GPU nodes", draw=one_by_one, pool=NODES_OF_2),
    Load(name="bare", title="no CPU requests", draw=one_by_one, shape=BARE),
    Load(name="namespaces", title="four namespaces", draw=one_by_one, namespaces=4),
    Load(name="scaled", title="scaled later", draw=scaled_later),
    Load(name="cpu-group", title="with a CPU group", draw=one_by_one, shape=ClusterShape(cpu_group=True)),
    Load(name="images", title="12 GB images", draw=one_by_one, shape=ClusterShape(images=4)),
    Load(name="dra", title="DRA nodes", draw=one_by_one, pool=PoolShape(dra_nodes=4), drawn_as="steady-80"),
    Load(
        name="plain",
        title="scheduler without a GPU",
        draw=one_by_one,
        shape=NO_SCHEDULER_GPU,
        drawn_as="steady-80",
    ),
    Load(
        name="plain-bursts",
        title="scheduler without a GPU, four at once",
        draw=four_at_once,
        shape=NO_SCHEDULER_GPU,
        drawn_as="bursts",
    ),
)
# Loads for single comparisons; they are in no record.
MORE_LOADS = (
    Load(name="small-bursts", title="2-GPU nodes, four at once", draw=four_at_once, pool=NODES_OF_2),
    Load(name="bare-namespaces", title="no CPU requests, four namespaces", draw=one_by_one, shape=BARE, namespaces=4),
    Load(
        name="mixed-dra",
        title="DRA nodes beside others",
        draw=one_by_one,
        pool=PoolShape(dra_nodes=2),
        drawn_as="steady-80",
    ),
    Load(
        name="plain-95",
        title="scheduler without a GPU, 95 % full",
        draw=one_by_one,
        fill=0.95,
        shape=NO_SCHEDULER_GPU,
        drawn_as="steady-95",
    ),
    Load(
        name="plain-small",
        title="scheduler without a GPU, 2-GPU nodes",
        draw=one_by_one,
        pool=NODES_OF_2,
        shape=NO_SCHEDULER_GPU,
        drawn_as="small-nodes",
    ),
    Load(
        name="plain-bare",
        title="scheduler without a GPU, no CPU requests",
        draw=one_by_one,
        shape=ClusterShape(requests={}, scheduler_gpus=0),
        drawn_as="bare",
    ),
)
BY_NAME: Mapping[str, Load] = {load.name: load for load in (*LOADS, *MORE_LOADS)}
