"""The nodes of one replay and the workers on them."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from queue import SimpleQueue
from typing import TYPE_CHECKING

from tests.e2e.bed.api import DASK
from tests.e2e.bed.nodes import NODES, add
from tests.e2e.bed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tests.bench.placements import Placements
    from tests.bench.strategies import Strategy
    from tests.bench.traces import Request, Room, Shape
    from tests.e2e.bed.api import Object
    from tests.e2e.bed.bed import Bed

GROUP_VERSION = "kubernetes.dask.org/v1"
ROOM = "room"  # the node label by which the workers of a replay stay on its own nodes
# The portable label below a region. The presets name a platform's rack here; to the scheduler it is the same.
RACK = "topology.kubernetes.io/zone"


@dataclass(frozen=True, kw_only=True)
class Floor:
    """Nodes of one room.

    Attributes:
        name: The value of their label `ROOM`.
        racks: Each node's rack.
        gpus: GPUs of each node.
    """

    name: str
    racks: Mapping[str, str]
    gpus: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """A room with nodes and namespaces, empty at first.

    Attributes:
        floor: Its nodes.
        namespaces: By number, as the trace has them.
        pods: The names of each cluster's workers.
        nodes: The node of each of a cluster's workers.
        requests: Each cluster's latest request.
        templates: The pod spec of each cluster's worker group, where the strategy has them made.
    """

    bed: Bed
    placements: Placements
    strategy: Strategy
    shape: Shape
    floor: Floor
    namespaces: Sequence[str]
    pods: dict[str, list[str]] = field(default_factory=dict)
    nodes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    requests: dict[str, Request] = field(default_factory=dict)
    templates: dict[str, Object] = field(default_factory=dict)

    def end(self, clusters: Sequence[str]) -> None:
        """Delete clusters and wait until their workers are gone."""
        keys = [(self.namespaces[self.requests.pop(name).namespace], name) for name in clusters]
        for namespace, name in keys:
            path = f"/api/v1/namespaces/{namespace}/pods"
            self.bed.api.delete(path, labelSelector=f"dask.org/cluster-name={name}", gracePeriodSeconds="0")
            self.bed.api.delete(f"{DASK}/namespaces/{namespace}/daskworkergroups/{name}-default")
            del self.pods[name], self.nodes[name]
        for key in keys:
            self.placements.gone(key)

    def start(self, requests: Sequence[Request]) -> None:
        """Create the workers of the requests in turns, then wait until all are bound."""
        for each in requests:
            if self.strategy.hinted and each.dask:
                self.templates[each.cluster] = self._group(each)
        turns = zip_longest(*([each] * each.workers for each in requests))
        for request in filter(None, chain.from_iterable(turns)):
            self._create(request)
        for each in requests:
            self.requests[each.cluster] = each
            key = (self.namespaces[each.namespace], each.cluster)
            self.nodes[each.cluster] = self.placements.nodes(key, len(self.pods[each.cluster]))

    def free(self) -> dict[str, int]:
        """Free GPUs of each node."""
        free = dict.fromkeys(self.floor.racks, self.floor.gpus)
        for cluster, nodes in self.nodes.items():
            for node in nodes if self.requests[cluster].gpu else ():
                free[node] -= 1
        return free

    def _group(self, request: Request) -> Object:
        """Make or scale a cluster's worker group, as the operator would; the pod spec that its workers then get."""
        path = f"{DASK}/namespaces/{self.namespaces[request.namespace]}/daskworkergroups"
        name = f"{request.cluster}-default"
        if request.cluster in self.requests:
            replicas = len(self.pods[request.cluster]) + request.workers
            group = self.bed.api.merge(f"{path}/{name}", {"spec": {"worker": {"replicas": replicas}}})
        else:
            template = self._worker("$(DASK_WORKER_NAME)", request)["spec"]
            spec = {"cluster": request.cluster, "worker": {"replicas": request.workers, "spec": template}}
            about = {"apiVersion": GROUP_VERSION, "kind": "DaskWorkerGroup", "metadata": {"name": name}}
            group = self.bed.api.create(path, {**about, "spec": spec})
        found: Object = group["spec"]["worker"]["spec"]
        return found

    def _worker(self, name: str, request: Request) -> Object:
        pod = worker(name, request, self.shape, self.strategy.affinity if request.dask else {})
        pod["spec"]["nodeSelector"] = {ROOM: self.floor.name}
        return pod

    def _create(self, request: Request) -> None:
        pods = self.pods.setdefault(request.cluster, [])
        pods.append(f"{request.cluster}-default-worker-{len(pods)}")
        pod = self._worker(pods[-1], request)
        if request.cluster in self.templates:
            pod["spec"] = self.templates[request.cluster]
        self.bed.api.create(f"/api/v1/namespaces/{self.namespaces[request.namespace]}/pods", pod)


def worker(name: str, request: Request, shape: Shape, affinity: Mapping[str, Object]) -> Object:
    """A worker pod with the labels that the operator's Deployments give it."""
    container: Object = {
        "name": "worker",
        "image": "worker",
        "args": ["dask-worker", "--name", name],
        "resources": _resources(request, shape),
    }
    labels = {
        "dask.org/component": "worker" if request.dask else "other",
        "dask.org/cluster-name": request.cluster,
        "dask.org/workergroup-name": f"{request.cluster}-default",
    }
    spec: Object = {"containers": [container], **({"affinity": affinity} if affinity else {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def _resources(request: Request, shape: Shape) -> Object:
    """An explicit zero says that a worker needs no GPU: the webhook leaves it so."""
    if not request.gpu:
        return {"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"nvidia.com/gpu": "0"}}
    return {"limits": {"nvidia.com/gpu": "1"}, **({"requests": dict(shape.requests)} if shape.requests else {})}


class Floors:
    """Nodes that are made once and used by one replay after another."""

    def __init__(self, bed: Bed, rooms: Iterable[Room], at_once: int, *, resting: bool = True) -> None:
        """Make the nodes of each kind of room `at_once` times, wait until they are ready, and rest.

        kwok and the controllers would go on to renew leases and to move pods to Running. The scheduler needs
        neither: a pod that is bound takes its node's GPUs at once.

        Args:
            bed: The control plane.
            rooms: What will be replayed in.
            at_once: How many replays run side by side.
            resting: Whether kwok and the controllers are stopped, which is for good.
        """
        self._bed = bed
        self._free: dict[tuple[int, int, int], SimpleQueue[Floor]] = {}
        for kind in dict.fromkeys(map(_kind, rooms)):
            self._free[kind] = SimpleQueue()
            for number in range(at_once):
                self._free[kind].put(_floor(bed, kind, f"room-{kind[0]}x{kind[1]}-{number}"))
        until(lambda: not _tainted(bed), 120, "the nodes are ready", str)
        if resting:
            rest(bed)

    @contextmanager
    def place(self, placements: Placements, strategy: Strategy, room: Room) -> Iterator[Place]:
        """An empty room for one replay, with fresh namespaces; empty again after it.

        A replay that fails leaves its pods, and gives the nodes back all the same: who waits for them shall not hang.
        """
        queue = self._free[_kind(room)]
        floor = queue.get()
        try:
            here = Place(
                bed=self._bed,
                placements=placements,
                strategy=strategy,
                shape=room.shape,
                floor=floor,
                namespaces=[namespace(self._bed, strategy.annotations) for _ in range(room.namespaces)],
            )
            yield here
            here.end(list(here.requests))
        finally:
            queue.put(floor)


def namespace(bed: Bed, annotations: Mapping[str, str]) -> str:
    """A new namespace with its service account, which the resting controllers would have made; its name."""
    name = f"bench-{secrets.token_hex(4)}"
    bed.api.create("/api/v1/namespaces", {"metadata": {"name": name, "annotations": dict(annotations)}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    bed.api.apply(f"/api/v1/namespaces/{name}/serviceaccounts", account)  # apply: the controllers may be faster
    return name


def rest(bed: Bed) -> None:
    """Stop those who would renew leases and look after nodes; without them the nodes stay ready."""
    for each in bed.plane.processes:
        if each.name in {"kwok", "kube-controller-manager"}:
            each.stop()


def _kind(room: Room) -> tuple[int, int, int]:
    return room.nodes, room.gpus, room.racks


def _floor(bed: Bed, kind: tuple[int, int, int], name: str) -> Floor:
    nodes, gpus, racks = kind
    of: dict[str, str] = {}
    for rack in (f"{name}-rack-{number}" for number in range(racks)):
        names = [f"{rack}-node-{number}" for number in range(nodes // racks)]
        add(bed.api, names, gpus, {ROOM: name, RACK: rack})
        of |= dict.fromkeys(names, rack)
    return Floor(name=name, racks=of, gpus=gpus)


def _tainted(bed: Bed) -> bool:
    return any(each["spec"].get("taints") for each in bed.api.items(NODES))
