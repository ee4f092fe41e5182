"""Hints for the Dask scheduler, beside those for its cluster's workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.placement.factories import DEMO, GPU, SCHEDULER, demand, names, pod, questions, stock
from webhook.placement.model import Arrival, Hosts

if TYPE_CHECKING:
    from tests.unit.placement.factories import Room
    from webhook.placement.model import Demand
    from webhook.workloads.unstructured import Unstructured


def scheduler(**fields: Unstructured) -> Demand:
    """The Dask scheduler of the cluster `demo`."""
    return demand(1, **{"group": SCHEDULER, **fields})


def both(room: Room, workers: int, now: float = 0, **fields: Unstructured) -> tuple[set[str], set[str]]:
    """The hosts of a new cluster's workers and of its Dask scheduler."""
    found = room.hints(questions(demand(workers, **fields), scheduler(**fields)), now)
    return names(found.worker), names(found.scheduler)


def test_scheduler_leaves_whole_nodes_whole() -> None:
    """On the guide's three nodes of two GPUs two workers and the scheduler get a node each, and growth the third."""
    room = stock(2, 2, 2)
    workers, host = both(room, 2)
    assert (len(workers), len(host)) == (1, 1)
    assert not workers & host
    grown = names(room.hint(demand(2, before=2), 1))
    assert len(grown) == 1
    assert not grown & (workers | host)


@pytest.mark.parametrize(
    ("gpus", "workers", "expected"),
    [
        ((8, 8, 1), 8, {"n2"}),  # the fullest node that has room
        ((8, 3, 4), 3, {"n2"}),  # not on the workers' own node, which is full then
        ((4, 8, 8), 3, {"n0"}),  # what the workers leave over, before a whole node is begun
        ((4, 1, 8), 3, {"n1"}),  # of equals the node without the cluster's workers
    ],
)
def test_scheduler_goes_where_it_breaks_up_the_least(gpus: tuple[int, ...], workers: int, expected: set[str]) -> None:
    """The scheduler gets the node with the fewest free GPUs that has room for it once the workers are placed."""
    assert both(stock(*gpus), workers)[1] == expected


@given(st.lists(st.integers(0, 8), min_size=1, max_size=8), st.integers(1, 12), st.integers(1, 2), st.booleans())
def test_scheduler_and_workers_share_no_gpu(rooms: list[int], workers: int, gpus: int, binding: bool) -> None:
    """What is named has room for workers and scheduler together, on a dry run too; a dry run reserves nothing."""
    room = stock(*rooms)
    found = room.hints(questions(demand(workers, binding=binding), scheduler(gpus=gpus, binding=binding)), 0)
    assert room.ledger.workers == (
        0 if not binding else (workers if isinstance(found.worker, Hosts) else 0) + isinstance(found.scheduler, Hosts)
    )
    if isinstance(found.worker, Hosts) and isinstance(found.scheduler, Hosts):
        free = dict(zip((f"n{number}" for number in range(len(rooms))), rooms, strict=True))
        (host,) = names(found.scheduler)
        assert free[host] >= gpus
        free[host] -= gpus
        assert sum(free[each] for each in names(found.worker)) >= workers


def test_reservation_of_a_scheduler_is_settled_when_it_is_bound() -> None:
    """A scheduler's GPU is reserved until its pod is bound; its node is none of the workers' nodes."""
    room = stock(2, 2, 2)
    _, (host,) = both(room, 2)
    room.index.put_pod("s", pod(host, 1, SCHEDULER))
    assert room.ledger.open_of(SCHEDULER) == 0
    assert room.ledger.open_of(DEMO) == 2
    assert room.index.free_on(host, GPU) == 1
    assert set(room.index.hosts_of("rapids", "demo")) == set()


def test_scheduler_of_another_replica_is_reserved_here() -> None:
    """A stored cluster's scheduler reserves its host once; what nobody takes up expires."""
    room = stock(2, 2)
    for _ in range(2):
        room.heard(scheduler(told=("n1",), planned=1), 0)
    assert room.index.free_on("n1", GPU) == 1
    room.heard(scheduler(told=("n1",), planned=1), 61)
    assert room.index.free_on("n1", GPU) == 2


def test_scheduler_pod_without_an_item_is_planned() -> None:
    """A cluster has one scheduler, so its pod needs no stored object to be planned."""
    room = stock(8, 1)
    assert names(room.hints(questions(None, Arrival(scheduler())), 0).scheduler) == {"n1"}
    assert room.ledger.open_of(SCHEDULER) == 1
