from __future__ import annotations

import pytest

from tests.bench.traces import TRACES, Trace

each_trace = pytest.mark.parametrize("trace", TRACES, ids=[trace.name for trace in TRACES])


@each_trace
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_there_is_always_a_gpu_for_each_worker(trace: Trace, seed: int) -> None:
    """No trace asks for more GPUs than the room has, and it ends with what was asked for."""
    taken: dict[str, int] = {}
    judged = 0
    for step in trace.steps(seed, judged=24):
        for name in step.gone:
            taken.pop(name, None)
        for request in step.requests:
            taken[request.cluster] = taken.get(request.cluster, 0) + request.workers * request.gpu
        assert sum(taken.values()) <= trace.room.capacity
        judged += sum(request.judged for request in step.requests) if step.judged else 0
    assert 24 <= judged < 28


@each_trace
def test_seed_decides_the_trace(trace: Trace) -> None:
    """The same seed gives the same trace, another one another."""
    assert trace.steps(1, 8) == trace.steps(1, 8)
    assert trace.steps(1, 8) != trace.steps(2, 8)


@each_trace
def test_only_who_is_there_goes_or_grows(trace: Trace) -> None:
    """A cluster that ends has come before, and no name comes back."""
    alive: set[str] = set()
    over: set[str] = set()
    for step in trace.steps(1, 24):
        assert alive.issuperset(step.gone)
        alive -= set(step.gone)
        over |= set(step.gone)
        alive |= {request.cluster for request in step.requests}
        assert not alive & over


def test_nearly_full_is_nearly_full() -> None:
    """At 95 % what is judged comes into a room with that many GPUs taken, but for less than one cluster."""
    (trace,) = (each for each in TRACES if each.name == "steady-95")
    taken: dict[str, int] = {}
    for step in trace.steps(1, 24):
        for name in step.gone:
            del taken[name]
        taken |= {request.cluster: request.workers for request in step.requests}
        if step.judged:
            assert 0.95 * trace.room.capacity - 16 <= sum(taken.values()) <= 0.95 * trace.room.capacity
