"""Capacity hints for whole clusters: the Dask scheduler, ways of scaling, nodes with Dynamic Resource Allocation."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.e2e.examples import manifest
from tests.e2e.status_process import document
from tests.e2e.test_capacity import CLUSTER, HINTED, all_known, preferred_nodes, settled
from tests.e2e.webhook_process import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.bed.api import Object
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl, NamespaceFactory

GPU = "nvidia.com/gpu"
SCHEDULER = "dask.org/component=scheduler"
DEVICES = "/apis/resource.k8s.io/v1"
DRIVER = "gpu.nvidia.com"


def node_of_scheduler(bed: Bed, namespace: str) -> str:
    """Wait until the Dask scheduler is bound and return its node."""
    bed.wait(
        lambda: any("nodeName" in pod["spec"] for pod in bed.pods(namespace, SCHEDULER)), namespace, "it is bound", 30
    )
    (pod,) = bed.pods(namespace, SCHEDULER)
    assert preferred_nodes(pod["spec"]) == [pod["spec"]["nodeName"]]
    name: str = pod["spec"]["nodeName"]
    return name


SCALED = {
    "daskcluster": ("scale", "daskcluster", CLUSTER, "--replicas=4"),
    "daskworkergroup": ("scale", "daskworkergroup", f"{CLUSTER}-default", "--replicas=4"),
    "spec": ("patch", "daskworkergroup", f"{CLUSTER}-default", "--type=merge", '-p={"spec":{"worker":{"replicas":4}}}'),
}


@pytest.mark.parametrize("way", SCALED)
def test_the_guides_scenario(bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory, way: str) -> None:
    """On 3 nodes of 2 GPUs, 2 workers use 1 node, 4 use 2 after any way to scale, and none the scheduler's node."""
    with installed(bed, "--capacity-hints") as served, bed.nodes(3, gpus=2, prefix="guide"):
        namespace = make_namespace(HINTED)
        bed.wait(lambda: all_known(bed, served), namespace, "all nodes are ready and cached", 60)
        time.sleep(1)  # the capacity source may not have received the event of the last removed taint yet
        kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("cluster", workers=2))
        pods = bed.wait_for_workers(namespace, CLUSTER, 2)
        first = {pod["spec"]["nodeName"] for pod in pods}
        assert len(first) == 1
        assert node_of_scheduler(bed, namespace) not in first
        bed.wait(lambda: settled(served), namespace, "the reservation is settled", 20)

        verb, *rest = SCALED[way]
        kubectl(verb, "-n", namespace, *rest)
        pods = bed.wait_for_workers(namespace, CLUSTER, 4)
        nodes = {pod["spec"]["nodeName"] for pod in pods}
        assert len(nodes) == 2
        added = [pod for pod in pods if pod["spec"]["nodeName"] not in first]
        assert [preferred_nodes(pod["spec"]) for pod in added] == [sorted(nodes - first)] * 2
        bed.wait(lambda: settled(served), namespace, "the reservation is settled", 20)


@contextmanager
def devices(bed: Bed, gpus: dict[str, int]) -> Iterator[None]:
    """Create a DeviceClass for `nvidia.com/gpu` and `gpus` devices for each node; delete them after the block."""
    expression = f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == 'gpu'"
    spec: Object = {"selectors": [{"cel": {"expression": expression}}], "extendedResourceName": GPU}
    bed.api.create(f"{DEVICES}/deviceclasses", {"metadata": {"name": DRIVER}, "spec": spec})
    try:
        for node, count in gpus.items():
            bed.api.create(f"{DEVICES}/resourceslices", resource_slice(node, count))
        yield
    finally:
        for node in gpus:
            bed.api.delete(f"{DEVICES}/resourceslices/{node}")
        bed.api.delete(f"{DEVICES}/deviceclasses/{DRIVER}")


def resource_slice(node: str, gpus: int) -> Object:
    """Return a ResourceSlice as the driver on a node publishes it, with a MIG device and the GPUs."""
    kinds = [*(("gpu", f"gpu-{number}") for number in range(gpus)), ("mig", "gpu-0-mig-0")]
    published = [{"name": name, "attributes": {"type": {"string": kind}}} for kind, name in kinds]
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    return {
        "metadata": {"name": node},
        "spec": {"driver": DRIVER, "nodeName": node, "pool": pool, "devices": published},
    }


def claiming(node: str) -> list[Object]:
    """Return a ResourceClaim for one GPU and a pod that uses it on a node."""
    request = {"name": "gpu", "exactly": {"deviceClassName": DRIVER}}
    claim: Object = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "train"},
        "spec": {"devices": {"requests": [request]}},
    }
    container = {"name": "main", "image": "train", "resources": {"claims": [{"name": "gpu"}]}}
    spec = {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "train"}],
        "containers": [container],
    }
    return [claim, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "train"}, "spec": spec}]


def running(bed: Bed, namespace: str, name: str) -> bool:
    """Return whether a pod runs."""
    pod = bed.api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
    return bool(pod["status"].get("phase") == "Running")


def test_nodes_with_dynamic_resource_allocation(bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory) -> None:
    """Free devices of a DeviceClass count as GPUs, as those of a device plugin do; allocated devices count once."""
    with (
        installed(bed, "--capacity-hints") as served,
        bed.nodes(2, gpus=0, prefix="dra") as (part, whole),
        bed.nodes(1, gpus=2, prefix="plugin") as (plugin,),
        devices(bed, {part: 4, whole: 4}),
    ):
        namespace = make_namespace(HINTED)
        bed.wait(lambda: all_known(bed, served), namespace, "all nodes are ready and cached", 60)
        kubectl("apply", "-n", namespace, "-f", "-", stdin="\n---\n".join(map(json.dumps, claiming(part))))
        bed.wait(lambda: running(bed, namespace, "train"), namespace, "the claim is allocated", 30)
        time.sleep(1)  # the events of slices and claims may not have been received yet

        kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("cluster", workers=4))
        pods = bed.wait_for_workers(namespace, CLUSTER, 4)
        assert {pod["spec"]["nodeName"] for pod in pods} == {whole}
        assert all(pod["status"]["extendedResourceClaimStatus"] for pod in pods)
        assert node_of_scheduler(bed, namespace) == plugin
        bed.wait(lambda: settled(served), namespace, "the reservation is settled", 20)

        kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("cluster", workers=3, name="second"))
        pods = bed.wait_for_workers(namespace, "second", 3)
        assert {pod["spec"]["nodeName"] for pod in pods} == {part}
        assert {tuple(preferred_nodes(pod["spec"])) for pod in pods} == {(part,)}
        usage = {node["name"]: (node["gpus"], sum(pod["gpus"] for pod in node["pods"])) for node in nodes_of(bed)}
        assert usage == {part: (4, 4), whole: (4, 4), plugin: (2, 2)}


def nodes_of(bed: Bed) -> list[Object]:
    """Return the nodes in the report of `dask-colocate status`."""
    nodes: list[Object] = document(bed)["nodes"]
    return nodes
