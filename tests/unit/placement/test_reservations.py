"""Promises: what is set aside, and how it comes free."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.placement.factories import DEMO, demand
from webhook.placement.model import Group, Plan, Share
from webhook.placement.reservations import MOST_LAPSED, Reservations

OTHER = Group("rapids", "other", "other-default")
MORE = Group("rapids", "demo", "demo-more")
PLAN: Plan = (Share("a", 2), Share("b", 1))


class Kept:
    """What a ledger sets aside."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.gpus: Counter[str] = Counter()
        self.ledger = Reservations(self.reserve, patience=60)

    def reserve(self, where: str, _resource: str, amount: int) -> None:
        """Count it."""
        self.gpus[where] += amount


def test_promise_is_set_aside_until_bound() -> None:
    """Each bound worker gives its place back, and with the last one the promise is over."""
    kept = Kept()
    kept.ledger.promise(demand(3, gpus=2), PLAN, 0)
    assert kept.gpus == {"a": 4, "b": 2}
    assert kept.ledger.plan_of(DEMO) == PLAN
    assert kept.ledger.nodes_of("rapids", "demo") == {"a", "b"}
    kept.ledger.bound(DEMO, "a")
    assert kept.gpus == {"a": 2, "b": 2}
    kept.ledger.bound(DEMO, "elsewhere")
    assert kept.gpus == {"a": 2, "b": 0}
    kept.ledger.bound(DEMO, "a")
    assert kept.gpus.total() == 0
    assert kept.ledger.plan_of(DEMO) is None
    kept.ledger.bound(DEMO, "a")
    assert kept.gpus.total() == 0


def test_promise_ends_by_itself() -> None:
    """What nobody takes up for a minute is given back, and not before."""
    kept = Kept()
    kept.ledger.promise(demand(3), PLAN, 0)
    kept.ledger.promise(demand(3, group=OTHER), PLAN, 30)
    kept.ledger.expire(59)
    assert kept.ledger.workers == 6
    kept.ledger.expire(60)
    assert kept.ledger.workers == 3
    assert kept.ledger.plan_of(OTHER) == PLAN
    kept.ledger.expire(90)
    assert kept.gpus.total() == 0


def test_memory_of_lapsed_promises_is_bounded() -> None:
    """Of promises that ended by themselves the latest are remembered, and no more than the group still wants."""
    kept = Kept()
    for number in range(MOST_LAPSED + 1):
        kept.ledger.promise(demand(3, group=Group("rapids", f"{number}", "default")), PLAN, 0)
    kept.ledger.expire(60)
    first, last = (Group("rapids", f"{number}", "default") for number in (0, MOST_LAPSED))
    assert kept.ledger.lapsed(first, 3) == 0
    assert kept.ledger.lapsed(last, 5) == 3
    assert kept.ledger.lapsed(last, 2) == kept.ledger.lapsed(last, 3) == 2


def test_groups_of_a_cluster_are_apart() -> None:
    """Two groups of one cluster are promised places side by side; the cluster holds the nodes of both."""
    kept = Kept()
    kept.ledger.promise(demand(3), PLAN, 0)
    kept.ledger.promise(demand(1, group=MORE), (Share("c", 1),), 0)
    assert kept.ledger.nodes_of("rapids", "demo") == {"a", "b", "c"}
    kept.ledger.release(DEMO)
    assert kept.gpus == {"a": 0, "b": 0, "c": 1}


def test_growth_adds_to_a_promise() -> None:
    """A group that grows before its workers are bound keeps what it was promised, and has until the later end."""
    kept = Kept()
    kept.ledger.promise(demand(3), PLAN, 0)
    kept.ledger.promise(demand(1, before=3), (Share("b", 1),), 50)
    kept.ledger.expire(70)
    assert kept.gpus == {"a": 2, "b": 2}


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("promise"), st.sampled_from([DEMO, OTHER, MORE]), st.integers(1, 3)),
            st.tuples(st.just("bound"), st.sampled_from([DEMO, OTHER, MORE]), st.integers(1, 3)),
            st.tuples(st.just("trim"), st.sampled_from([DEMO, OTHER, MORE]), st.integers(-1, 5)),
            st.tuples(st.just("other size"), st.sampled_from([DEMO, OTHER, MORE]), st.integers(1, 3)),
            st.tuples(st.just("expire"), st.just(DEMO), st.integers(0, 40)),
        ),
        max_size=30,
    )
)
def test_nothing_leaks(happened: list[tuple[str, Group, int]]) -> None:
    """Whatever happens, what is set aside is exactly what is promised and open, and in the end it is nothing."""
    kept, now, sizes = Kept(), 0, Counter({DEMO: 1, OTHER: 1, MORE: 1})
    for what, group, number in happened:
        if what == "promise":
            sizes[group] = 1
            kept.ledger.promise(demand(number, group=group), (Share(f"n{number}", number),), now)
        elif what == "bound":
            kept.ledger.bound(group, f"n{number}")
        elif what == "trim":
            kept.ledger.trim(group, number)
            assert kept.ledger.open_of(group) <= max(number, 0)
        elif what == "other size":
            sizes[group] = 3
            kept.ledger.promise(demand(number, gpus=3, group=group), (Share(f"n{number}", number),), now)
        else:
            now += number
            kept.ledger.expire(now)
        assert kept.gpus.total() == sum(kept.ledger.open_of(each) * gpus for each, gpus in sizes.items())
        for each in sizes:
            assert sum(share.workers for share in kept.ledger.plan_of(each) or ()) >= kept.ledger.open_of(each)
        assert min(kept.gpus.values(), default=0) >= 0
    kept.ledger.expire(now + 60)
    assert kept.gpus.total() == 0
