"""The index of free capacity, against a count of everything from the start."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.placement.factories import DEMO, GPU, RACK, node, pod
from webhook.placement.constraints import Taint, constraints
from webhook.placement.node_index import MOST_POOLS, Kind, NodeIndex

if TYPE_CHECKING:
    from webhook.placement.model import Node, PodUsage

ANY = Kind(GPU, constraints({}), RACK)
SELECTING = Kind(GPU, constraints({"nodeSelector": {"team": "a"}}), RACK)
NAMES = st.sampled_from(["a", "b", "c"])
NODES = st.builds(
    node,
    NAMES,
    st.integers(0, 8),
    st.sampled_from(["r1", "r2"]),
    labels=st.sampled_from([{}, {"team": "a"}]),
    open=st.booleans(),
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
def test_pools_are_what_a_count_of_everything_gives(changes: list[tuple[str, object]], asked_after: int) -> None:
    """However nodes and pods come, change and go, also before each other: a pool made early equals one made late."""
    index = NodeIndex()
    nodes: dict[str, Node] = {}
    pods: dict[str, PodUsage] = {}
    for number, (what, subject) in enumerate(changes):
        if number == asked_after:
            index.pool(ANY), index.pool(SELECTING)
        _change(index, what, subject)
        _note(nodes, pods, what, subject)
    for kind in (ANY, SELECTING):
        found = index.pool(kind)
        assert found.free == _counted(nodes, pods, kind)
        assert dict(found.counts) == {free: list(found.free.values()).count(free) for free in set(found.free.values())}
        for name, free in found.free.items():
            assert name in found.nodes_of(free, nodes[name].labels[RACK])


def _change(index: NodeIndex, what: str, subject: object) -> None:
    match what, subject:
        case "node", each:
            index.put_node(each)  # type: ignore[arg-type] # drawn by the strategy of this name
        case "no node", name:
            index.drop_node(str(name))
        case "pod", (uid, held):
            index.put_pod(uid, held)
        case _, uid:
            index.drop_pod(str(uid))


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


def _counted(nodes: dict[str, Node], pods: dict[str, PodUsage], kind: Kind) -> dict[str, int]:
    free = {
        each.name: each.extended[GPU] - sum(held.asks[0][1] for held in pods.values() if held.node == each.name)
        for each in nodes.values()
        if each.takes(kind.constraints)
    }
    return {name: left for name, left in free.items() if left > 0}


def test_bound_workers_are_told_once() -> None:
    """A worker that is bound is told with its group and node, once however often it is seen; others are not."""
    told: list[object] = []
    index = NodeIndex(lambda group, where: told.append((group, where)))
    index.put_pod("1", pod("a", group=DEMO))
    index.put_pod("1", pod("a", group=DEMO))
    index.put_pod("2", pod("a"))
    assert told == [(DEMO, "a")]
    assert set(index.hosts_of("rapids", "demo")) == {"a"}
    index.drop_pod("1")
    assert not index.hosts_of("rapids", "demo")


def test_pools_are_bounded() -> None:
    """Kinds of workers that nobody asked about for long are given up, and come back right."""
    index = NodeIndex()
    index.put_node(node("a"))
    for number in range(MOST_POOLS + 5):
        index.pool(Kind(GPU, constraints({"nodeSelector": {"n": str(number)}}), ""))
    index.put_pod("1", pod("a", 3))
    assert index.pool(ANY).free == {"a": 5}


def test_nodes_without_a_host_name_are_left_out() -> None:
    """A hint names hosts by their label: a node that has none, or asks not to be named, is in no pool."""
    index = NodeIndex()
    index.put_node(replace(node("a"), host=""))
    index.put_node(node("b", labels={"colocate.dask.org/hint": ""}))
    assert not index.pool(ANY).free
