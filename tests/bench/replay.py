"""Replay of a load under a strategy on the real kube-scheduler, and the minimum for each cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tests.bench.clusters import Clusters
from tests.bench.figures import Judged, Run
from tests.bench.loads import Request, Step
from tests.bench.minimum import minimum
from tests.bench.node_pools import NodePools, namespace
from tests.bench.placements import Placements
from tests.bench.plans import Job
from tests.e2e.bed.bed import Bed


def replay(bed: Bed, pools: NodePools, placements: Placements, job: Job) -> Run:
    """Replay a load on a node pool of its own."""
    load, strategy = job.load, job.strategy
    with pools.reserve(load.pool) as pool:
        clusters = Clusters(
            api=bed.api,
            placements=placements,
            strategy=strategy,
            shape=load.shape,
            pool=pool,
            namespaces=[namespace(bed, strategy.annotations) for _ in range(load.namespaces)],
        )
        judged = [placement for step in load.steps(job.seed, job.judged) for placement in _run(clusters, step)]
        nodes = occupied(clusters)
        clusters.delete(list(clusters.running))
        return Run(
            load=load.name,
            strategy=strategy.name,
            seed=job.seed,
            repeat=job.repeat,
            judged=tuple(judged),
            nodes=nodes,
        )


def _run(clusters: Clusters, step: Step) -> list[Judged]:
    clusters.delete(step.deleted)
    free = clusters.free()
    used = {
        request.cluster: clusters.running[request.cluster].worker_nodes if request.scaling else []
        for request in step.requests
    }
    clusters.start(step.requests)
    if not step.judged:
        return []
    return [judge(clusters, request, free, used[request.cluster]) for request in step.requests]


def judge(clusters: Clusters, request: Request, free: Mapping[str, int], before: Sequence[str]) -> Judged:
    """Compare the placement of a cluster with the best possible.

    Args:
        clusters: All clusters after the workers were bound.
        request: The workers that started.
        free: Free GPUs of each node before.
        before: Nodes of the cluster's workers before.
    """
    racks, cluster = clusters.pool.racks, clusters.running[request.cluster]
    after = cluster.worker_nodes
    free_racks: Counter[str] = Counter()
    for node, gpus in free.items():
        free_racks[racks[node]] += gpus
    return Judged(
        workers=len(after),
        nodes=len(set(after)),
        minimum_nodes=minimum(free, request.workers, set(before)),
        racks=len({racks[node] for node in after}),
        minimum_racks=minimum(free_racks, request.workers, {racks[node] for node in before}),
        beside_scheduler=after.count(cluster.nodes[cluster.scheduler]),
        scaling=request.scaling.value if request.scaling else "",
    )


def occupied(clusters: Clusters) -> tuple[tuple[str | None, ...], ...]:
    """Return the cluster on each GPU of each node; see `Run.nodes`."""
    names_by_node: dict[str, list[str | None]] = {node: [] for node in clusters.pool.racks}
    for name, cluster in clusters.running.items():
        scheduler = [cluster.nodes[cluster.scheduler]] * clusters.shape.scheduler_gpus
        for node in (*cluster.worker_nodes, *scheduler):
            names_by_node[node].append(name)
    return tuple((*names, *([None] * (clusters.pool.gpus - len(names)))) for names in names_by_node.values())
