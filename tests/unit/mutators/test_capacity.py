"""Rule `capacity-hint`: what it asks, and that its own item is the only one it ever touches."""

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
    stored,
)
from webhook.mutators.decision import Reason
from webhook.mutators.selector import PREFERRED
from webhook.placement.model import (
    Arrival,
    Demand,
    Group,
    Hints,
    Hosts,
    NoHint,
    NoHintReason,
)
from webhook.policy import Mode, Policy
from webhook.workloads.pod_templates import read, updated
from webhook.workloads.unstructured import mapping, sequence

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.workloads.unstructured import Unstructured

HINTING = Policy(enabled=True, capacity_hint=True)
HOSTS = Hosts(("a", "b"), 4, "two hosts")
USERS = st.fixed_dictionaries({"weight": st.integers(1, 100), "preference": st.just({"matchExpressions": []})})


def asked(item: Unstructured, before: Unstructured = None, policy: Policy = HINTING, **request: bool) -> Any:  # noqa: ANN401 - any question
    """What the rule asks about an object."""
    subject = read(item)
    assert subject is not None
    subject = updated(subject, before) if before else subject
    return questions(subject, policy, "rapids", dry_run=request.get("dry_run", False)).worker


def sized(item: Unstructured, replicas: int) -> Unstructured:
    """The object with so many workers."""
    item["spec"]["worker"]["replicas"] = replicas
    return item


def hinted(item: Unstructured) -> Unstructured:
    """The object with the rule's own item in it."""
    subject = read(item)
    assert subject is not None
    operations = capacity_hint(subject.targets[0], HINTING, HOSTS).operations
    return jsonpatch.apply_patch(item, [each.as_json() for each in operations])


@thorough
@given(OBJECTS, st.sampled_from([HOSTS, Hosts(("c",), 2, ""), NoHint(NoHintReason.STALE, "")]))
def test_second_pass_gives_nothing(item: Unstructured, hint: Hosts | NoHint) -> None:
    """Whatever is hinted, the second pass changes nothing: who is asked again names the hosts that stand there."""
    subject = read(item)
    if subject is None:
        return
    first = plan(subject.targets, HINTING, Hints(hint, hint))
    again = read(jsonpatch.apply_patch(item, [each.as_json() for each in first.operations]))
    assert again is not None
    second = plan(again.targets, HINTING, Hints(hint, hint))
    assert not second.operations


@given(st.lists(USERS, max_size=3), st.integers(0, 3))
def test_users_own_items_stay(items: list[Unstructured], place: int) -> None:
    """Where a group grows its own item is replaced at its place; every other stays as it is and where it is."""
    listed = [*items]
    (own,) = sequence(hinted(group()), "spec", "worker", "spec", "affinity", "nodeAffinity", PREFERRED)
    listed.insert(place, own)
    worker = spec(affinity={"nodeAffinity": {PREFERRED: listed}})
    subject = read(sized(group(worker), 5))
    assert subject is not None
    target = updated(subject, sized(group(worker), 2)).targets[0]
    (operation,) = capacity_hint(target, HINTING, Hosts(("z",), 5, "")).operations
    assert (operation.op, operation.path.rpartition("/")[2]) == ("replace", str(listed.index(own)))


def test_all_workers_of_a_cluster_are_asked_for() -> None:
    """A new cluster asks for all its workers at once, with the GPU that they are about to get."""
    found = asked(sized(cluster(), 6))
    assert isinstance(found, Demand)
    assert (found.workers, found.gpus, found.resource) == (6, 1, "nvidia.com/gpu")
    assert found.group == Group("rapids", "demo", "demo-default")
    assert found.rack == "topology.kubernetes.io/zone"
    assert found.binding


def test_only_new_workers_of_a_group_are_asked_for() -> None:
    """A group asks for those that it grew by; a cluster's update leaves that to its group."""
    found = asked(sized(group(), 6), sized(group(), 4))
    assert (found.workers, found.before) == (2, 4)
    assert asked(sized(cluster(), 6), sized(cluster(), 4)) is NOTHING_ADDED
    assert asked(sized(group(), 4), sized(group(), 4)) is NOTHING_ADDED


def test_pod_asks_with_the_hosts_and_the_size_that_it_carries() -> None:
    """A pod asks in any case; what its item says decides whether the group outgrew it."""
    without, hinted_pod = asked(pod()), asked(hinted(pod()))
    assert isinstance(without, Arrival)
    assert (without.demand.told, without.demand.planned) == ((), None)
    assert isinstance(hinted_pod, Arrival)
    assert (hinted_pod.demand.told, hinted_pod.demand.planned) == (("a", "b"), 4)


def test_what_another_step_told_is_handed_on() -> None:
    """A group that carries hosts names them, so that they are promised here too."""
    assert asked(hinted(group())).told == ("a", "b")


def test_hosts_that_stand_there_go_only_for_others() -> None:
    """Hosts in a manifest stay where nothing is known of capacity or they are told again; other hosts replace them."""
    subject = read(hinted(cluster()))
    assert subject is not None
    for hint, reason in [
        (HOSTS, Reason.HINT_PRESENT),
        (NoHint(NoHintReason.STALE, ""), Reason.HINT_PRESENT),
        (NoHint(NoHintReason.FULL, ""), Reason.HINT_PRESENT),
        (Hosts(("c",), 2, ""), Reason.HINT_REPLACED),
    ]:
        assert capacity_hint(subject.targets[0], HINTING, hint).reason is reason


def test_what_is_not_stored_binds_nobody() -> None:
    """A dry run and mode `warn` promise nothing."""
    assert not asked(cluster(), dry_run=True).binding
    assert not asked(cluster(), policy=Policy(enabled=True, capacity_hint=True, mode=Mode.WARN)).binding


def test_gpus_are_the_pods_own() -> None:
    """What the user asks for counts, of whatever resource; several kinds are no plan."""
    limits = {"nvidia.com/gpu": "2"}
    assert asked(cluster(spec({"name": "worker", "resources": {"limits": limits}}))).gpus == 2
    limits = {"nvidia.com/mig-1g.5gb": "1"}
    found = asked(cluster(spec({"name": "worker", "resources": {"limits": limits}})))
    assert (found.resource, found.gpus) == ("nvidia.com/mig-1g.5gb", 1)
    limits = {"nvidia.com/mig-1g.5gb": "1", "amd.com/gpu": "1"}
    assert asked(cluster(spec({"name": "worker", "resources": {"limits": limits}}))).reason is NoHintReason.NO_GPU


def deep(levels: int) -> Unstructured:
    """Lists within each other."""
    found: Unstructured = []
    for _ in range(levels):
        found = [found]
    return found


def limited(limits: Unstructured) -> Unstructured:
    """The pod spec of a worker with these limits."""
    return spec(container(resources={"limits": limits}))


CROWDED = {
    "resources": limited({f"a.b/{each}": "1" for each in range(300)}),
    "affinity terms": spec(affinity={"podAffinity": preferred(*(term() for _ in range(2000)))}),
    "deep tolerations": spec(tolerations=[{"key": "a", "value": deep(400)}]),
    "tolerations": spec(tolerations=[{"key": f"a-{each}"} for each in range(2000)]),
    "deep quantity": limited({"nvidia.com/gpu": deep(900)}),
    "long quantity": limited({"nvidia.com/gpu": "9" * 5000}),
}


@pytest.mark.parametrize("worker", CROWDED.values(), ids=CROWDED)
@pytest.mark.parametrize("make", [cluster, group])
def test_no_object_is_too_much_to_ask_about(worker: Unstructured, make: Callable[[Unstructured], Unstructured]) -> None:
    """Where there is more of something than anyone writes: no hint and a reason, and other rules decide as ever."""
    found = asked(make(worker))
    assert isinstance(found, NoHint)
    assert found.reason in {NoHintReason.UNREADABLE, NoHintReason.NO_GPU}
    subject = read(make(worker))
    assert subject is not None
    with_hints = plan(subject.targets, HINTING, Hints(found, found)).decisions
    without = plan(subject.targets, Policy(enabled=True)).decisions
    assert [each for each in with_hints if each.rule != NAME] == [each for each in without if each.rule != NAME]


@pytest.mark.parametrize("worker", CROWDED.values(), ids=CROWDED)
def test_no_stored_object_is_too_much_to_read(worker: Unstructured) -> None:
    """A stored group that carries hosts beside more than anyone writes was told nothing."""
    (own,) = sequence(hinted(group()), "spec", "worker", "spec", "affinity", "nodeAffinity", PREFERRED)
    affinity = {**mapping(worker, "affinity"), "nodeAffinity": {PREFERRED: [own]}}
    (found,) = stored(group({**worker, "affinity": affinity}))
    assert found.demand is None or found.demand.gpus == 1


def test_every_lack_is_a_reason() -> None:
    """Why there is no hint is said by the rule in the same words."""
    assert {each.value for each in NoHintReason} <= {each.value for each in Reason}
