"""GPUs of Dynamic Resource Allocation (DRA), as the NVIDIA DRA driver publishes them.

A DeviceClass with `extendedResourceName` lets kube-scheduler serve a limit of `nvidia.com/gpu` from the ResourceSlice
of a node: it creates a ResourceClaim for the pod and allocates devices to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.e2e.bed.api import Api, Object

GROUP = "/apis/resource.k8s.io/v1"
DRIVER = "gpu.nvidia.com"


def create_device_class(api: Api) -> None:
    """Create the DeviceClass that maps `nvidia.com/gpu` to devices of the driver."""
    selector = {"cel": {"expression": f"device.driver == '{DRIVER}'"}}
    spec = {"extendedResourceName": "nvidia.com/gpu", "selectors": [selector]}
    kind = {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass"}
    api.apply(f"{GROUP}/deviceclasses", {**kind, "metadata": {"name": DRIVER}, "spec": spec})


def publish(api: Api, nodes: Iterable[str], gpus: int) -> None:
    """Create one ResourceSlice with `gpus` devices for each node."""
    for node in nodes:
        api.create(f"{GROUP}/resourceslices", _slice(node, gpus))


def _slice(node: str, gpus: int) -> Object:
    devices = [{"name": f"gpu-{index}", "attributes": {"type": {"string": "gpu"}}} for index in range(gpus)]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-{DRIVER}"},
        "spec": {
            "driver": DRIVER,
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": devices,
        },
    }


def delete_claims(api: Api, namespace: str, pods: Iterable[str]) -> None:
    """Delete the ResourceClaims of deleted pods, in place of the stopped controllers, which frees the devices."""
    path, owners = f"{GROUP}/namespaces/{namespace}/resourceclaims", set(pods)
    for claim in api.items(path):
        metadata = claim["metadata"]
        if owners.intersection(owner["name"] for owner in metadata.get("ownerReferences", ())):
            api.merge(f"{path}/{metadata['name']}/status", {"status": {"allocation": None, "reservedFor": None}})
            api.merge(f"{path}/{metadata['name']}", {"metadata": {"finalizers": None}})
            api.delete(f"{path}/{metadata['name']}")
