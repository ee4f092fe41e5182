"""Nodes used and the minimum possible number, against exhaustive search and the benchmark's definition."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.bench.minimum import FullError
from tests.bench.minimum import minimum as benchmark_minimum
from tests.unit.placement.test_dra import SPECIAL, claim, device_class, resource_slice
from tests.unit.status.factories import WorkerPod, node, other_pod, snapshot
from webhook.placement import objects
from webhook.status.gpus import GpuInventory, PodRequest, inventory
from webhook.status.node_usage import NodeUsage, minimum_domains, node_usage
from webhook.status.snapshot import node_name

if TYPE_CHECKING:
    from webhook.status.model import DomainUsage
    from webhook.workloads.unstructured import Unstructured

GPU = "nvidia.com/gpu"
INVENTORY = GpuInventory((GPU,))
FREE_GPUS = st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 8), min_size=1)


@given(FREE_GPUS, st.integers(1, 20))
def test_same_minimum_as_the_benchmark(free: dict[str, int], workers: int) -> None:
    """For workers with one GPU the minimum is that of the placement benchmark; None if GPUs do not suffice."""
    try:
        expected: int | None = benchmark_minimum(free, workers)
    except FullError:
        expected = None
    assert minimum_domains(Counter(free.values()), workers) == expected


@given(FREE_GPUS, st.integers(1, 4), st.data())
def test_no_smaller_set_of_nodes_holds_the_workers(gpus: dict[str, int], size: int, data: st.DataObject) -> None:
    """No smaller set of nodes holds all workers while other pods stay where they are."""
    own = {name: data.draw(st.integers(0, count // size)) for name, count in gpus.items()}
    others = {name: data.draw(st.integers(0, gpus[name] - size * own[name])) for name in gpus}
    pods = [
        *(WorkerPod(name=name, node=name, gpus=size).pod() for name, count in own.items() for _ in range(count)),
        *(other_pod(f"x{name}", name, count) for name, count in others.items() if count),
    ]
    scheduled = [(node_name(pod), INVENTORY.request(pod)) for pod in pods]
    workers = scheduled[: sum(own.values())]
    capacity = {name: (gpus[name] - others[name]) // size for name in gpus}
    sufficient = [
        count
        for count in range(len(gpus) + 1)
        for names in combinations(gpus, count)
        if sum(capacity[name] for name in names) >= len(workers)
    ]
    usage = usage_of([node(name, count) for name, count in gpus.items()], pods)
    assert usage.domains(workers, str).minimum == (min(sufficient) if workers else None)


def usage_of(nodes: list[Unstructured], pods: list[Unstructured], gpus: GpuInventory = INVENTORY) -> NodeUsage:
    """Return the usage of raw nodes by raw pods."""
    return node_usage(
        [objects.node(item) for item in nodes], [(node_name(pod), gpus.request(pod)) for pod in pods], gpus
    )


def nodes_used(nodes: list[Unstructured], *pods: Unstructured) -> DomainUsage:
    """Return the nodes that these workers use, with no other pods."""
    return usage_of(nodes, list(pods)).domains([(node_name(pod), INVENTORY.request(pod)) for pod in pods], str)


def test_unschedulable_node_counts_only_its_own_workers() -> None:
    """A cordoned node takes no more workers; its own workers could stay."""
    cordoned = node("a", 8)
    cordoned["spec"]["unschedulable"] = True
    nodes = [cordoned, node("b", 4), node("c", 4)]
    first, second, *others = (WorkerPod(name="w", node=name).pod() for name in "abbbb")
    assert nodes_used(nodes, first, second).minimum == 1
    assert nodes_used(nodes, first, second, *others).minimum == 2


def test_node_selector_limits_the_nodes() -> None:
    """Workers with a nodeSelector are compared with the nodes that have its labels."""
    nodes = [node("big", 8), node("s1", 1, pool="small"), node("s2", 1, pool="small")]
    pods = [WorkerPod(name="w", node=name).pod() for name in ("s1", "s2")]
    assert nodes_used(nodes, *pods).minimum == 1
    for pod in pods:
        pod["spec"]["nodeSelector"] = {"pool": "small"}
    assert nodes_used(nodes, *pods).minimum == 2


def test_minimum_is_unknown_without_gpus() -> None:
    """Workers without GPUs use nodes, and their minimum is unknown."""
    domains = usage_of([node("a")], []).domains([("a", PodRequest(()))], str)
    assert (domains.used, domains.minimum) == (("a",), None)


def test_request_of_a_pod() -> None:
    """Containers add up, an init container counts by its maximum, and MIG devices are counted separately."""
    mig = "nvidia.com/mig-1g.5gb"
    containers = [{"resources": {"limits": {GPU: "1"}}}, {"resources": {"limits": {GPU: 2, mig: "1"}}}]
    pod = {"spec": {"containers": containers, "initContainers": [{"resources": {"limits": {mig: "4"}}}]}}
    assert dict(INVENTORY.request(pod).devices) == {GPU: 3, mig: 4}


def test_devices_of_dynamic_resource_allocation() -> None:
    """Devices of a DeviceClass count once, whether an extended resource request or a ResourceClaim holds them."""
    served, claiming = other_pod("served", "a", 2), other_pod("claiming", "a", 0)
    special = claim("gpu-0", "gpu-1", annotations=SPECIAL)
    own = claim("gpu-2")
    own["metadata"] |= {"namespace": claiming["metadata"]["namespace"], "name": "own"}
    own["status"]["reservedFor"] = [{"resource": "pods", "name": "claiming", "uid": "1"}]
    slices = (resource_slice("a", gpus=4, migs=3) | {"metadata": {"name": "a"}},)
    raw = snapshot(device_classes=(device_class(),), resource_slices=slices, resource_claims=(special, own))
    gpus = inventory(raw, (GPU,))
    assert [gpus.request(pod).gpus for pod in (served, claiming)] == [2, 1]
    usage = usage_of([node("a", 0)], [served, claiming], gpus)
    assert usage.allocatable["a"] == {GPU: 4}
    assert usage.allocated["a"] == {GPU: 3}


def test_device_plugin_takes_precedence() -> None:
    """A node whose device plugin and driver publish the same GPUs counts them once."""
    raw = snapshot(device_classes=(device_class(),), resource_slices=(resource_slice("a", gpus=4),))
    gpus, with_plugin = inventory(raw, (GPU,)), objects.node(node("a", 4))
    assert gpus.allocatable(with_plugin) == {GPU: 4}
    assert gpus.allocated(with_plugin) == {}
