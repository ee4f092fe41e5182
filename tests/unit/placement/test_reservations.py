"""Reservations: what they reserve, and when they are released."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.placement.factories import DEMO, demand
from webhook.placement.model import Group, Plan, Share
from webhook.placement.reservations import MAX_EXPIRED_GROUPS, Reservations

OTHER = Group("rapids", "other", "other-default")
MORE = Group("rapids", "demo", "demo-more")
PLAN: Plan = (Share("a", 2), Share("b", 1))


class CountedReservations:
    """Reservations with a count of the reserved GPUs by node."""

    def __init__(self) -> None:
        """Start without reservations."""
        self.gpus: Counter[str] = Counter()
        self.reservations = Reservations(self.reserve, lifetime=60)

    def reserve(self, where: str, _resource: str, amount: int) -> None:
        """Count an amount."""
        self.gpus[where] += amount


def test_reservation_lasts_until_bound() -> None:
    """Each bound worker releases its part of the reservation, and the last one ends it."""
    counted = CountedReservations()
    counted.reservations.add(demand(3, gpus=2), PLAN, 0)
    assert counted.gpus == {"a": 4, "b": 2}
    assert counted.reservations.plan(DEMO) == PLAN
    assert counted.reservations.worker_nodes("rapids", "demo") == {"a", "b"}
    counted.reservations.settle(DEMO, "a")
    assert counted.gpus == {"a": 2, "b": 2}
    counted.reservations.settle(DEMO, "elsewhere")
    assert counted.gpus == {"a": 2, "b": 0}
    counted.reservations.settle(DEMO, "a")
    assert counted.gpus.total() == 0
    assert counted.reservations.plan(DEMO) is None
    counted.reservations.settle(DEMO, "a")
    assert counted.gpus.total() == 0


def test_reservation_expires() -> None:
    """A reservation expires after one minute, and not before."""
    counted = CountedReservations()
    counted.reservations.add(demand(3), PLAN, 0)
    counted.reservations.add(demand(3, group=OTHER), PLAN, 30)
    counted.reservations.expire(59)
    assert counted.reservations.pods == 6
    counted.reservations.expire(60)
    assert counted.reservations.pods == 3
    assert counted.reservations.plan(OTHER) == PLAN
    counted.reservations.expire(90)
    assert counted.gpus.total() == 0


def test_record_of_expired_reservations_is_bounded() -> None:
    """Only the latest expired reservations are recorded, with at most the size of the group."""
    counted = CountedReservations()
    for number in range(MAX_EXPIRED_GROUPS + 1):
        counted.reservations.add(demand(3, group=Group("rapids", f"{number}", "default")), PLAN, 0)
    counted.reservations.expire(60)
    first, last = (Group("rapids", f"{number}", "default") for number in (0, MAX_EXPIRED_GROUPS))
    assert counted.reservations.expired_count(first, 3) == 0
    assert counted.reservations.expired_count(last, 5) == 3
    assert counted.reservations.expired_count(last, 2) == counted.reservations.expired_count(last, 3) == 2


def test_groups_of_a_cluster_are_apart() -> None:
    """Two groups of one cluster have separate reservations, and the cluster's nodes are those of both."""
    counted = CountedReservations()
    counted.reservations.add(demand(3), PLAN, 0)
    counted.reservations.add(demand(1, group=MORE), (Share("c", 1),), 0)
    assert counted.reservations.worker_nodes("rapids", "demo") == {"a", "b", "c"}
    counted.reservations.release(DEMO)
    assert counted.gpus == {"a": 0, "b": 0, "c": 1}


def test_growth_adds_to_a_reservation() -> None:
    """A group that grows before its workers are bound keeps its reservation, with a new expiry."""
    counted = CountedReservations()
    counted.reservations.add(demand(3), PLAN, 0)
    counted.reservations.add(demand(1, replicas_before=3), (Share("b", 1),), 50)
    counted.reservations.expire(70)
    assert counted.gpus == {"a": 2, "b": 2}


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("reserve"), st.sampled_from([DEMO, OTHER, MORE]), st.integers(1, 3)),
            st.tuples(st.just("bound"), st.sampled_from([DEMO, OTHER, MORE]), st.integers(1, 3)),
            st.tuples(st.just("trim"), st.sampled_from([DEMO, OTHER, MORE]), st.integers(-1, 5)),
            st.tuples(st.just("other size"), st.sampled_from([DEMO, OTHER, MORE]), st.integers(1, 3)),
            st.tuples(st.just("expire"), st.just(DEMO), st.integers(0, 40)),
        ),
        max_size=30,
    )
)
def test_nothing_leaks(events: list[tuple[str, Group, int]]) -> None:
    """After any sequence of events the reserved GPUs are those of unbound pods, and in the end zero."""
    counted, now, sizes = CountedReservations(), 0, Counter({DEMO: 1, OTHER: 1, MORE: 1})
    for what, group, number in events:
        if what == "reserve":
            sizes[group] = 1
            counted.reservations.add(demand(number, group=group), (Share(f"n{number}", number),), now)
        elif what == "bound":
            counted.reservations.settle(group, f"n{number}")
        elif what == "trim":
            counted.reservations.trim(group, number)
            assert counted.reservations.unbound_count(group) <= max(number, 0)
        elif what == "other size":
            sizes[group] = 3
            counted.reservations.add(demand(number, gpus=3, group=group), (Share(f"n{number}", number),), now)
        else:
            now += number
            counted.reservations.expire(now)
        assert counted.gpus.total() == sum(
            counted.reservations.unbound_count(each) * gpus for each, gpus in sizes.items()
        )
        for each in sizes:
            assert sum(
                share.workers for share in counted.reservations.plan(each) or ()
            ) >= counted.reservations.unbound_count(each)
        assert min(counted.gpus.values(), default=0) >= 0
    counted.reservations.expire(now + 60)
    assert counted.gpus.total() == 0
