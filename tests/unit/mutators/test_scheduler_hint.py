"""Rule `capacity-hint` on the Dask scheduler, and rule `scheduler-placement` beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import jsonpatch

from tests.unit.objects import cluster, preferred, spec, term
from webhook.mutators import plan
from webhook.mutators.capacity import NOTHING_ADDED, questions
from webhook.mutators.decision import Reason
from webhook.placement.model import Demand, Hints, Hosts, NoHint, NoHintReason, scheduler_of
from webhook.policy import Policy, SchedulerPlacement
from webhook.workloads.pod_templates import read

if TYPE_CHECKING:
    from webhook.placement.model import Question
    from webhook.workloads.unstructured import Unstructured

HINTING = Policy(enabled=True, capacity_hint=True)
HOSTS = Hosts(("a", "b"), 1, "two hosts")


def with_scheduler(affinity: Unstructured = None) -> Unstructured:
    """A DaskCluster whose Dask scheduler holds a GPU."""
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


def test_scheduler_that_holds_a_gpu_is_asked_about() -> None:
    """The Dask scheduler is a group of one pod, with the GPU that it requests or is about to get."""
    for item, policy in ((with_scheduler(), HINTING), (cluster(), replace(HINTING, scheduler_gpu=1))):
        found = asked_of_scheduler(item, policy)
        assert isinstance(found, Demand)
        assert (found.group, found.wanted, found.gpus) == (scheduler_of("rapids", "demo"), 1, 1)
    without = asked_of_scheduler(cluster())
    assert isinstance(without, NoHint)
    assert without.reason is NoHintReason.NO_GPU


def test_hint_takes_the_place_of_terms() -> None:
    """A Dask scheduler with a hint gets no terms for other nodes, then or later; without one it gets them."""
    subject = read(with_scheduler())
    assert subject is not None
    operations = plan(subject.targets, HINTING, Hints(HOSTS, Hosts(("c",), 1, "c"))).operations
    result = jsonpatch.apply_patch(with_scheduler(), [each.as_json() for each in operations])
    assert set(result["spec"]["scheduler"]["spec"]["affinity"]) == {"nodeAffinity"}
    again = read(result)
    assert again is not None
    assert not plan(again.targets, HINTING).operations
    stale = NoHint(NoHintReason.STALE, "")
    reasons = {each.reason for each in plan(subject.targets, HINTING, Hints(stale, stale)).decisions}
    assert Reason.SCHEDULER_PLACEMENT_ADDED in reasons


def test_placed_scheduler_is_not_asked_about() -> None:
    """What a user, an earlier version or the namespace says about the Dask scheduler's node stands."""
    selector = {"matchLabels": {"dask.org/component": "worker", "dask.org/cluster-name": "demo"}}
    beside_workers = {"podAffinity": preferred(term(**selector))}
    assert asked_of_scheduler(with_scheduler(beside_workers)) is NOTHING_ADDED
    keep = replace(HINTING, scheduler_placement=SchedulerPlacement.KEEP)
    assert asked_of_scheduler(with_scheduler(), keep) is NOTHING_ADDED
