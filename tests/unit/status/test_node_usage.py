"""Nodes used against the fewest: by counting, and against the definition that the benchmark goes by."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.bench.fewest import FullError
from tests.bench.fewest import fewest as fewest_of_bench
from tests.unit.capacity.test_dra import SPECIAL, claim, device_class, resource_slice
from tests.unit.status.factories import Worker, node, other_pod, snapshot
from webhook.status.minimum_nodes import fewest
from webhook.status.node_usage import floor
from webhook.status.pods import Ask, Devices, devices, node_of

if TYPE_CHECKING:
    from webhook.status.model import Spread
    from webhook.workloads.unstructured import Unstructured

GPU = "nvidia.com/gpu"
DEVICES = Devices((GPU,))
ROOMS = st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 8), min_size=1)


@given(ROOMS, st.integers(1, 20))
def test_same_as_the_benchmarks(free: dict[str, int], workers: int) -> None:
    """For workers of one GPU each it is the definition by which placements are measured; None without room."""
    try:
        expected: int | None = fewest_of_bench(free, workers)
    except FullError:
        expected = None
    assert fewest(Counter(free.values()), workers) == expected


@given(ROOMS, st.integers(1, 4), st.data())
def test_no_smaller_set_of_nodes_holds_the_workers(gpus: dict[str, int], each: int, data: st.DataObject) -> None:
    """Every set of nodes is tried, with everybody else left where they are: none that is smaller holds all workers."""
    room = {name: count // each for name, count in gpus.items()}
    own = {name: data.draw(st.integers(0, most)) for name, most in room.items()}
    left = {name: gpus[name] - each * own[name] for name in gpus}
    others = {name: data.draw(st.integers(0, most)) for name, most in left.items()}
    pods = [
        *(Worker(name=name, node=name, gpus=each).pod() for name, count in own.items() for _ in range(count)),
        *(other_pod(f"x{name}", name, count) for name, count in others.items() if count),
    ]
    asks = [(pod, DEVICES.ask(pod)) for pod in pods]
    ground = floor([node(name, count) for name, count in gpus.items()], asks, DEVICES)
    workers = [(node_of(pod), ask) for pod, ask in asks if pod["metadata"]["namespace"] == "rapids"]
    fits = {name: (gpus[name] - others[name]) // each for name in gpus}
    tried = [
        count
        for count in range(len(gpus) + 1)
        for nodes in combinations(gpus, count)
        if sum(fits[name] for name in nodes) >= len(workers)
    ]
    assert ground.spread(workers, str).fewest == (min(tried) if workers else None)


def spread(nodes: list[Unstructured], *pods: Unstructured) -> Spread:
    """How pods stand on nodes, with nobody else there."""
    asks = [(pod, DEVICES.ask(pod)) for pod in pods]
    return floor(nodes, asks, DEVICES).spread([(node_of(pod), ask) for pod, ask in asks], str)


def test_closed_node_counts_only_for_who_is_on_it() -> None:
    """A cordoned node takes no more workers; those that stand there could stay."""
    closed = node("a", 8)
    closed["spec"]["unschedulable"] = True
    nodes = [closed, node("b", 4), node("c", 4)]
    first, second, *others = (Worker(name="w", node=on).pod() for on in "abbbb")
    assert spread(nodes, first, second).fewest == 1
    assert spread(nodes, first, second, *others).fewest == 2


def test_node_selector_limits_the_nodes() -> None:
    """Workers that ask for a label are judged by the nodes that carry it."""
    nodes = [node("big", 8), node("s1", 1, pool="small"), node("s2", 1, pool="small")]
    pods = [Worker(name="w", node=on).pod() for on in ("s1", "s2")]
    assert spread(nodes, *pods).fewest == 1
    for pod in pods:
        pod["spec"]["nodeSelector"] = {"pool": "small"}
    assert spread(nodes, *pods).fewest == 2


def test_nothing_is_judged_without_devices() -> None:
    """Workers without GPUs have nodes, and no fewest."""
    found = floor([node("a")], [], DEVICES).spread([("a", Ask(()))], str)
    assert (found.used, found.fewest) == (("a",), None)


def test_what_a_pod_asks_for() -> None:
    """Containers add up; an init container counts where it alone asks for more; MIG slices are devices of their own."""
    mig = "nvidia.com/mig-1g.5gb"
    containers = [{"resources": {"limits": {GPU: "1"}}}, {"resources": {"limits": {GPU: 2, mig: "1"}}}]
    pod = {"spec": {"containers": containers, "initContainers": [{"resources": {"limits": {mig: "4"}}}]}}
    assert dict(DEVICES.ask(pod).devices) == {GPU: 3, mig: 4}


def test_devices_count_as_capacity_hints_count_them() -> None:
    """With Dynamic Resource Allocation: the devices that a class serves, each held once, by request or claim."""
    bare = node("a", 0)
    served, claiming = other_pod("served", "a", 2), other_pod("claiming", "a", 0)
    special = claim("gpu-0", "gpu-1", annotations=SPECIAL)
    own = claim("gpu-2")
    own["metadata"] |= {"namespace": claiming["metadata"]["namespace"], "name": "own"}
    own["status"]["reservedFor"] = [{"resource": "pods", "name": "claiming", "uid": "1"}]
    items = resource_slice("a", gpus=4, migs=3) | {"metadata": {"name": "a"}}
    taken = snapshot(device_classes=(device_class(),), resource_slices=(items,), resource_claims=(special, own))
    found = devices(taken, (GPU,))
    asks = [(pod, found.ask(pod)) for pod in (served, claiming)]
    assert [ask.gpus for _, ask in asks] == [2, 1]
    ground = floor([bare], asks, found)
    assert ground.rooms["a"].devices == {GPU: 4}
    assert ground.taken["a"] == {GPU: 3}


def test_device_plugin_comes_before_devices() -> None:
    """A node whose device plugin and driver publish the same GPUs has them once."""
    taken = snapshot(device_classes=(device_class(),), resource_slices=(resource_slice("a", gpus=4),))
    assert devices(taken, (GPU,)).allocatable(node("a", 4)) == {GPU: 4}
    assert devices(taken, (GPU,)).held(node("a", 4)) == {}
