"""Rule `capacity-hint`: its capacity questions, and its own item as the only one that it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.admission.test_properties import OBJECTS, thorough
from tests.unit.objects import cluster, container, group, pod, preferred, spec, term
from webhook.mutators import plan
from webhook.mutators.capacity import (
    NAME,
    NOTHING_ADDED,
    capacity_hint,
    questions,
)
from webhook.mutators.decision import Reason
from webhook.mutators.selector import PREFERRED
from webhook.placement.model import (
    Demand,
    Group,
    Hints,
    NewPod,
    NoHint,
    NoHintReason,
    PreferredNodes,
)
from webhook.placement.stored_groups import stored_groups
from webhook.policy import Mode, Policy
from webhook.workloads.pod_templates import read, updated
from webhook.workloads.unstructured import mapping, sequence

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.workloads.unstructured import Unstructured

HINTING = Policy(enabled=True, capacity_hint=True)
HOSTS = PreferredNodes(("a", "b"), 4, "two hosts")
USERS = st.fixed_dictionaries({"weight": st.integers(1, 100), "preference": st.just({"matchExpressions": []})})


def asked(item: Unstructured, before: Unstructured = None, policy: Policy = HINTING, **request: bool) -> Any:  # noqa: ANN401 - any question
    """Return the question about an object's workers."""
    subject = read(item)
    assert subject is not None
    subject = updated(subject, before) if before else subject
    return questions(subject, policy, "rapids", dry_run=request.get("dry_run", False)).worker


def sized(item: Unstructured, replicas: int) -> Unstructured:
    """Return the object with `replicas` workers."""
    item["spec"]["worker"]["replicas"] = replicas
    return item


def hinted(item: Unstructured) -> Unstructured:
    """Return the object with the item of a hint."""
    subject = read(item)
    assert subject is not None
    operations = capacity_hint(subject.targets[0], HINTING, HOSTS).operations
    return jsonpatch.apply_patch(item, [operation.as_json() for operation in operations])


@thorough
@given(OBJECTS, st.sampled_from([HOSTS, PreferredNodes(("c",), 2, ""), NoHint(NoHintReason.STALE, "")]))
def test_second_pass_gives_nothing(item: Unstructured, hint: PreferredNodes | NoHint) -> None:
    """For any object and hint, deciding again with the same hint changes nothing."""
    subject = read(item)
    if subject is None:
        return
    first = plan(subject.targets, HINTING, Hints(hint, hint))
    again = read(jsonpatch.apply_patch(item, [operation.as_json() for operation in first.operations]))
    assert again is not None
    second = plan(again.targets, HINTING, Hints(hint, hint))
    assert not second.operations


@given(st.lists(USERS, max_size=3), st.integers(0, 3))
def test_users_own_items_stay(items: list[Unstructured], place: int) -> None:
    """The item of a group that grows is replaced at its index; all other items are unmodified."""
    listed = [*items]
    (own,) = sequence(hinted(group()), "spec", "worker", "spec", "affinity", "nodeAffinity", PREFERRED)
    listed.insert(place, own)
    worker = spec(affinity={"nodeAffinity": {PREFERRED: listed}})
    subject = read(sized(group(worker), 5))
    assert subject is not None
    target = updated(subject, sized(group(worker), 2)).targets[0]
    (operation,) = capacity_hint(target, HINTING, PreferredNodes(("z",), 5, "")).operations
    assert (operation.op, operation.path.rpartition("/")[2]) == ("replace", str(listed.index(own)))


def test_all_workers_of_a_cluster_are_asked_for() -> None:
    """A new cluster demands GPUs for all its workers, with the limit that rule `gpu` adds."""
    found = asked(sized(cluster(), 6))
    assert isinstance(found, Demand)
    assert (found.workers, found.gpus, found.resource) == (6, 1, "nvidia.com/gpu")
    assert found.group == Group("rapids", "demo", "demo-default")
    assert found.rack_label == "topology.kubernetes.io/zone"
    assert found.stored


def test_only_new_workers_of_a_group_are_asked_for() -> None:
    """An update demands GPUs for the added workers of a group only, and none for those of a cluster."""
    found = asked(sized(group(), 6), sized(group(), 4))
    assert (found.workers, found.replicas_before) == (2, 4)
    assert asked(sized(cluster(), 6), sized(cluster(), 4)) is NOTHING_ADDED
    assert asked(sized(group(), 4), sized(group(), 4)) is NOTHING_ADDED


def test_pod_demands_with_the_hosts_and_size_of_its_item() -> None:
    """The demand of a pod contains the hosts and the size of its item, if it has one."""
    without, hinted_pod = asked(pod()), asked(hinted(pod()))
    assert isinstance(without, NewPod)
    assert (without.demand.hostnames, without.demand.planned_size) == ((), None)
    assert isinstance(hinted_pod, NewPod)
    assert (hinted_pod.demand.hostnames, hinted_pod.demand.planned_size) == (("a", "b"), 4)


def test_hosts_of_a_group_are_part_of_its_demand() -> None:
    """The demand of a group contains the hosts of its item, so that this replica reserves them too."""
    assert asked(hinted(group())).hostnames == ("a", "b")


def test_hosts_are_replaced_only_by_other_hosts() -> None:
    """Nodes in a manifest are kept without a hint or with the same hint; a hint for other hosts replaces them."""
    subject = read(hinted(cluster()))
    assert subject is not None
    for hint, reason in [
        (HOSTS, Reason.HINT_PRESENT),
        (NoHint(NoHintReason.STALE, ""), Reason.HINT_PRESENT),
        (NoHint(NoHintReason.FULL, ""), Reason.HINT_PRESENT),
        (PreferredNodes(("c",), 2, ""), Reason.HINT_REPLACED),
    ]:
        assert capacity_hint(subject.targets[0], HINTING, hint).reason is reason


def test_unstored_objects_reserve_nothing() -> None:
    """A dry run and mode `warn` reserve no GPUs."""
    assert not asked(cluster(), dry_run=True).stored
    assert not asked(cluster(), policy=Policy(enabled=True, capacity_hint=True, mode=Mode.WARN)).stored


def test_demand_uses_the_pods_own_resource() -> None:
    """The demand counts the GPU resource that the user requests; several kinds of GPUs give no hint."""
    limits = {"nvidia.com/gpu": "2"}
    assert asked(cluster(spec({"name": "worker", "resources": {"limits": limits}}))).gpus == 2
    limits = {"nvidia.com/mig-1g.5gb": "1"}
    found = asked(cluster(spec({"name": "worker", "resources": {"limits": limits}})))
    assert (found.resource, found.gpus) == ("nvidia.com/mig-1g.5gb", 1)
    limits = {"nvidia.com/mig-1g.5gb": "1", "amd.com/gpu": "1"}
    assert asked(cluster(spec({"name": "worker", "resources": {"limits": limits}}))).reason is NoHintReason.NO_GPU


def deep(levels: int) -> Unstructured:
    """Return nested lists."""
    found: Unstructured = []
    for _ in range(levels):
        found = [found]
    return found


def limited(limits: Unstructured) -> Unstructured:
    """Return the pod spec of a worker with these limits."""
    return spec(container(resources={"limits": limits}))


TOO_LARGE = {
    "resources": limited({f"a.b/{each}": "1" for each in range(300)}),
    "affinity terms": spec(affinity={"podAffinity": preferred(*(term() for _ in range(2000)))}),
    "deep tolerations": spec(tolerations=[{"key": "a", "value": deep(400)}]),
    "tolerations": spec(tolerations=[{"key": f"a-{each}"} for each in range(2000)]),
    "deep quantity": limited({"nvidia.com/gpu": deep(900)}),
    "long quantity": limited({"nvidia.com/gpu": "9" * 5000}),
}


@pytest.mark.parametrize("worker", TOO_LARGE.values(), ids=TOO_LARGE)
@pytest.mark.parametrize("make", [cluster, group])
def test_too_large_object_gets_no_hint(worker: Unstructured, make: Callable[[Unstructured], Unstructured]) -> None:
    """An object with too long lists gets a reason instead of a hint, and does not affect other rules."""
    found = asked(make(worker))
    assert isinstance(found, NoHint)
    assert found.reason in {NoHintReason.UNREADABLE, NoHintReason.NO_GPU}
    subject = read(make(worker))
    assert subject is not None
    with_hints = plan(subject.targets, HINTING, Hints(found, found)).decisions
    without = plan(subject.targets, Policy(enabled=True)).decisions
    assert [decision for decision in with_hints if decision.rule != NAME] == [
        decision for decision in without if decision.rule != NAME
    ]


@pytest.mark.parametrize("worker", TOO_LARGE.values(), ids=TOO_LARGE)
def test_too_large_stored_object_has_no_demand(worker: Unstructured) -> None:
    """A stored group with too long lists reserves no GPUs, although it has an item."""
    (own,) = sequence(hinted(group()), "spec", "worker", "spec", "affinity", "nodeAffinity", PREFERRED)
    affinity = {**mapping(worker, "affinity"), "nodeAffinity": {PREFERRED: [own]}}
    (found,) = stored_groups(group({**worker, "affinity": affinity}))
    assert found.demand is None or found.demand.gpus == 1


def test_no_hint_reasons_are_reasons() -> None:
    """Every reason for a missing hint is a reason code of the rules."""
    assert {reason.value for reason in NoHintReason} <= {reason.value for reason in Reason}
