"""The allocator: clusters created at the same time, growth, dry runs and workers without a plan."""

from __future__ import annotations

from tests.unit.placement.factories import DEMO, GPU, demand, hostnames, make_allocator, node, pod, reason
from webhook.placement.allocator import pool_key
from webhook.placement.model import Group, NewPod, NoHintReason


def cluster(name: str) -> Group:
    """Return the default group of a cluster."""
    return Group("rapids", name, f"{name}-default")


def test_clusters_created_at_once_get_different_nodes() -> None:
    """Four clusters that each fill a node get four nodes before any pod is bound; a fifth cluster gets none."""
    allocator = make_allocator(8, 8, 8, 8)
    hint = [hostnames(allocator.hint(demand(8, group=cluster(each)), 0)) for each in "abcd"]
    assert sorted(map(sorted, hint)) == [["n0"], ["n1"], ["n2"], ["n3"]]
    assert reason(allocator.hint(demand(8, group=cluster("e")), 1)) is NoHintReason.FULL
    assert hostnames(allocator.hint(demand(8, group=cluster("e")), 60))


def test_dry_run_reserves_nothing() -> None:
    """A dry run reserves no GPUs."""
    allocator = make_allocator(8)
    assert hostnames(allocator.hint(demand(8, stored=False), 0)) == {"n0"}
    assert hostnames(allocator.hint(demand(8, group=cluster("b")), 0)) == {"n0"}


def test_cluster_created_again_is_planned_again() -> None:
    """A cluster that is created again after a rejection is planned on the nodes of its earlier reservation."""
    allocator = make_allocator(8)
    assert hostnames(allocator.hint(demand(8), 0)) == hostnames(allocator.hint(demand(8), 1)) == {"n0"}


def test_growth_fills_the_clusters_own_nodes_first() -> None:
    """Additional workers go to nodes that already run the cluster's workers, then to the node with the tightest fit."""
    allocator = make_allocator(4, 2, 8)
    allocator.index.put_pod("1", pod("n2", 6, DEMO))
    assert hostnames(allocator.hint(demand(2, replicas_before=6), 0)) == {"n2"}
    assert hostnames(allocator.hint(demand(2, replicas_before=8), 0)) == {"n1"}


def test_growth_is_reserved_once() -> None:
    """Repeated requests for the same growth, also after the group shrank, reserve no more than the group wants."""
    allocator = make_allocator(8, 8)
    allocator.hint(demand(2), 0)
    first = allocator.hint(demand(3, replicas_before=2), 0)
    assert allocator.reservations.unbound_count(DEMO) == 5
    assert allocator.hint(demand(3, replicas_before=2), 0) == first
    assert allocator.reservations.unbound_count(DEMO) == 5
    allocator.hint(demand(3, replicas_before=1), 0)
    assert allocator.reservations.unbound_count(DEMO) == 4
    allocator.index.put_pod("1", pod("n0", 1, DEMO))
    allocator.hint(demand(3, replicas_before=1), 0)
    assert allocator.reservations.unbound_count(DEMO) == 3


def test_shrunk_group_releases_reservations() -> None:
    """A stored group with fewer workers than its reservation releases the latest part of the reservation."""
    allocator = make_allocator(4, 8)
    hint = allocator.hint(demand(6), 0)
    allocator.reserve_stored(demand(2, hostnames=("n1",)), 0)
    assert allocator.reservations.unbound_count(DEMO) == 2
    assert hostnames(allocator.hint(NewPod(demand(1)), 0)) == hostnames(hint)
    assert allocator.index.free("n1", GPU) == 6
    allocator.reserve_stored(demand(2, hostnames=("n1",)), 0)
    assert allocator.reservations.unbound_count(DEMO) == 2


def test_expired_reservation_is_not_repeated() -> None:
    """Workers whose reservation expired get no second one, however often their group is updated."""
    allocator = make_allocator(8, 8)
    group = demand(5, hostnames=("n1",))
    allocator.reserve_stored(group, 0)
    allocator.reserve_stored(group, 61)
    assert allocator.reservations.pods == 0
    allocator.reserve_stored(demand(7, hostnames=("n1",)), 62)
    assert allocator.reservations.unbound_count(DEMO) == 2
    allocator.reserve_stored(demand(4, hostnames=("n1",)), 63)
    assert allocator.reservations.unbound_count(DEMO) == 2
    allocator.reserve_stored(demand(6, hostnames=("n1",)), 130)
    assert allocator.reservations.unbound_count(DEMO) == 0


def test_group_created_again_is_reserved_again() -> None:
    """A deleted group releases its reservation at once, and a new group of the same name starts without history."""
    allocator = make_allocator(8)
    allocator.hint(demand(5), 0)
    allocator.reservations.forget(DEMO)
    assert allocator.reservations.pods == 0
    allocator.reserve_stored(demand(5, hostnames=("n0",)), 0)
    allocator.reservations.expire(60)
    allocator.hint(demand(5), 61)
    allocator.reserve_stored(demand(5, hostnames=("n0",)), 62)
    assert allocator.reservations.unbound_count(DEMO) == 5


def test_second_group_of_a_cluster_joins_the_first() -> None:
    """Nodes reserved for the cluster's first group are preferred for its second group."""
    allocator = make_allocator(8, 8, 8, 8)
    (first,) = hostnames(allocator.hint(demand(4), 0))
    assert hostnames(allocator.hint(demand(4, group=Group("rapids", "demo", "demo-more")), 0)) == {first}


def test_pod_gets_the_hint_of_its_group() -> None:
    """A pod without a hint gets the nodes reserved for its group; without a reservation the size is unknown."""
    allocator = make_allocator(8)
    assert reason(allocator.hint(NewPod(demand(1)), 0)) is NoHintReason.GROUP_UNKNOWN
    allocator.hint(demand(2), 0)
    assert hostnames(allocator.hint(NewPod(demand(1)), 1)) == {"n0"}
    allocator.index.put_pod("1", pod("n0", 1, DEMO))
    assert hostnames(allocator.hint(NewPod(demand(1)), 1)) == {"n0"}
    allocator.index.put_pod("2", pod("n0", 1, DEMO))
    assert reason(allocator.hint(NewPod(demand(1)), 1)) is NoHintReason.GROUP_UNKNOWN


def test_hint_of_another_replica_is_reserved_here() -> None:
    """The nodes in a manifest's hint are reserved by this replica, once."""
    allocator = make_allocator(8, 8)
    for _ in range(2):
        assert hostnames(allocator.hint(demand(8, hostnames=("n1", "unknown")), 0)) == {"n1", "unknown"}
    assert allocator.reservations.pods == 8
    assert hostnames(allocator.hint(demand(8, group=cluster("b")), 0)) == {"n0"}


def test_outdated_hint_is_replaced() -> None:
    """The nodes in a manifest stay if they have free GPUs or are reserved for the group; else they are replaced."""
    allocator = make_allocator(8, 2, 8)
    exported = demand(4, hostnames=("n1",))
    (first,) = hostnames(allocator.hint(exported, 0))
    assert first != "n1"
    assert hostnames(allocator.hint(demand(4, hostnames=(first,)), 0)) == {first}
    assert allocator.reservations.pods == 4
    assert hostnames(allocator.hint(demand(2, hostnames=("n1",), group=cluster("b")), 0)) == {"n1"}
    allocator.index.put_node(node("n1", 2, schedulable=False))
    assert hostnames(allocator.hint(demand(2, hostnames=("n1",), group=cluster("c")), 0)) != {"n1"}
    assert reason(allocator.hint(demand(20, hostnames=("n0",), group=cluster("d")), 0)) is NoHintReason.FULL


def test_bound_workers_need_no_reservation() -> None:
    """Only workers of a stored group that are neither bound nor reserved get a reservation."""
    allocator = make_allocator(8, 8)
    allocator.index.put_pod("1", pod("n0", 1, DEMO))
    allocator.hint(demand(2, replicas_before=1), 0)
    allocator.reserve_stored(demand(5, hostnames=("n1",)), 0)
    assert allocator.reservations.unbound_count(DEMO) == 4
    allocator.reserve_stored(demand(5, hostnames=("n1",)), 0)
    assert allocator.reservations.unbound_count(DEMO) == 4


def test_workers_of_several_gpus() -> None:
    """A node with GPUs for half a worker gets none."""
    allocator = make_allocator(3, 5, 4)
    assert hostnames(allocator.hint(demand(2, gpus=2), 0)) == {"n2"}
    assert hostnames(allocator.hint(demand(2, gpus=3, group=cluster("b")), 0)) == {"n0", "n1"}
    assert allocator.index.pool(pool_key(demand(1))).free == {"n1": 2}
