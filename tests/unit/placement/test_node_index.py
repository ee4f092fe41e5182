"""The node index, compared to a count of all nodes and pods."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.placement.factories import DEMO, GPU, RACK, node, pod
from webhook.placement.constraints import Taint, constraints
from webhook.placement.node_index import MAX_POOLS, NodeIndex, PoolKey

if TYPE_CHECKING:
    from webhook.placement.model import Node, PodUsage

ANY = PoolKey(GPU, constraints({}), RACK)
SELECTING = PoolKey(GPU, constraints({"nodeSelector": {"team": "a"}}), RACK)
NAMES = st.sampled_from(["a", "b", "c"])
NODES = st.builds(
    node,
    NAMES,
    st.integers(0, 8),
    st.sampled_from(["r1", "r2"]),
    labels=st.sampled_from([{}, {"team": "a"}]),
    schedulable=st.booleans(),
    taints=st.sampled_from([(), (Taint("gpu", "", "NoSchedule"),)]),
)
UIDS = st.sampled_from(["1", "2", "3", "4"])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("node"), NODES),
        st.tuples(st.just("no node"), NAMES),
        st.tuples(st.just("pod"), st.tuples(UIDS, st.builds(pod, NAMES, st.integers(1, 4)))),
        st.tuples(st.just("no pod"), UIDS),
    ),
    max_size=25,
)


@given(CHANGES, st.integers(0, 25))
def test_pools_equal_a_full_count(changes: list[tuple[str, object]], first_question: int) -> None:
    """For any order of node and pod events, a pool created early equals a pool created late."""
    index = NodeIndex()
    nodes: dict[str, Node] = {}
    pods: dict[str, PodUsage] = {}
    for number, (what, subject) in enumerate(changes):
        if number == first_question:
            index.pool(ANY), index.pool(SELECTING)
        _change(index, what, subject)
        _note(nodes, pods, what, subject)
    for kind in (ANY, SELECTING):
        found = index.pool(kind)
        assert found.free == _counted(nodes, pods, kind)
        assert dict(found.counts) == {free: list(found.free.values()).count(free) for free in set(found.free.values())}
        for name, free in found.free.items():
            assert name in found.nodes_with(free, nodes[name].labels[RACK])


def _change(index: NodeIndex, what: str, subject: object) -> None:
    match what, subject:
        case "node", each:
            index.put_node(each)  # type: ignore[arg-type] # drawn by the strategy of this name
        case "no node", name:
            index.delete_node(str(name))
        case "pod", (uid, held):
            index.put_pod(uid, held)
        case _, uid:
            index.delete_pod(str(uid))


def _note(nodes: dict[str, Node], pods: dict[str, PodUsage], what: str, subject: object) -> None:
    match what, subject:
        case "node", each:
            nodes[each.name] = each  # type: ignore[attr-defined] # as above
        case "no node", name:
            nodes.pop(str(name), None)
        case "pod", (uid, held):
            pods.setdefault(uid, held)
        case _, uid:
            pods.pop(str(uid), None)


def _counted(nodes: dict[str, Node], pods: dict[str, PodUsage], kind: PoolKey) -> dict[str, int]:
    free = {
        each.name: each.extended[GPU] - sum(held.amounts[0][1] for held in pods.values() if held.node == each.name)
        for each in nodes.values()
        if each.admits(kind.constraints)
    }
    return {name: left for name, left in free.items() if left > 0}


def test_bound_workers_are_reported_once() -> None:
    """The callback receives the group and node of each bound worker once, and no other pods."""
    calls: list[object] = []
    index = NodeIndex(lambda group, where: calls.append((group, where)))
    index.put_pod("1", pod("a", group=DEMO))
    index.put_pod("1", pod("a", group=DEMO))
    index.put_pod("2", pod("a"))
    assert calls == [(DEMO, "a")]
    assert set(index.worker_nodes("rapids", "demo")) == {"a"}
    index.delete_pod("1")
    assert not index.worker_nodes("rapids", "demo")


def test_pools_are_bounded() -> None:
    """The least recently used pool is evicted, and rebuilt correctly at the next question."""
    index = NodeIndex()
    index.put_node(node("a"))
    for number in range(MAX_POOLS + 5):
        index.pool(PoolKey(GPU, constraints({"nodeSelector": {"n": str(number)}}), ""))
    index.put_pod("1", pod("a", 3))
    assert index.pool(ANY).free == {"a": 5}


def test_nodes_without_a_host_name_are_left_out() -> None:
    """A node without a hostname label, or with the marker label, is in no pool."""
    index = NodeIndex()
    index.put_node(replace(node("a"), hostname=""))
    index.put_node(node("b", labels={"colocate.dask.org/hint": ""}))
    assert not index.pool(ANY).free
