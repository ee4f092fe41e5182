"""Questions and hints: several clusters in one second, growth, dry runs, workers without a plan."""

from __future__ import annotations

from tests.unit.placement.factories import DEMO, GPU, demand, lack, names, node, pod, stock
from webhook.placement.allocator import kind
from webhook.placement.model import Arrival, Group, NoHintReason


def cluster(name: str) -> Group:
    """The default group of a cluster."""
    return Group("rapids", name, f"{name}-default")


def test_clusters_of_one_second_get_different_hosts() -> None:
    """Four clusters that each fill a node are told four nodes before any pod is bound; a fifth finds no room."""
    room = stock(8, 8, 8, 8)
    told = [names(room.hint(demand(8, group=cluster(each)), 0)) for each in "abcd"]
    assert sorted(map(sorted, told)) == [["n0"], ["n1"], ["n2"], ["n3"]]
    assert lack(room.hint(demand(8, group=cluster("e")), 1)) is NoHintReason.FULL
    assert names(room.hint(demand(8, group=cluster("e")), 60))


def test_dry_run_promises_nothing() -> None:
    """What will not be stored takes nothing from anyone."""
    room = stock(8)
    assert names(room.hint(demand(8, binding=False), 0)) == {"n0"}
    assert names(room.hint(demand(8, group=cluster("b")), 0)) == {"n0"}


def test_created_again_is_planned_anew() -> None:
    """A cluster that is created once more, since its first creation was refused later on, finds its own place free."""
    room = stock(8)
    assert names(room.hint(demand(8), 0)) == names(room.hint(demand(8), 1)) == {"n0"}


def test_growth_fills_the_clusters_own_hosts_first() -> None:
    """More workers go where the cluster stands, as long as there is room, then to the tightest host."""
    room = stock(4, 2, 8)
    room.index.put_pod("1", pod("n2", 6, DEMO))
    assert names(room.hint(demand(2, before=6), 0)) == {"n2"}
    assert names(room.hint(demand(2, before=8), 0)) == {"n1"}


def test_growth_is_promised_once() -> None:
    """However often a growth is asked about, and after the group shrank too, no more is promised than it wants."""
    room = stock(8, 8)
    room.hint(demand(2), 0)
    first = room.hint(demand(3, before=2), 0)
    assert room.ledger.open_of(DEMO) == 5
    assert room.hint(demand(3, before=2), 0) == first
    assert room.ledger.open_of(DEMO) == 5
    room.hint(demand(3, before=1), 0)
    assert room.ledger.open_of(DEMO) == 4
    room.index.put_pod("1", pod("n0", 1, DEMO))
    room.hint(demand(3, before=1), 0)
    assert room.ledger.open_of(DEMO) == 3


def test_shrunk_group_gives_back() -> None:
    """A group that is stored with fewer workers than were promised a place gives the last of them back."""
    room = stock(4, 8)
    told = room.hint(demand(6), 0)
    room.heard(demand(2, told=("n1",)), 0)
    assert room.ledger.open_of(DEMO) == 2
    assert names(room.hint(Arrival(demand(1)), 0)) == names(told)
    assert room.index.free_on("n1", GPU) == 6
    room.heard(demand(2, told=("n1",)), 0)
    assert room.ledger.open_of(DEMO) == 2


def test_promise_that_nobody_took_up_is_made_once() -> None:
    """Workers that were promised a place for their time are promised none again, however often they are heard of."""
    room = stock(8, 8)
    group = demand(5, told=("n1",))
    room.heard(group, 0)
    room.heard(group, 61)
    assert room.ledger.workers == 0
    room.heard(demand(7, told=("n1",)), 62)
    assert room.ledger.open_of(DEMO) == 2
    room.heard(demand(4, told=("n1",)), 63)
    assert room.ledger.open_of(DEMO) == 2
    room.heard(demand(6, told=("n1",)), 130)
    assert room.ledger.open_of(DEMO) == 0


def test_group_made_anew_is_promised_anew() -> None:
    """What is deleted gives its promise back at once, and whoever takes its name begins afresh."""
    room = stock(8)
    room.hint(demand(5), 0)
    room.ledger.forget(DEMO)
    assert room.ledger.workers == 0
    room.heard(demand(5, told=("n0",)), 0)
    room.ledger.expire(60)
    room.hint(demand(5), 61)
    room.heard(demand(5, told=("n0",)), 62)
    assert room.ledger.open_of(DEMO) == 5


def test_second_group_of_a_cluster_joins_the_first() -> None:
    """Hosts that are promised to the cluster's first group count as its own."""
    room = stock(8, 8, 8, 8)
    (first,) = names(room.hint(demand(4), 0))
    assert names(room.hint(demand(4, group=Group("rapids", "demo", "demo-more")), 0)) == {first}


def test_pod_is_told_what_its_group_was_told() -> None:
    """A pod without the term gets its group's hosts while some are open; without a plan its size is unknown."""
    room = stock(8)
    assert lack(room.hint(Arrival(demand(1)), 0)) is NoHintReason.GROUP_UNKNOWN
    room.hint(demand(2), 0)
    assert names(room.hint(Arrival(demand(1)), 1)) == {"n0"}
    room.index.put_pod("1", pod("n0", 1, DEMO))
    assert names(room.hint(Arrival(demand(1)), 1)) == {"n0"}
    room.index.put_pod("2", pod("n0", 1, DEMO))
    assert lack(room.hint(Arrival(demand(1)), 1)) is NoHintReason.GROUP_UNKNOWN


def test_what_another_replica_told_is_promised_here() -> None:
    """A manifest that carries hosts makes this replica keep them free, once."""
    room = stock(8, 8)
    for _ in range(2):
        assert names(room.hint(demand(8, told=("n1", "unknown")), 0)) == {"n1", "unknown"}
    assert room.ledger.workers == 8
    assert names(room.hint(demand(8, group=cluster("b")), 0)) == {"n0"}


def test_hosts_of_another_time_are_planned_anew() -> None:
    """Hosts that a manifest names stay where they have room or are promised to the group; else others are named."""
    room = stock(8, 2, 8)
    exported = demand(4, told=("n1",))
    (first,) = names(room.hint(exported, 0))
    assert first != "n1"
    assert names(room.hint(demand(4, told=(first,)), 0)) == {first}
    assert room.ledger.workers == 4
    assert names(room.hint(demand(2, told=("n1",), group=cluster("b")), 0)) == {"n1"}
    room.index.put_node(node("n1", 2, open=False))
    assert names(room.hint(demand(2, told=("n1",), group=cluster("c")), 0)) != {"n1"}
    assert lack(room.hint(demand(20, told=("n0",), group=cluster("d")), 0)) is NoHintReason.FULL


def test_bound_workers_need_no_promise() -> None:
    """Of a group that was told hosts, only workers that are neither bound nor promised are promised a place."""
    room = stock(8, 8)
    room.index.put_pod("1", pod("n0", 1, DEMO))
    room.hint(demand(2, before=1), 0)
    room.heard(demand(5, told=("n1",)), 0)
    assert room.ledger.open_of(DEMO) == 4
    room.heard(demand(5, told=("n1",)), 0)
    assert room.ledger.open_of(DEMO) == 4


def test_workers_of_several_gpus() -> None:
    """A host with room for half a worker takes none."""
    room = stock(3, 5, 4)
    assert names(room.hint(demand(2, gpus=2), 0)) == {"n2"}
    assert names(room.hint(demand(2, gpus=3, group=cluster("b")), 0)) == {"n0", "n1"}
    assert room.index.pool(kind(demand(1))).free == {"n1": 2}
