"""Only the container that runs Dask is ever changed, in pods of up to five containers in any order."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import jsonpatch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import objects
from webhook.mutators import plan
from webhook.mutators.decision import Outcome, Reason
from webhook.policy import Policy, resolve
from webhook.workloads.pod_templates import read

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

# Sidecars: what they run mentions Dask, or goes to an entrypoint that may be anything.
SIDECARS = st.sampled_from(
    [
        {"args": ["--path=/var/log/dask-worker"]},
        {"args": ["--home=/opt/dask", "worker"]},
        {"args": ["worker"]},
        {"args": ["scheduler"]},
        {"args": ["-m", "dask", "worker"]},
        {"args": ["--upstream=http://dask-scheduler:8787"]},
        {"command": ["tail", "-F", "/var/log/dask-worker"]},
        {"command": ["sh", "-c"], "args": ["while true; do echo dask-worker; sleep 5; done"]},
        {"command": ["sh", "-c"], "args": ["pkill -f 'dask worker'; exec dask-exporter"]},
        {"args": ["proxy", "--tag", "dask-worker"]},
        {"args": ["dask-scheduler"]},
        {"args": ["sleep", "infinity"]},
        {},
    ]
)
# Workers that are certain, whatever their container is called.
WORKERS = st.sampled_from(
    [
        {"args": ["dask-worker", "--name", "$(DASK_WORKER_NAME)"]},
        {"args": ["dask", "worker"]},
        {"args": ["dask-cuda-worker"]},
        {"command": ["python", "-m", "distributed.cli.dask_worker"]},
        {"args": ["uv", "run", "-m", "dask", "worker"]},
        {"command": ["sh", "-c"], "args": ["cd /ws || exit 1; exec dask-worker"]},
        {"command": ["sh", "-c"], "args": ["while true; do dask-worker; done"]},
        {"command": ["bash", "-c"], "args": ["dask-worker | tee /log"]},
    ]
)
# Workers that only their container's name tells.
NAMED = st.sampled_from([{}, {"command": ["./start.sh"]}, {"args": ["worker"]}, {"args": ["$(COMMAND)"]}])
RESOURCES = st.sampled_from([{}, {"resources": {"limits": {"memory": "1Gi"}}}, {"resources": None}])
POLICY = resolve({"colocate.dask.org/dask-cli": "subcommands"}, Policy(enabled=True))


def _sidecars(most: int) -> st.SearchStrategy[list[Unstructured]]:
    return st.lists(st.builds(lambda words, rest: {**words, **rest}, SIDECARS, RESOURCES), max_size=most)


def _pod(containers: list[Unstructured], order: list[int]) -> tuple[Unstructured, list[Unstructured]]:
    placed = [containers[place] for place in order if place < len(containers)]
    return objects.cluster(objects.spec(*placed)), placed


def _patched(item: Unstructured) -> Unstructured:
    subject = read(item)
    assert subject is not None
    operations = [operation.as_json() for operation in plan(subject.targets, POLICY).operations]
    return jsonpatch.apply_patch(copy.deepcopy(item), operations)


ORDERS = st.permutations(range(5))


@settings(max_examples=300, deadline=None)
@given(sidecars=_sidecars(4), worker=WORKERS, named=st.booleans(), order=ORDERS)
def test_a_certain_worker_is_the_only_container_that_changes(
    sidecars: list[Unstructured], worker: Unstructured, named: bool, order: list[int]
) -> None:
    """Exactly the container that certainly starts a worker gets the GPU, also beside a sidecar named `worker`."""
    others = [{"name": f"side-{number}", **sidecar} for number, sidecar in enumerate(sidecars)]
    if others and not named:
        others[0]["name"] = "worker"
    target = {"name": "main", **worker}
    item, placed = _pod([target, *others], order)
    changed = _patched(item)["spec"]["worker"]["spec"]["containers"]
    for before, after in zip(placed, changed, strict=True):
        if before["name"] == "main":
            assert after["resources"]["limits"]["nvidia.com/gpu"] == "1"
        else:
            assert after == before


@settings(max_examples=200, deadline=None)
@given(sidecars=_sidecars(4), worker=NAMED, order=ORDERS)
def test_the_name_decides_without_a_certain_worker(
    sidecars: list[Unstructured], worker: Unstructured, order: list[int]
) -> None:
    """Where no container certainly starts a worker, exactly the one named `worker` changes."""
    others = [{"name": f"side-{number}", **sidecar} for number, sidecar in enumerate(sidecars)]
    item, placed = _pod([{"name": "worker", **worker}, *others], order)
    changed = _patched(item)["spec"]["worker"]["spec"]["containers"]
    for before, after in zip(placed, changed, strict=True):
        assert (after != before) == (before["name"] == "worker")


@settings(max_examples=200, deadline=None)
@given(sidecars=_sidecars(3), workers=st.tuples(WORKERS, WORKERS), order=ORDERS)
def test_two_certain_workers_are_both_kept(
    sidecars: list[Unstructured], workers: tuple[Unstructured, Unstructured], order: list[int]
) -> None:
    """With two certain workers no container changes, and the rules refuse with one warning that names both."""
    others = [{"name": f"side-{number}", **sidecar} for number, sidecar in enumerate(sidecars)]
    both = [{"name": name, **worker} for name, worker in zip(("first", "worker"), workers, strict=True)]
    item, placed = _pod([*both, *others], order)
    assert _patched(item)["spec"]["worker"]["spec"]["containers"] == placed
    subject = read(item)
    assert subject is not None
    found = plan(subject.targets[:1], POLICY)
    refused = [decision for decision in found.decisions if decision.outcome is Outcome.REFUSED]
    assert {decision.rule for decision in refused} == {"gpu", "command", "dask-cli"}
    assert {decision.reason for decision in refused} == {Reason.CONTAINER_UNSURE}
    (line,) = found.warnings
    assert "first" in line
    assert "worker" in line


@settings(max_examples=100, deadline=None)
@given(sidecars=st.lists(SIDECARS, min_size=2, max_size=5))
def test_sidecars_alone_are_all_kept(sidecars: list[Unstructured]) -> None:
    """Without a certain worker and a container named `worker`, nothing in the containers changes."""
    containers = [{"name": f"side-{number}", **sidecar} for number, sidecar in enumerate(sidecars)]
    changed = _patched(objects.cluster(objects.spec(*containers)))
    assert changed["spec"]["worker"]["spec"]["containers"] == containers
