"""GPUs of nodes with Dynamic Resource Allocation, on their own and in the node index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.placement.factories import GPU, RACK, node, pod
from webhook.placement import dra
from webhook.placement.constraints import constraints
from webhook.placement.model import PodUsage
from webhook.placement.node_index import Kind, NodeIndex

if TYPE_CHECKING:
    from webhook.placement.dra import Devices, Slice

ANY = Kind(GPU, constraints({}), RACK)
DRIVER = "gpu.nvidia.com"
SPECIAL = {"resource.kubernetes.io/extended-resource-claim": "true"}


def device_class(name: str = DRIVER, resource: str | None = GPU, kind: str = "gpu", created: str = "") -> Any:  # noqa: ANN401 - a raw object
    """A raw DeviceClass of NVIDIA's driver."""
    expression = f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == '{kind}'"
    spec = {"selectors": [{"cel": {"expression": expression}}], "extendedResourceName": resource}
    return {"metadata": {"name": name, "creationTimestamp": created}, "spec": spec}


def resource_slice(on: str = "a", gpus: int = 4, migs: int = 0, generation: int = 1, **spec: Any) -> Any:  # noqa: ANN401 - a raw object
    """A raw ResourceSlice of one node."""
    devices = [
        {"name": f"{kind}-{number}", "attributes": {"type": {"string": kind}, "uuid": {"string": f"{on}-{number}"}}}
        for kind, count in (("gpu", gpus), ("mig", migs))
        for number in range(count)
    ]
    pool = {"name": on, "generation": generation, "resourceSliceCount": 1}
    return {"spec": {"driver": DRIVER, "nodeName": on, "pool": pool, "devices": devices, **spec}}


def claim(*devices: str, on: str = "a", annotations: Any = None, **result: Any) -> Any:  # noqa: ANN401 - a raw object
    """A raw ResourceClaim that holds devices of a node."""
    results = [{"driver": DRIVER, "pool": on, "device": each, **result} for each in devices]
    return {"metadata": {"annotations": annotations}, "status": {"allocation": {"devices": {"results": results}}}}


def taken(item: Any) -> Slice:  # noqa: ANN401 - a raw object
    """A slice of one node."""
    found = dra.resource_slice(item)
    assert found is not None
    return found


def classified(index: NodeIndex, *classes: Any) -> Devices:  # noqa: ANN401 - raw objects
    """The devices of an index, with these classes."""
    for each in classes or (device_class(),):
        found = dra.device_class(each)
        assert found is not None
        index.devices.put_class(found)
    return index.devices


def test_devices_of_a_class_are_free_gpus() -> None:
    """A node without a device plugin has the devices that the class selects, less those that claims hold."""
    index = NodeIndex()
    devices = classified(index)
    index.put_node(node("a", 0))
    assert index.pool(ANY).free == {}
    devices.put_slice("s", taken(resource_slice(gpus=4, migs=7)))
    assert index.pool(ANY).free == {"a": 4}
    devices.put_claim("1", dra.claimed_devices(claim("gpu-0", "mig-3")))
    assert index.pool(ANY).free == {"a": 3}
    devices.drop_claim("1")
    assert index.pool(ANY).free == {"a": 4}
    devices.drop_slice("s")
    assert index.pool(ANY).free == {}


def test_gpu_of_a_pod_counts_once() -> None:
    """A pod whose request is served by a claim of kube-scheduler's own counts by its request, not by the claim too."""
    index = NodeIndex()
    devices = classified(index)
    index.put_node(node("a", 0))
    devices.put_slice("s", taken(resource_slice(gpus=4)))
    devices.put_claim("1", dra.claimed_devices(claim("gpu-0", "gpu-1", annotations=SPECIAL)))
    assert index.pool(ANY).free == {"a": 4}
    index.put_pod("1", pod("a", 2))
    assert index.pool(ANY).free == {"a": 2}


def test_node_with_a_device_plugin_is_not_counted_twice() -> None:
    """Where the device plugin and a driver publish the same GPUs, kube-scheduler uses the plugin's, and so do hints."""
    index = NodeIndex()
    devices = classified(index)
    devices.put_slice("s", taken(resource_slice(gpus=4)))
    devices.put_claim("1", dra.claimed_devices(claim("gpu-0")))
    index.put_node(node("a", 4))
    index.put_node(node("b", 0))
    devices.put_slice("t", taken(resource_slice("b", gpus=2)))
    assert index.pool(ANY).free == {"a": 4, "b": 2}


def test_implicit_name_takes_the_same_devices() -> None:
    """A pod may request devices by the name of their class; they are gone for the extended resource as well."""
    index = NodeIndex()
    devices = classified(index)
    index.put_node(node("a", 0))
    devices.put_slice("s", taken(resource_slice(gpus=4)))
    assert index.pool(ANY).free == {"a": 4}
    index.put_pod("1", PodUsage("a", ((f"deviceclass.resource.kubernetes.io/{DRIVER}", 3),), None))
    assert index.pool(ANY).free == {"a": 1}


def test_latest_class_serves_a_resource() -> None:
    """Of two classes with one resource the one created later serves it, then the first by name."""
    index = NodeIndex()
    index.put_node(node("a", 0))
    devices = classified(index, device_class("b"), device_class("c", kind="mig"))
    devices.put_slice("s", taken(resource_slice(gpus=4, migs=7)))
    assert index.pool(ANY).free == {"a": 4}
    classified(index, device_class("c", kind="mig", created="2026-01-01T00:00:00Z"))
    assert index.pool(ANY).free == {"a": 7}
    devices.drop_class("c")
    assert index.pool(ANY).free == {"a": 4}
    devices.drop_class("b")
    assert index.pool(ANY).free == {}


def test_class_with_unsupported_selectors_counts_nothing() -> None:
    """Devices of a class that is not understood are never taken for free GPUs."""
    index = NodeIndex()
    odd = device_class()
    odd["spec"]["selectors"] = [{"cel": {"expression": "true"}}]
    devices = classified(index, odd)
    index.put_node(node("a", 0))
    devices.put_slice("s", taken(resource_slice()))
    assert devices.total("a", GPU) == 0


def test_outdated_generation_of_a_pool_is_gone() -> None:
    """While a driver replaces its slices, only those of the pool's latest generation have devices."""
    devices = classified(NodeIndex())
    devices.put_slice("old", taken(resource_slice(gpus=4, generation=1)))
    devices.put_slice("new", taken(resource_slice(gpus=3, generation=2)))
    assert devices.total("a", GPU) == 3
    devices.drop_slice("new")
    assert devices.total("a", GPU) == 4


def test_devices_that_no_pod_gets_are_left_out() -> None:
    """Tainted devices, and slices that belong to no single node, offer nothing; a class without a resource is none."""
    item = resource_slice(gpus=3)
    item["spec"]["devices"][0]["taints"] = [{"key": "broken", "effect": "NoExecute"}]
    devices = classified(NodeIndex())
    devices.put_slice("s", taken(item))
    assert devices.total("a", GPU) == 2
    assert dra.resource_slice(resource_slice(nodeName=None, allNodes=True)) is None
    assert dra.device_class(device_class(resource=None)) is None


def test_administrators_look_takes_no_device() -> None:
    """A claim with admin access leaves its devices free."""
    assert dra.claimed_devices(claim("gpu-0", adminAccess=True)) == ()


NODES = st.sampled_from(["a", "b"])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("node"), NODES, st.integers(0, 2)),
        st.tuples(st.just("slice"), NODES, st.integers(0, 4)),
        st.tuples(st.just("no slice"), NODES, st.just(0)),
        st.tuples(st.just("claim"), NODES, st.integers(0, 4)),
        st.tuples(st.just("no claim"), NODES, st.just(0)),
        st.tuples(st.just("class"), NODES, st.integers(0, 1)),
    ),
    max_size=20,
)


@given(CHANGES, st.integers(0, 20))
def test_pools_are_what_a_count_of_everything_gives(changes: list[tuple[str, str, int]], asked_after: int) -> None:
    """In whatever order nodes, classes, slices and claims come and go, a pool made early equals a count at the end."""
    index = NodeIndex()
    plugin: dict[str, int] = {}
    published: dict[str, int] = {}
    held: dict[str, int] = {}
    served = False
    for number, (what, name, count) in enumerate(changes):
        if number == asked_after:
            index.pool(ANY)
        match what:
            case "node":
                plugin[name] = count
                index.put_node(node(name, count))
            case "slice":
                published[name] = count
                index.devices.put_slice(name, taken(resource_slice(name, count)))
            case "no slice":
                published.pop(name, None)
                index.devices.drop_slice(name)
            case "claim":
                held[name] = count
                names = (f"gpu-{device}" for device in range(count))
                index.devices.put_claim(name, dra.claimed_devices(claim(*names, on=name)))
            case "no claim":
                held.pop(name, None)
                index.devices.drop_claim(name)
            case _:
                served = bool(count)
                found = dra.device_class(device_class())
                assert found is not None
                index.devices.put_class(found) if served else index.devices.drop_class(found.name)
    expected = {
        name: own or (max(published.get(name, 0) - held.get(name, 0), 0) if served else 0)
        for name, own in plugin.items()
    }
    assert index.pool(ANY).free == {name: free for name, free in expected.items() if free}
