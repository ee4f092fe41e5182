"""Dask clusters of one replay on the real control plane, created and scaled as users and the Dask operator do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest

from tests.bench import dra
from tests.bench.loads import Request, Scaling
from tests.bench.manifests import ClusterManifest, default_group, scheduler_pod, worker_pod
from tests.bench.node_pools import POOL, NodePool
from tests.bench.placements import Placements
from tests.bench.shapes import ClusterShape
from tests.bench.strategies import Strategy
from tests.e2e.bed.api import DASK, Api, Object


@dataclass(kw_only=True)
class Cluster:
    """A running cluster.

    Attributes:
        name: Its name.
        namespace: Name of its namespace.
        group: The stored group of GPU workers, as last read.
        workers: Names of the GPU workers.
        others: Names of the scheduler pod and the CPU workers.
        scheduler: Name of the scheduler pod.
        nodes: Node of each pod.
    """

    name: str
    namespace: str
    group: Object
    workers: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    scheduler: str = ""
    nodes: Mapping[str, str] = field(default_factory=dict)

    @property
    def worker_nodes(self) -> list[str]:
        """Return the node of each GPU worker."""
        return [self.nodes[worker] for worker in self.workers]


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """Clusters of one replay, by name.

    Attributes:
        api: Connection to the API server.
        placements: Nodes of all pods.
        strategy: What the pods get.
        shape: Pod templates.
        pool: Nodes.
        namespaces: Names of the namespaces.
    """

    api: Api
    placements: Placements
    strategy: Strategy
    shape: ClusterShape
    pool: NodePool
    namespaces: Sequence[str]
    running: dict[str, Cluster] = field(default_factory=dict)

    def delete(self, names: Sequence[str]) -> None:
        """Delete clusters and wait until their pods are deleted."""
        clusters = [self.running.pop(name) for name in names]
        for cluster in clusters:
            selector = f"dask.org/cluster-name={cluster.name}"
            pods = f"/api/v1/namespaces/{cluster.namespace}/pods"
            self.api.delete(pods, labelSelector=selector, gracePeriodSeconds="0")
            for path in (f"daskclusters/{cluster.name}", f"daskworkergroups/{cluster.name}-default"):
                self.api.delete(f"{DASK}/namespaces/{cluster.namespace}/{path}")
            if self.shape.cpu_group:
                self.api.delete(f"{DASK}/namespaces/{cluster.namespace}/daskworkergroups/{cluster.name}-cpu")
        for cluster in clusters:
            self.placements.gone((cluster.namespace, cluster.name))
            if self.pool.dra:
                dra.delete_claims(self.api, cluster.namespace, [*cluster.workers, *cluster.others])

    def start(self, requests: Sequence[Request]) -> None:
        """Create or scale the clusters of the requests, then create their pods in turns and wait for all bindings."""
        stored = [None if request.scaling else self._create(request) for request in requests]
        pods = [
            self._scaled_pods(request) if cluster is None else self._first_pods(request, cluster)
            for request, cluster in zip(requests, stored, strict=True)
        ]
        for pod in filter(None, chain.from_iterable(zip_longest(*pods))):
            self.api.create(f"/api/v1/namespaces/{pod['metadata'].pop('namespace')}/pods", pod)
        for request in requests:
            cluster = self.running[request.cluster]
            count = len(cluster.workers) + len(cluster.others)
            cluster.nodes = self.placements.nodes((cluster.namespace, cluster.name), count)

    def free(self) -> dict[str, int]:
        """Return the number of free GPUs of each node."""
        free = dict.fromkeys(self.pool.racks, self.pool.gpus)
        for cluster in self.running.values():
            for node in cluster.worker_nodes:
                free[node] -= 1
            free[cluster.nodes[cluster.scheduler]] -= self.shape.scheduler_gpus
        return free

    def _create(self, request: Request) -> Object:
        """Create the DaskCluster as a user does; return it as stored."""
        return self.api.create(self._path(request, "daskclusters"), self._manifest(request).cluster())

    def _first_pods(self, request: Request, stored: Object) -> list[Object]:
        """Create the worker groups of a new cluster; return its pods in the order of their creation."""
        groups = self._path(request, "daskworkergroups")
        namespace, scheduler = self.namespaces[request.namespace], scheduler_pod(stored)
        group = self.api.create(groups, default_group(stored))
        cluster = Cluster(name=request.cluster, namespace=namespace, group=group)
        self.running[request.cluster] = cluster
        cluster.scheduler = scheduler["metadata"]["name"]
        pods = self._workers(cluster, request.workers)
        pods.insert(request.earlier_pods, scheduler)
        if self.shape.cpu_group:
            cpu_group = self.api.create(groups, self._manifest(request).cpu_group())
            pods += [worker_pod(cpu_group, number) for number in range(request.workers)]
        names = [pod["metadata"]["name"] for pod in pods]
        cluster.others += [name for name in names if name not in cluster.workers]
        return [_placed_in(namespace, pod) for pod in pods]

    def _scaled_pods(self, request: Request) -> list[Object]:
        """Scale a cluster in the way of the request; return its new pods."""
        cluster = self.running[request.cluster]
        replicas = len(cluster.workers) + request.workers
        group = f"{self._path(request, 'daskworkergroups')}/{cluster.name}-default"
        scale, spec = {"spec": {"replicas": replicas}}, {"spec": {"worker": {"replicas": replicas}}}
        match request.scaling:
            case Scaling.GROUP:
                self.api.merge(f"{group}/scale", scale)
            case Scaling.CLUSTER:  # the operator copies the number to the group
                self.api.merge(f"{self._path(request, 'daskclusters')}/{cluster.name}/scale", scale)
                self.api.merge(group, spec)
            case _:  # both patch the group's spec
                self.api.merge(group, spec)
        cluster.group = self.api.get(group)
        return [_placed_in(cluster.namespace, pod) for pod in self._workers(cluster, request.workers)]

    def _workers(self, cluster: Cluster, count: int) -> list[Object]:
        first = len(cluster.workers)
        pods = [worker_pod(cluster.group, number) for number in range(first, first + count)]
        cluster.workers += [pod["metadata"]["name"] for pod in pods]
        return pods

    def _manifest(self, request: Request) -> ClusterManifest:
        return ClusterManifest(
            name=request.cluster,
            workers=request.workers,
            number=int(request.cluster.rpartition("-")[2]),
            shape=self.shape,
            strategy=self.strategy,
            node_selector={POOL: self.pool.name},
        )

    def _path(self, request: Request, plural: str) -> str:
        return f"{DASK}/namespaces/{self.namespaces[request.namespace]}/{plural}"


def _placed_in(namespace: str, pod: Object) -> Object:
    pod["metadata"] = {**pod["metadata"], "namespace": namespace}
    return pod
