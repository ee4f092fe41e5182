"""Whether pods created by the benchmark stand as those of the Dask operator do: the same clusters, both ways.

In an empty room each cluster has one best answer, so nothing is left to chance: with the webhook's affinity both
ways have to give the same number of nodes, cluster by cluster.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.placements import Placements
from tests.bench.plane import control_plane
from tests.bench.room import ROOM, Floors, worker
from tests.bench.strategies import STRATEGIES
from tests.bench.traces import WITH_REQUESTS, Request, Room
from tests.e2e.bed import dask_operator
from tests.e2e.bed.api import DASK
from tests.e2e.bed.bed import PROBES
from tests.e2e.webhook_process import installed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.room import Place
    from tests.e2e.bed.api import Object
    from tests.e2e.bed.bed import Bed

DEFAULT = next(each for each in STRATEGIES if each.name == "default")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The same clusters, made both ways.

    Attributes:
        by_operator: Nodes of each cluster that the operator made.
        as_pods: Nodes of each cluster whose pods were created.
        labels_differ: Dask's labels that only one kind of pod has.
    """

    by_operator: list[int]
    as_pods: list[int]
    labels_differ: set[str]


def compare(sizes: Sequence[int]) -> Comparison:
    """Create clusters of these sizes one after the other, in two rooms."""
    requests = [Request(cluster=f"gpu-{number}", workers=size) for number, size in enumerate(sizes)]
    with control_plane() as bed, installed(bed):
        placements = Placements(bed.plane)
        placements.start()
        floors = Floors(bed, [Room()], at_once=2, resting=False)
        with floors.place(placements, DEFAULT, Room()) as here:
            pods = [_create(here, request) for request in requests]
            labels = _labels(bed, here.namespaces[0])
        with _operator(bed), floors.place(placements, DEFAULT, Room()) as here:
            made = [_apply(here, request) for request in requests]
            operators_labels = _labels(bed, here.namespaces[0])
        placements.stop()
    return Comparison(by_operator=made, as_pods=pods, labels_differ=labels ^ operators_labels)


def _create(here: Place, request: Request) -> int:
    """Nodes of a cluster whose pods are created."""
    here.start([request])
    return len(set(here.nodes[request.cluster]))


def _apply(here: Place, request: Request) -> int:
    """Nodes of a cluster that the operator makes from a DaskCluster."""
    namespace = here.namespaces[0]
    here.bed.api.create(f"{DASK}/namespaces/{namespace}/daskclusters", _cluster(request, here.floor.name))
    return len(set(here.placements.nodes((namespace, request.cluster), request.workers)))


def _cluster(request: Request, room: str) -> Object:
    cluster = dask_operator.empty_cluster(request.cluster)
    spec = worker("", request, WITH_REQUESTS, {})["spec"]
    spec["containers"][0]["args"] = ["dask-worker", "--name", "$(DASK_WORKER_NAME)"]
    cluster["spec"]["worker"] = {"replicas": request.workers, "spec": {**spec, "nodeSelector": {ROOM: room}}}
    return cluster


def _labels(bed: Bed, namespace: str) -> set[str]:
    labels = (label for pod in bed.pods(namespace) for label in pod["metadata"]["labels"])
    return {label for label in labels if label.startswith("dask.org/")}


@contextmanager
def _operator(bed: Bed) -> Iterator[None]:
    """The Dask operator while the block runs."""
    operator = dask_operator.start(bed.plane)
    dask_operator.wait_until_it_handles(bed.api, operator, PROBES)
    yield
    operator.stop()
