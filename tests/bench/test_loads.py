from __future__ import annotations

import pytest

from tests.bench.loads import BY_NAME, LOADS, Load, Scaling

each_load = pytest.mark.parametrize("load", BY_NAME.values(), ids=list(BY_NAME))


@each_load
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_there_is_always_a_gpu_for_each_pod(load: Load, seed: int) -> None:
    """No load takes more GPUs than the pool has, schedulers included, and it ends with the placements asked for."""
    taken: dict[str, int] = {}
    judged = 0
    for step in load.steps(seed, judged=24):
        for name in step.deleted:
            del taken[name]
        for request in step.requests:
            taken[request.cluster] = taken.get(request.cluster, 0) + request.gpus
        assert sum(taken.values()) <= load.pool.capacity
        judged += len(step.requests) if step.judged else 0
    assert 24 <= judged < 28


@each_load
def test_seed_decides_the_load(load: Load) -> None:
    """The same seed gives the same steps, another seed gives other steps."""
    assert load.steps(1, 24) == load.steps(1, 24)
    assert load.steps(1, 24) != load.steps(2, 24)


@each_load
def test_only_running_clusters_are_deleted_or_scaled(load: Load) -> None:
    """A deleted cluster was created before, a scaled one runs, and no name returns."""
    running: set[str] = set()
    deleted: set[str] = set()
    for step in load.steps(1, 24):
        assert running.issuperset(step.deleted)
        running -= set(step.deleted)
        deleted |= set(step.deleted)
        assert running.issuperset(request.cluster for request in step.requests if request.scaling)
        running |= {request.cluster for request in step.requests}
        assert not running & deleted


def test_nearly_full_is_nearly_full() -> None:
    """At 95 % judged clusters come into a pool with that many GPUs taken, less at most one cluster."""
    load = BY_NAME["steady-95"]
    taken: dict[str, int] = {}
    for step in load.steps(1, 24):
        for name in step.deleted:
            del taken[name]
        taken |= {request.cluster: request.gpus for request in step.requests}
        if step.judged:
            assert 0.95 * load.pool.capacity - 17 <= sum(taken.values()) <= 0.95 * load.pool.capacity


def test_clusters_are_scaled_in_every_way() -> None:
    """The load of scaled clusters uses each of the four ways."""
    steps = BY_NAME["scaled"].steps(1, 48)
    assert {request.scaling for step in steps for request in step.requests if request.scaling} == set(Scaling)


def test_schedulers_take_a_gpu_unless_the_load_says_otherwise() -> None:
    """Each new cluster of a recorded load has a scheduler GPU, as in the RAPIDS guide, or the load is a plain one."""
    for load in LOADS:
        requests = [request for step in load.steps(1, 24) for request in step.requests if not request.scaling]
        expected = 0 if load.name.startswith("plain") else 1
        assert {request.scheduler_gpus for request in requests} == {expected}
