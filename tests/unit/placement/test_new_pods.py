"""New pods: their hint and the size of their stored group decide whether they get a new hint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.placement.factories import DEMO, demand, hostnames, make_allocator, pod, reason
from webhook.placement.model import NewPod, NoHintReason, PreferredNodes

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured


def arriving(planned: int | None = None, *told: str, **fields: Unstructured) -> NewPod:
    """Return a new pod of the group `demo-default`, with the hostnames and the group size in its hint."""
    return NewPod(demand(1, hostnames=told, planned_size=planned, **fields))


def test_pod_of_a_grown_group_gets_a_fresh_hint() -> None:
    """Pods of a group that was scaled by its subresource get nodes on which the added workers fit."""
    allocator = make_allocator(2, 2, 2)
    allocator.index.put_pod("1", pod("n0", 1, DEMO))
    allocator.index.put_pod("2", pod("n0", 1, DEMO))
    allocator.set_size(DEMO, 4)
    first = allocator.hint(arriving(2, "n0"), 0)
    assert isinstance(first, PreferredNodes)
    assert (len(first.hostnames), first.size) == (1, 4)
    assert first.hostnames != ("n0",)
    assert allocator.reservations.unbound_count(DEMO) == 2
    assert allocator.hint(arriving(2, "n0"), 0) == first
    assert allocator.reservations.unbound_count(DEMO) == 2


def test_pod_that_carries_a_current_hint_keeps_it() -> None:
    """Nodes that were planned for the group's current size stay, and so do the nodes in an item without a size."""
    allocator = make_allocator(2, 2)
    allocator.set_size(DEMO, 4)
    for planned in (4, 5, None):
        assert reason(allocator.hint(arriving(planned, "n0"), 0)) is NoHintReason.NO_WORKERS_ADDED
    assert allocator.reservations.pods == 0


def test_stored_group_that_grew_is_planned_on_every_replica() -> None:
    """A stored group that outgrew its hint reserves a new plan for the missing workers, the same on each replica."""
    plans = []
    for _ in range(2):
        allocator = make_allocator(2, 2, 2, 2)
        for uid in "12":
            allocator.index.put_pod(uid, pod("n0", 1, DEMO))
        allocator.set_size(DEMO, 4)
        allocator.reserve_stored(demand(4, hostnames=("n0",), planned_size=2), 0)
        assert allocator.reservations.unbound_count(DEMO) == 2
        plans.append(hostnames(allocator.hint(arriving(2, "n0"), 0)))
    assert plans[0] == plans[1]
    assert "n0" not in plans[0]


def test_dry_run_of_a_pod_reserves_nothing() -> None:
    """A dry run of a pod gets a plan and reserves nothing."""
    allocator = make_allocator(2, 2)
    allocator.set_size(DEMO, 2)
    assert len(hostnames(allocator.hint(arriving(stored=False), 0))) == 1
    assert allocator.reservations.pods == 0


def test_all_bound_workers_leave_nothing_to_plan() -> None:
    """A pod beyond its group's size gets no hint, nor does a pod of a deleted group."""
    allocator = make_allocator(2, 2)
    allocator.set_size(DEMO, 1)
    allocator.index.put_pod("1", pod("n0", 1, DEMO))
    assert reason(allocator.hint(arriving(), 0)) is NoHintReason.NO_WORKERS_ADDED
    allocator.delete(DEMO)
    assert reason(allocator.hint(arriving(), 0)) is NoHintReason.GROUP_UNKNOWN
