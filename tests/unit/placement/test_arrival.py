"""Pods that are created: what they carry, and the size of their stored group, decide about a fresh hint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.placement.factories import DEMO, demand, lack, names, pod, stock
from webhook.placement.model import Arrival, Hosts, NoHintReason

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured


def arriving(planned: int | None = None, *told: str, **fields: Unstructured) -> Arrival:
    """A pod of the group `demo-default` whose item names hosts for a group of a size."""
    return Arrival(demand(1, told=told, planned=planned, **fields))


def test_pod_of_a_grown_group_gets_a_fresh_hint() -> None:
    """A group scaled by its subresource: its pods carry old hosts, and get those where the added workers fit."""
    room = stock(2, 2, 2)
    room.index.put_pod("1", pod("n0", 1, DEMO))
    room.index.put_pod("2", pod("n0", 1, DEMO))
    room.sized(DEMO, 4)
    first = room.hint(arriving(2, "n0"), 0)
    assert isinstance(first, Hosts)
    assert (len(first.names), first.size) == (1, 4)
    assert first.names != ("n0",)
    assert room.ledger.open_of(DEMO) == 2
    assert room.hint(arriving(2, "n0"), 0) == first
    assert room.ledger.open_of(DEMO) == 2


def test_pod_that_carries_a_current_hint_keeps_it() -> None:
    """Hosts that were planned for the group as it is now stay, and so do those of an earlier version's item."""
    room = stock(2, 2)
    room.sized(DEMO, 4)
    for planned in (4, 5, None):
        assert lack(room.hint(arriving(planned, "n0"), 0)) is NoHintReason.NO_WORKERS_ADDED
    assert room.ledger.workers == 0


def test_group_heard_of_after_it_grew_is_planned_on_every_replica() -> None:
    """A stored group that outgrew its item reserves a fresh plan for the missing workers, the same on each replica."""
    plans = []
    for _ in range(2):
        room = stock(2, 2, 2, 2)
        for uid in "12":
            room.index.put_pod(uid, pod("n0", 1, DEMO))
        room.sized(DEMO, 4)
        room.heard(demand(4, told=("n0",), planned=2), 0)
        assert room.ledger.open_of(DEMO) == 2
        plans.append(names(room.hint(arriving(2, "n0"), 0)))
    assert plans[0] == plans[1]
    assert "n0" not in plans[0]


def test_dry_run_of_a_pod_reserves_nothing() -> None:
    """A pod that is not stored gets a plan, and takes nothing from any other."""
    room = stock(2, 2)
    room.sized(DEMO, 2)
    assert len(names(room.hint(arriving(binding=False), 0))) == 1
    assert room.ledger.workers == 0


def test_all_bound_workers_leave_nothing_to_plan() -> None:
    """A pod beyond what its group wants gets no hint; nor does one of a group that is gone."""
    room = stock(2, 2)
    room.sized(DEMO, 1)
    room.index.put_pod("1", pod("n0", 1, DEMO))
    assert lack(room.hint(arriving(), 0)) is NoHintReason.NO_WORKERS_ADDED
    room.gone(DEMO)
    assert lack(room.hint(arriving(), 0)) is NoHintReason.GROUP_UNKNOWN
