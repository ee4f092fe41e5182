"""The planner against all choices there are, on rooms small enough to try them."""

from __future__ import annotations

from itertools import chain, combinations
from typing import TYPE_CHECKING
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.placement.factories import pool, total
from webhook.placement.planner import (
    EXACT,
    MOST_STEPS,
    Wanted,
    _Search,
    plan,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.placement.model import Plan

ROOMS = st.dictionaries(
    st.sampled_from([f"n{number}" for number in range(8)]),
    st.tuples(st.integers(0, 4), st.sampled_from("abc")),
    max_size=8,
)
Room = dict[str, tuple[int, str]]
SEEDS = st.integers(0, 50)


def best(room: Room, workers: int, gpus: int) -> tuple[int, bool, int] | None:
    """Over all choices of hosts: the fewest, whether it takes several racks, and the least room left over."""
    open_nodes = [name for name, (free, _) in room.items() if free >= gpus]
    every = chain.from_iterable(combinations(open_nodes, size) for size in range(1, len(open_nodes) + 1))
    fitting = [
        (len(each), len({room[name][1] for name in each}) > 1, sum(room[name][0] for name in each))
        for each in every
        if sum(room[name][0] // gpus for name in each) >= workers
    ]
    return min(fitting, default=None)


def used(found: Plan, room: Mapping[str, tuple[int, str]]) -> tuple[int, bool, int]:
    """What `best` says, of a plan."""
    names = [share.node for share in found]
    return len(names), len({room[name][1] for name in names}) > 1, sum(room[name][0] for name in names)


@given(ROOMS, st.integers(1, 12), st.integers(1, 3), SEEDS)
def test_plan_is_the_best_there_is(room: Room, workers: int, gpus: int, seed: int) -> None:
    """The fewest hosts, of those in one rack, of those the tightest; none exactly where none fits."""
    found, wanted = plan(pool(room), Wanted(workers, gpus, seed)), best(room, workers, gpus)
    if found is None:
        assert wanted is None
    elif len(found) <= EXACT:
        assert used(found, room) == wanted
    else:
        assert wanted is not None
        assert len(found) == wanted[0]


@given(
    ROOMS, st.integers(1, 12), st.integers(1, 3), SEEDS, st.sets(st.sampled_from([f"n{number}" for number in range(8)]))
)
def test_no_worker_is_sent_where_it_finds_no_room(
    room: Room, workers: int, gpus: int, seed: int, current: set[str]
) -> None:
    """Whatever hosts the cluster holds: every worker has a place, and no host more than it takes."""
    found = plan(pool(room), Wanted(workers, gpus, seed, current))
    if found is None:
        assert sum(free // gpus for free, _ in room.values()) < workers
        return
    assert total(found) == workers
    assert len({share.node for share in found}) == len(found)
    assert all(0 < share.workers <= room[share.node][0] // gpus for share in found)


@given(ROOMS, st.integers(1, 12), SEEDS, st.sets(st.sampled_from([f"n{number}" for number in range(8)])))
def test_fewest_further_hosts(room: Room, workers: int, seed: int, current: set[str]) -> None:
    """A cluster that grows fills its own hosts, and takes the fewest others for the rest."""
    found = plan(pool(room), Wanted(workers, 1, seed, current))
    if found is None:
        return
    at_home = sum(free for name, (free, _) in room.items() if name in current)
    others = {name: at for name, at in room.items() if name not in current}
    rest = best(others, workers - at_home, 1) if workers > at_home else (0,)
    assert rest is not None
    assert len({share.node for share in found} - current) == rest[0]


def test_ties_are_broken_by_the_seed() -> None:
    """Of equal hosts and equal racks two clusters are likely told different ones, and one cluster always the same."""
    room = pool({f"n{number}": (8, "ab"[number % 2]) for number in range(16)})
    seeds = [crc32(f"rapids/cluster-{number}".encode()) for number in range(40)]
    told = [plan(room, Wanted(8, 1, seed)) for seed in seeds]
    assert len({str(each) for each in told}) > 10
    assert told == [plan(room, Wanted(8, 1, seed)) for seed in seeds]


def test_grown_cluster_stays_in_its_rack() -> None:
    """Of equally good hosts, one in the rack where the cluster stands comes first."""
    room = pool({"a": (0, "r7")} | {f"n{number}": (4, f"r{number}") for number in range(9)})
    for seed in range(20):
        assert plan(room, Wanted(4, 1, seed, {"a"})) == (("n7", 4),)


@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 3))
def test_search_is_bounded(seed: int, workers: int, gpus: int) -> None:
    """Where hosts have hundreds of sizes a plan still takes the fewest, and ends after a bounded number of steps."""
    room = {f"n{number}": (number % 200 + 1, f"r{number % 7}") for number in range(600)}
    found = plan(pool(room), Wanted(workers, gpus, seed))
    assert found is not None
    assert total(found) == workers
    largest = sorted((free // gpus for free, _ in room.values()), reverse=True)
    assert sum(largest[: len(found) - 1]) < workers
    search = _Search([(size, 3) for size in range(1, 201)], gpus, 10**6, fixed=False)
    search.extend((), 0, EXACT, 3 * 200 // gpus)
    # Each step over the limit only leaves loops that were begun: a few in each of 200 sizes.
    assert search.steps < MOST_STEPS + 4 * 200


@pytest.mark.parametrize(("workers", "hosts"), [(400, 50), (397, 50), (401, 51)])
def test_large_clusters(workers: int, hosts: int) -> None:
    """Also a cluster of dozens of hosts gets the fewest, in the fewest racks where a rack is large enough."""
    room = pool({f"n{number}": (8, f"r{number // 60}") for number in range(240)})
    found = plan(room, Wanted(workers, 1, 7))
    assert found is not None
    assert len(found) == hosts
    assert len({room.racks[share.node] for share in found}) == 1
