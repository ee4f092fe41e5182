"""GPUs of nodes with Dynamic Resource Allocation, alone and in the node index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.placement.factories import GPU, RACK, node, pod
from webhook.placement import dra
from webhook.placement.constraints import constraints
from webhook.placement.model import PodUsage
from webhook.placement.node_index import NodeIndex, PoolKey

if TYPE_CHECKING:
    from webhook.placement.dra import Devices, Slice

ANY = PoolKey(GPU, constraints({}), RACK)
DRIVER = "gpu.nvidia.com"
SPECIAL = {"resource.kubernetes.io/extended-resource-claim": "true"}


def device_class(name: str = DRIVER, resource: str | None = GPU, kind: str = "gpu", created: str = "") -> Any:  # noqa: ANN401 - a raw object
    """Return a raw DeviceClass of NVIDIA's driver."""
    expression = f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == '{kind}'"
    spec = {"selectors": [{"cel": {"expression": expression}}], "extendedResourceName": resource}
    return {"metadata": {"name": name, "creationTimestamp": created}, "spec": spec}


def resource_slice(on: str = "a", gpus: int = 4, migs: int = 0, generation: int = 1, **spec: Any) -> Any:  # noqa: ANN401 - a raw object
    """Return a raw ResourceSlice of one node."""
    devices = [
        {"name": f"{kind}-{number}", "attributes": {"type": {"string": kind}, "uuid": {"string": f"{on}-{number}"}}}
        for kind, count in (("gpu", gpus), ("mig", migs))
        for number in range(count)
    ]
    pool = {"name": on, "generation": generation, "resourceSliceCount": 1}
    return {"spec": {"driver": DRIVER, "nodeName": on, "pool": pool, "devices": devices, **spec}}


def claim(*devices: str, on: str = "a", annotations: Any = None, **result: Any) -> Any:  # noqa: ANN401 - a raw object
    """Return a raw ResourceClaim with allocated devices of a node."""
    results = [{"driver": DRIVER, "pool": on, "device": each, **result} for each in devices]
    return {"metadata": {"annotations": annotations}, "status": {"allocation": {"devices": {"results": results}}}}


def parsed_slice(item: Any) -> Slice:  # noqa: ANN401 - a raw object
    """Return the parsed slice of a raw ResourceSlice."""
    found = dra.resource_slice(item)
    assert found is not None
    return found


def add_classes(index: NodeIndex, *classes: Any) -> Devices:  # noqa: ANN401 - raw objects
    """Add classes to the devices of an index, and return the devices."""
    for each in classes or (device_class(),):
        found = dra.device_class(each)
        assert found is not None
        index.devices.put_class(found)
    return index.devices


def test_devices_of_a_class_are_free_gpus() -> None:
    """A node without a device plugin has the devices that the class selects, minus the devices allocated to claims."""
    index = NodeIndex()
    devices = add_classes(index)
    index.put_node(node("a", 0))
    assert index.pool(ANY).free == {}
    devices.put_slice("s", parsed_slice(resource_slice(gpus=4, migs=7)))
    assert index.pool(ANY).free == {"a": 4}
    devices.put_claim("1", dra.claimed_devices(claim("gpu-0", "mig-3")))
    assert index.pool(ANY).free == {"a": 3}
    devices.delete_claim("1")
    assert index.pool(ANY).free == {"a": 4}
    devices.delete_slice("s")
    assert index.pool(ANY).free == {}


def test_gpu_of_a_pod_counts_once() -> None:
    """A pod whose request is served by a claim of kube-scheduler counts once, by its request."""
    index = NodeIndex()
    devices = add_classes(index)
    index.put_node(node("a", 0))
    devices.put_slice("s", parsed_slice(resource_slice(gpus=4)))
    devices.put_claim("1", dra.claimed_devices(claim("gpu-0", "gpu-1", annotations=SPECIAL)))
    assert index.pool(ANY).free == {"a": 4}
    index.put_pod("1", pod("a", 2))
    assert index.pool(ANY).free == {"a": 2}


def test_node_with_a_device_plugin_is_not_counted_twice() -> None:
    """If a device plugin and a DRA driver publish the same GPUs, hints count the plugin's, like kube-scheduler."""
    index = NodeIndex()
    devices = add_classes(index)
    devices.put_slice("s", parsed_slice(resource_slice(gpus=4)))
    devices.put_claim("1", dra.claimed_devices(claim("gpu-0")))
    index.put_node(node("a", 4))
    index.put_node(node("b", 0))
    devices.put_slice("t", parsed_slice(resource_slice("b", gpus=2)))
    assert index.pool(ANY).free == {"a": 4, "b": 2}


def test_implicit_name_takes_the_same_devices() -> None:
    """Devices requested by the name of their class are not free for the extended resource."""
    index = NodeIndex()
    devices = add_classes(index)
    index.put_node(node("a", 0))
    devices.put_slice("s", parsed_slice(resource_slice(gpus=4)))
    assert index.pool(ANY).free == {"a": 4}
    index.put_pod("1", PodUsage("a", ((f"deviceclass.resource.kubernetes.io/{DRIVER}", 3),), None))
    assert index.pool(ANY).free == {"a": 1}


def test_latest_class_serves_a_resource() -> None:
    """Of two classes with one resource the latest serves it; of equally old classes the first by name."""
    index = NodeIndex()
    index.put_node(node("a", 0))
    devices = add_classes(index, device_class("b"), device_class("c", kind="mig"))
    devices.put_slice("s", parsed_slice(resource_slice(gpus=4, migs=7)))
    assert index.pool(ANY).free == {"a": 4}
    add_classes(index, device_class("c", kind="mig", created="2026-01-01T00:00:00Z"))
    assert index.pool(ANY).free == {"a": 7}
    devices.delete_class("c")
    assert index.pool(ANY).free == {"a": 4}
    devices.delete_class("b")
    assert index.pool(ANY).free == {}


def test_class_with_unsupported_selectors_counts_nothing() -> None:
    """Devices of a class with unsupported selectors never count as free GPUs."""
    index = NodeIndex()
    odd = device_class()
    odd["spec"]["selectors"] = [{"cel": {"expression": "true"}}]
    devices = add_classes(index, odd)
    index.put_node(node("a", 0))
    devices.put_slice("s", parsed_slice(resource_slice()))
    assert devices.total("a", GPU) == 0


def test_outdated_generation_of_a_pool_is_gone() -> None:
    """While a driver replaces its slices, only the pool's latest generation counts."""
    devices = add_classes(NodeIndex())
    devices.put_slice("old", parsed_slice(resource_slice(gpus=4, generation=1)))
    devices.put_slice("new", parsed_slice(resource_slice(gpus=3, generation=2)))
    assert devices.total("a", GPU) == 3
    devices.delete_slice("new")
    assert devices.total("a", GPU) == 4


def test_unavailable_devices_are_ignored() -> None:
    """Tainted devices, slices of several nodes, and classes without an extended resource are ignored."""
    item = resource_slice(gpus=3)
    item["spec"]["devices"][0]["taints"] = [{"key": "broken", "effect": "NoExecute"}]
    devices = add_classes(NodeIndex())
    devices.put_slice("s", parsed_slice(item))
    assert devices.total("a", GPU) == 2
    assert dra.resource_slice(resource_slice(nodeName=None, allNodes=True)) is None
    assert dra.device_class(device_class(resource=None)) is None


def test_admin_access_takes_no_device() -> None:
    """Devices of a claim with admin access stay free."""
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
def test_pools_equal_a_full_count(changes: list[tuple[str, str, int]], first_question: int) -> None:
    """For any order of node, class, slice and claim events, a pool created early equals a count at the end."""
    index = NodeIndex()
    plugin: dict[str, int] = {}
    published: dict[str, int] = {}
    held: dict[str, int] = {}
    served = False
    for number, (what, name, count) in enumerate(changes):
        if number == first_question:
            index.pool(ANY)
        match what:
            case "node":
                plugin[name] = count
                index.put_node(node(name, count))
            case "slice":
                published[name] = count
                index.devices.put_slice(name, parsed_slice(resource_slice(name, count)))
            case "no slice":
                published.pop(name, None)
                index.devices.delete_slice(name)
            case "claim":
                held[name] = count
                names = (f"gpu-{device}" for device in range(count))
                index.devices.put_claim(name, dra.claimed_devices(claim(*names, on=name)))
            case "no claim":
                held.pop(name, None)
                index.devices.delete_claim(name)
            case _:
                served = bool(count)
                found = dra.device_class(device_class())
                assert found is not None
                index.devices.put_class(found) if served else index.devices.delete_class(found.name)
    expected = {
        name: own or (max(published.get(name, 0) - held.get(name, 0), 0) if served else 0)
        for name, own in plugin.items()
    }
    assert index.pool(ANY).free == {name: free for name, free in expected.items() if free}
