from __future__ import annotations

import pytest

from tests.bench.loads import BY_NAME, LOADS, Load, Scaling

each_load = pytest.mark.parametrize("load", BY_NAME.values(), ids=list(BY_NAME))


@each_load
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_pod_has_a_free_gpu(load: Load, seed: int) -> None:
    """No load uses more GPUs than the pool has, and each ends after the required number of placements."""
    used: dict[str, int] = {}
    judged = 0
    for step in load.steps(seed, judged=24):
        for name in step.deleted:
            del used[name]
        for request in step.requests:
            used[request.cluster] = used.get(request.cluster, 0) + request.gpus
        assert sum(used.values()) <= load.pool.capacity
        judged += len(step.requests) if step.judged else 0
    assert 24 <= judged < 28


@each_load
def test_seed_determines_the_load(load: Load) -> None:
    """The same seed gives the same steps, another seed gives other steps."""
    assert load.steps(1, 24) == load.steps(1, 24)
    assert load.steps(1, 24) != load.steps(2, 24)


@each_load
def test_only_running_clusters_are_deleted_or_scaled(load: Load) -> None:
    """Only running clusters are deleted or scaled, and no name is used twice."""
    running: set[str] = set()
    deleted: set[str] = set()
    for step in load.steps(1, 24):
        assert running.issuperset(step.deleted)
        running -= set(step.deleted)
        deleted |= set(step.deleted)
        assert running.issuperset(request.cluster for request in step.requests if request.scaling)
        running |= {request.cluster for request in step.requests}
        assert not running & deleted


def test_load_of_95_percent_keeps_the_pool_nearly_full() -> None:
    """At 95 %, judged clusters start in a pool with that share of GPUs used, less at most one cluster."""
    load = BY_NAME["steady-95"]
    used: dict[str, int] = {}
    for step in load.steps(1, 24):
        for name in step.deleted:
            del used[name]
        used |= {request.cluster: request.gpus for request in step.requests}
        if step.judged:
            assert 0.95 * load.pool.capacity - 17 <= sum(used.values()) <= 0.95 * load.pool.capacity


def test_clusters_are_scaled_in_every_way() -> None:
    """The load of scaled clusters uses each of the four ways to scale."""
    steps = BY_NAME["scaled"].steps(1, 48)
    assert {request.scaling for step in steps for request in step.requests if request.scaling} == set(Scaling)


def test_schedulers_have_a_gpu_except_in_plain_loads() -> None:
    """Each new cluster of a recorded load has a scheduler GPU, as in the RAPIDS guide, except in plain loads."""
    for load in LOADS:
        requests = [request for step in load.steps(1, 24) for request in step.requests if not request.scaling]
        expected = 0 if load.name.startswith("plain") else 1
        assert {request.scheduler_gpus for request in requests} == {expected}
