"""Rules `capacity-hint` and `scheduler-placement` on a Dask scheduler."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import jsonpatch

from tests.unit.objects import cluster, preferred, spec, term
from webhook.mutators import plan
from webhook.mutators.capacity import NOTHING_ADDED, questions
from webhook.mutators.decision import Reason
from webhook.placement.model import Demand, Hints, NoHint, NoHintReason, PreferredNodes, scheduler_of
from webhook.policy import Policy, SchedulerPlacement
from webhook.workloads.pod_templates import read

if TYPE_CHECKING:
    from webhook.placement.model import Question
    from webhook.workloads.unstructured import Unstructured

HINTING = Policy(enabled=True, capacity_hint=True)
HOSTS = PreferredNodes(("a", "b"), 1, "two hosts")


def with_scheduler(affinity: Unstructured = None) -> Unstructured:
    """Return a DaskCluster whose Dask scheduler requests a GPU."""
    item = cluster()
    container_of_scheduler = {"name": "scheduler", "image": "rapids", "args": ["dask-scheduler"]}
    limits = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    item["spec"]["scheduler"]["spec"] = spec({**container_of_scheduler, **limits}, affinity=affinity)
    return item


def asked_of_scheduler(item: Unstructured, policy: Policy = HINTING) -> Question | NoHint:
    """Return the question about an object's Dask scheduler."""
    subject = read(item)
    assert subject is not None
    return questions(subject, policy, "rapids", dry_run=False).scheduler


def test_scheduler_with_a_gpu_has_a_demand() -> None:
    """The demand of a Dask scheduler is one pod with the GPU that it requests or that rule `scheduler-gpu` adds."""
    for item, policy in ((with_scheduler(), HINTING), (cluster(), replace(HINTING, scheduler_gpu=1))):
        demand = asked_of_scheduler(item, policy)
        assert isinstance(demand, Demand)
        assert (demand.group, demand.replicas, demand.gpus) == (scheduler_of("rapids", "demo"), 1, 1)
    without = asked_of_scheduler(cluster())
    assert isinstance(without, NoHint)
    assert without.reason is NoHintReason.NO_GPU


def test_hint_takes_the_place_of_terms() -> None:
    """A Dask scheduler with a hint gets no terms, also when decided again; without a hint it gets them."""
    subject = read(with_scheduler())
    assert subject is not None
    operations = plan(subject.targets, HINTING, Hints(HOSTS, PreferredNodes(("c",), 1, "c"))).operations
    result = jsonpatch.apply_patch(with_scheduler(), [operation.as_json() for operation in operations])
    assert set(result["spec"]["scheduler"]["spec"]["affinity"]) == {"nodeAffinity"}
    again = read(result)
    assert again is not None
    assert not plan(again.targets, HINTING).operations
    stale = NoHint(NoHintReason.STALE, "")
    reasons = {decision.reason for decision in plan(subject.targets, HINTING, Hints(stale, stale)).decisions}
    assert Reason.SCHEDULER_PLACEMENT_ADDED in reasons


def test_placed_scheduler_has_no_demand() -> None:
    """A Dask scheduler that the user placed, or in a namespace with `scheduler-placement: keep`, has no demand."""
    selector = {"matchLabels": {"dask.org/component": "worker", "dask.org/cluster-name": "demo"}}
    beside_workers = {"podAffinity": preferred(term(**selector))}
    assert asked_of_scheduler(with_scheduler(beside_workers)) is NOTHING_ADDED
    keep = replace(HINTING, scheduler_placement=SchedulerPlacement.KEEP)
    assert asked_of_scheduler(with_scheduler(), keep) is NOTHING_ADDED
