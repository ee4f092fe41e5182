"""The planner, compared to all possible choices on small pools."""

from __future__ import annotations

from itertools import chain, combinations
from typing import TYPE_CHECKING
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.placement.factories import pool, total
from webhook.placement.planner import (
    EXACT_NODES,
    MAX_STEPS,
    PlacementRequest,
    _Search,
    plan,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.placement.model import Plan

POOLS = st.dictionaries(
    st.sampled_from([f"n{number}" for number in range(8)]),
    st.tuples(st.integers(0, 4), st.sampled_from("abc")),
    max_size=8,
)
Nodes = dict[str, tuple[int, str]]
SEEDS = st.integers(0, 50)


def best(nodes: Nodes, workers: int, gpus: int) -> tuple[int, bool, int] | None:
    """Return the best over all choices: number of nodes, whether it spans racks, and the sum of free GPUs."""
    open_nodes = [name for name, (free, _) in nodes.items() if free >= gpus]
    every = chain.from_iterable(combinations(open_nodes, size) for size in range(1, len(open_nodes) + 1))
    fitting = [
        (len(each), len({nodes[name][1] for name in each}) > 1, sum(nodes[name][0] for name in each))
        for each in every
        if sum(nodes[name][0] // gpus for name in each) >= workers
    ]
    return min(fitting, default=None)


def used(found: Plan, nodes: Mapping[str, tuple[int, str]]) -> tuple[int, bool, int]:
    """Return the figures of `best` for a plan."""
    names = [share.node for share in found]
    return len(names), len({nodes[name][1] for name in names}) > 1, sum(nodes[name][0] for name in names)


@given(POOLS, st.integers(1, 12), st.integers(1, 3), SEEDS)
def test_plan_is_the_best_there_is(nodes: Nodes, workers: int, gpus: int, seed: int) -> None:
    """A plan has the minimum number of nodes, then one rack, then the tightest fit; there is none only if none fits."""
    found, wanted = plan(pool(nodes), PlacementRequest(workers, gpus, seed)), best(nodes, workers, gpus)
    if found is None:
        assert wanted is None
    elif len(found) <= EXACT_NODES:
        assert used(found, nodes) == wanted
    else:
        assert wanted is not None
        assert len(found) == wanted[0]


@given(
    POOLS, st.integers(1, 12), st.integers(1, 3), SEEDS, st.sets(st.sampled_from([f"n{number}" for number in range(8)]))
)
def test_every_worker_fits_on_its_node(nodes: Nodes, workers: int, gpus: int, seed: int, current: set[str]) -> None:
    """Every worker of a plan has a node, and no node gets more workers than it has GPUs for."""
    found = plan(pool(nodes), PlacementRequest(workers, gpus, seed, current))
    if found is None:
        assert sum(free // gpus for free, _ in nodes.values()) < workers
        return
    assert total(found) == workers
    assert len({share.node for share in found}) == len(found)
    assert all(0 < share.workers <= nodes[share.node][0] // gpus for share in found)


@given(POOLS, st.integers(1, 12), SEEDS, st.sets(st.sampled_from([f"n{number}" for number in range(8)])))
def test_minimum_number_of_further_nodes(nodes: Nodes, workers: int, seed: int, current: set[str]) -> None:
    """A growing cluster fills its own nodes, and then the minimum number of other nodes."""
    found = plan(pool(nodes), PlacementRequest(workers, 1, seed, current))
    if found is None:
        return
    at_home = sum(free for name, (free, _) in nodes.items() if name in current)
    others = {name: at for name, at in nodes.items() if name not in current}
    rest = best(others, workers - at_home, 1) if workers > at_home else (0,)
    assert rest is not None
    assert len({share.node for share in found} - current) == rest[0]


def test_ties_are_broken_by_the_seed() -> None:
    """Two clusters are likely to get different nodes among equal ones; one cluster always gets the same."""
    nodes = pool({f"n{number}": (8, "ab"[number % 2]) for number in range(16)})
    seeds = [crc32(f"rapids/cluster-{number}".encode()) for number in range(40)]
    told = [plan(nodes, PlacementRequest(8, 1, seed)) for seed in seeds]
    assert len({str(each) for each in told}) > 10
    assert told == [plan(nodes, PlacementRequest(8, 1, seed)) for seed in seeds]


def test_grown_cluster_stays_in_its_rack() -> None:
    """Of equally good nodes, one in the rack of the cluster's workers comes first."""
    nodes = pool({"a": (0, "r7")} | {f"n{number}": (4, f"r{number}") for number in range(9)})
    for seed in range(20):
        assert plan(nodes, PlacementRequest(4, 1, seed, {"a"})) == (("n7", 4),)


@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 3))
def test_search_is_bounded(seed: int, workers: int, gpus: int) -> None:
    """With hundreds of amounts of free GPUs a plan has the minimum number of nodes, after a bounded number of steps."""
    nodes = {f"n{number}": (number % 200 + 1, f"r{number % 7}") for number in range(600)}
    found = plan(pool(nodes), PlacementRequest(workers, gpus, seed))
    assert found is not None
    assert total(found) == workers
    largest = sorted((free // gpus for free, _ in nodes.values()), reverse=True)
    assert sum(largest[: len(found) - 1]) < workers
    search = _Search([(size, 3) for size in range(1, 201)], gpus, 10**6, is_limit_fixed=False)
    search.extend((), 0, EXACT_NODES, 3 * 200 // gpus)
    # Beyond the limit each step only ends loops that were started: a few for each of 200 amounts.
    assert search.steps < MAX_STEPS + 4 * 200


@pytest.mark.parametrize(("workers", "hosts"), [(400, 50), (397, 50), (401, 51)])
def test_large_clusters(workers: int, hosts: int) -> None:
    """A cluster of dozens of nodes gets the minimum number of nodes, in one rack if a rack is large enough."""
    nodes = pool({f"n{number}": (8, f"r{number // 60}") for number in range(240)})
    found = plan(nodes, PlacementRequest(workers, 1, 7))
    assert found is not None
    assert len(found) == hosts
    assert len({nodes.racks[share.node] for share in found}) == 1
