"""Hints for the Dask scheduler, in addition to those for its cluster's workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.placement.factories import DEMO, GPU, SCHEDULER, demand, hostnames, make_allocator, pod, questions
from webhook.placement.model import NewPod, PreferredNodes

if TYPE_CHECKING:
    from tests.unit.placement.factories import WorkerAllocator
    from webhook.placement.model import Demand
    from webhook.workloads.unstructured import Unstructured


def scheduler(**fields: Unstructured) -> Demand:
    """Return a demand for the Dask scheduler of the cluster `demo`."""
    return demand(1, **{"group": SCHEDULER, **fields})


def both(allocator: WorkerAllocator, workers: int, now: float = 0, **fields: Unstructured) -> tuple[set[str], set[str]]:
    """Return the hostnames for a new cluster's workers and for its Dask scheduler."""
    found = allocator.hints(questions(demand(workers, **fields), scheduler(**fields)), now)
    return hostnames(found.worker), hostnames(found.scheduler)


def test_scheduler_leaves_whole_nodes_whole() -> None:
    """On three nodes of two GPUs the two workers get one node, the scheduler the second and added workers the third."""
    allocator = make_allocator(2, 2, 2)
    workers, host = both(allocator, 2)
    assert (len(workers), len(host)) == (1, 1)
    assert not workers & host
    grown = hostnames(allocator.hint(demand(2, replicas_before=2), 1))
    assert len(grown) == 1
    assert not grown & (workers | host)


@pytest.mark.parametrize(
    ("gpus", "workers", "expected"),
    [
        ((8, 8, 1), 8, {"n2"}),  # the fullest node with free GPUs
        ((8, 3, 4), 3, {"n2"}),  # not the workers' node, which is full then
        ((4, 8, 8), 3, {"n0"}),  # GPUs left over by the workers come before an empty node
        ((4, 1, 8), 3, {"n1"}),  # of equal nodes the one without the cluster's workers
    ],
)
def test_scheduler_goes_where_it_breaks_up_the_least(gpus: tuple[int, ...], workers: int, expected: set[str]) -> None:
    """The scheduler gets the node with the least free GPUs on which it fits after the workers are placed."""
    assert both(make_allocator(*gpus), workers)[1] == expected


@given(st.lists(st.integers(0, 8), min_size=1, max_size=8), st.integers(1, 12), st.integers(1, 2), st.booleans())
def test_scheduler_and_workers_share_no_gpu(rooms: list[int], workers: int, gpus: int, binding: bool) -> None:
    """The named nodes have GPUs for workers and scheduler together, also on a dry run, which reserves nothing."""
    allocator = make_allocator(*rooms)
    found = allocator.hints(questions(demand(workers, stored=binding), scheduler(gpus=gpus, stored=binding)), 0)
    assert allocator.reservations.pods == (
        0
        if not binding
        else (workers if isinstance(found.worker, PreferredNodes) else 0) + isinstance(found.scheduler, PreferredNodes)
    )
    if isinstance(found.worker, PreferredNodes) and isinstance(found.scheduler, PreferredNodes):
        free = dict(zip((f"n{number}" for number in range(len(rooms))), rooms, strict=True))
        (host,) = hostnames(found.scheduler)
        assert free[host] >= gpus
        free[host] -= gpus
        assert sum(free[each] for each in hostnames(found.worker)) >= workers


def test_reservation_of_a_scheduler_is_settled_when_it_is_bound() -> None:
    """A scheduler's GPU is reserved until its pod is bound, and its node does not count as a node of the workers."""
    allocator = make_allocator(2, 2, 2)
    _, (host,) = both(allocator, 2)
    allocator.index.put_pod("s", pod(host, 1, SCHEDULER))
    assert allocator.reservations.unbound_count(SCHEDULER) == 0
    assert allocator.reservations.unbound_count(DEMO) == 2
    assert allocator.index.free(host, GPU) == 1
    assert set(allocator.index.worker_nodes("rapids", "demo")) == set()


def test_scheduler_of_another_replica_is_reserved_here() -> None:
    """A stored cluster's scheduler reserves its node once, and the reservation expires."""
    allocator = make_allocator(2, 2)
    for _ in range(2):
        allocator.reserve_stored(scheduler(hostnames=("n1",), planned_size=1), 0)
    assert allocator.index.free("n1", GPU) == 1
    allocator.reserve_stored(scheduler(hostnames=("n1",), planned_size=1), 61)
    assert allocator.index.free("n1", GPU) == 2


def test_scheduler_pod_without_an_item_is_planned() -> None:
    """A scheduler pod is planned without a stored object, as a cluster has one scheduler."""
    allocator = make_allocator(8, 1)
    assert hostnames(allocator.hints(questions(None, NewPod(scheduler())), 0).scheduler) == {"n1"}
    assert allocator.reservations.unbound_count(SCHEDULER) == 1
