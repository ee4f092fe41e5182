"""Node pools of the placement benchmark: simulated nodes that one replay after another uses."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue

from tests.bench import dra
from tests.bench.manifests import image
from tests.bench.shapes import PoolShape
from tests.e2e.bed.api import Api
from tests.e2e.bed.bed import Bed
from tests.e2e.bed.nodes import NODES, add
from tests.e2e.bed.waiting import until

POOL = "pool"  # the node label by which the pods of a replay stay on the nodes of their pool
# The portable label below a region. The presets have a platform's rack label; kube-scheduler treats both alike.
RACK = "topology.kubernetes.io/zone"
IMAGES = 4
IMAGE_BYTES = 12_000_000_000  # nvcr.io/nvidia/rapidsai/notebooks is 10 GB and more, unpacked


@dataclass(frozen=True, kw_only=True)
class NodePool:
    """Nodes of one replay.

    Attributes:
        name: Value of their label `POOL`.
        racks: Rack of each node.
        gpus: GPUs of each node.
        dra: Whether some of them publish GPUs as ResourceSlices.
    """

    name: str
    racks: Mapping[str, str]
    gpus: int
    dra: bool


class NodePools:
    """Node pools of all shapes, several of each."""

    def __init__(self, bed: Bed, shapes: Iterable[PoolShape], copies: int, *, resting: bool = True) -> None:
        """Create `copies` pools of each shape and wait until their nodes are ready.

        Args:
            bed: The control plane.
            shapes: Shapes of the pools.
            copies: Number of replays that run at the same time.
            resting: Whether kwok and the controllers are stopped for good. They would renew leases and move pods to
                Running; kube-scheduler needs neither, since a bound pod takes its node's GPUs at once.
        """
        distinct = dict.fromkeys(shapes)
        if any(shape.dra_nodes for shape in distinct):
            dra.create_device_class(bed.api)
        self._free: dict[PoolShape, SimpleQueue[NodePool]] = {shape: SimpleQueue() for shape in distinct}
        for shape, queue in self._free.items():
            for number in range(copies):
                queue.put(_create(bed.api, shape, f"pool-{shape.name}-{number}"))
        until(lambda: not _tainted(bed), 120, "the nodes are ready", str)
        if resting:
            rest(bed)

    @contextmanager
    def reserve(self, shape: PoolShape) -> Iterator[NodePool]:
        """Reserve a pool of the shape while the block runs; after an error it is free again, with its pods."""
        queue = self._free[shape]
        pool = queue.get()
        try:
            yield pool
        finally:
            queue.put(pool)


def namespace(bed: Bed, annotations: Mapping[str, str]) -> str:
    """Create a namespace and its service account, which the stopped controllers would create; return its name."""
    name = f"bench-{secrets.token_hex(4)}"
    bed.api.create("/api/v1/namespaces", {"metadata": {"name": name, "annotations": dict(annotations)}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    bed.api.apply(f"/api/v1/namespaces/{name}/serviceaccounts", account)  # apply: the controllers may create it first
    return name


def rest(bed: Bed) -> None:
    """Stop kwok and the controllers; without them the nodes stay ready."""
    for process in bed.plane.processes:
        if process.name in {"kwok", "kube-controller-manager"}:
            process.stop()


def _create(api: Api, shape: PoolShape, name: str) -> NodePool:
    racks: dict[str, str] = {}
    for rack in range(shape.racks):
        for number in range(shape.nodes // shape.racks):
            node = f"{name}-rack-{rack}-node-{number}"
            racks[node] = f"{name}-rack-{rack}"
            published = number < shape.dra_nodes
            labels = {POOL: name, RACK: racks[node]}
            # Every pool lists the images on the same share of its nodes: kube-scheduler scales an image's size by the
            # share of all nodes that have it.
            images = {image(number % IMAGES): IMAGE_BYTES}
            add(api, [node], 0 if published else shape.gpus, labels, images)
            if published:
                dra.publish(api, [node], shape.gpus)
    return NodePool(name=name, racks=racks, gpus=shape.gpus, dra=shape.dra_nodes > 0)


def _tainted(bed: Bed) -> bool:
    return any(node["spec"].get("taints") for node in bed.api.items(NODES))
