from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.objects import HOSTNAME, preferred, spec, target, term
from webhook.mutators.decision import Outcome, Reason
from webhook.mutators.selector import PREFERRED, REQUIRED, selects
from webhook.mutators.spread import MAX_SKEW, emptier
from webhook.mutators.terms import GUIDE_TERM, affinity_term
from webhook.policy import GuideAffinity, Policy, TopologyLevel
from webhook.policy.values import MOST_GPUS

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

UPGRADE = Policy(guide_affinity=GuideAffinity.UPGRADE)
NEAREST, LIGHTER = TopologyLevel(HOSTNAME, 100), TopologyLevel(HOSTNAME, 7)
LIST = "/spec/worker/spec/topologySpreadConstraints"


def test_constraint_is_about_other_clusters_and_never_binding() -> None:
    """It counts other clusters' workers at the nearest level, schedules anyway, and leaves out the own ones."""
    policy = Policy(topology=(TopologyLevel("rack", 9), TopologyLevel(HOSTNAME, 1)))
    (operation,) = emptier(target(), policy).operations
    (constraint,) = operation.value
    assert (constraint["whenUnsatisfiable"], constraint["topologyKey"]) == ("ScheduleAnyway", "rack")
    assert not selects(constraint, target())
    assert selects(constraint, target(name="other"))


def test_skew_is_one_that_kubernetes_takes() -> None:
    """The skew is above zero, more than the GPUs of a usual node, and still leaves differences of one to be seen."""
    assert 16 < MAX_SKEW < MOST_GPUS


def test_users_constraint_elsewhere_keeps_its_place() -> None:
    """Ours is appended behind a constraint at another level."""
    user = [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]
    (operation,) = emptier(target(spec(topologySpreadConstraints=user)), Policy()).operations
    assert (operation.op, operation.path) == ("add", f"{LIST}/-")


def test_users_constraint_at_the_level_stands() -> None:
    """Whoever wrote a constraint at the level, or an earlier pass, is left alone."""
    first = emptier(target(), Policy()).operations[0].value
    user = [{"maxSkew": 1, "topologyKey": HOSTNAME, "whenUnsatisfiable": "DoNotSchedule"}]
    for there in (first, user):
        decision = emptier(target(spec(topologySpreadConstraints=there)), Policy())
        assert (decision.outcome, decision.reason) == (Outcome.KEPT, Reason.SPREAD_PRESENT)


@pytest.mark.parametrize(("field", "name"), [("requests", "cpu"), ("limits", "memory")])
def test_workers_that_the_scheduler_sees_are_left_to_it(field: str, name: str) -> None:
    """Workers that ask for CPU or memory need no constraint: the scheduler prefers empty nodes by those."""
    container = {"name": "worker", "resources": {field: {name: "4"}}}
    assert emptier(target({"containers": [container]}), Policy()).reason is Reason.REQUESTS_PRESENT


CPU = {"resources": {"requests": {"cpu": "500m"}}}
SIDECAR = {"name": "proxy", "restartPolicy": "Always", **CPU}


@pytest.mark.parametrize(
    "fields", [CPU, {"initContainers": [SIDECAR]}], ids=["the pod's own resources", "a native sidecar's"]
)
def test_requests_of_the_whole_pod_count(fields: Unstructured) -> None:
    """kube-scheduler adds up the requests of the pod, its containers and its native sidecars."""
    assert emptier(target(spec(**fields)), Policy()).reason is Reason.REQUESTS_PRESENT


@pytest.mark.parametrize("zero", ["0", "0m", 0, "+0", None])
def test_request_of_zero_does_not_count(zero: Unstructured) -> None:
    """A request of zero CPU does not distinguish nodes, so the constraint is added."""
    container = {"name": "worker", "resources": {"requests": {"cpu": zero}, "limits": {"memory": zero}}}
    assert emptier(target({"containers": [container]}), Policy()).reason is Reason.EMPTIER_ADDED


def test_request_of_an_init_container_does_not_count() -> None:
    """An init container has ended when the workers run, so its requests do not distinguish nodes."""
    init = {"name": "fetch", **CPU}
    assert emptier(target(spec(initContainers=[init])), Policy()).reason is Reason.EMPTIER_ADDED


@pytest.mark.parametrize("section", ["podAffinity", "podAntiAffinity"])
def test_user_who_placed_the_workers_is_left_alone(section: str) -> None:
    """A manifest that says how workers stand to workers at the level, as the guide's does, gets no constraint."""
    own = term(matchLabels={"dask.org/component": "worker"})
    for there in (preferred(own), {"requiredDuringSchedulingIgnoredDuringExecution": [own]}):
        decision = emptier(target(spec(affinity={section: there})), Policy())
        assert (decision.outcome, decision.reason) == (Outcome.KEPT, Reason.SPREAD_PRESENT)


@pytest.mark.parametrize(
    "there", [GUIDE_TERM, affinity_term(target(), NEAREST, UPGRADE), affinity_term(target(), LIGHTER, UPGRADE)]
)
def test_term_that_an_upgrade_replaces_is_not_the_users(there: Unstructured) -> None:
    """The guide's term that is about to be replaced, and what stands there afterwards, leave the level open."""
    decision = emptier(target(spec(affinity={"podAffinity": {PREFERRED: [there]}})), UPGRADE)
    assert (decision.outcome, decision.reason) == (Outcome.APPLIED, Reason.EMPTIER_ADDED)


def test_term_beside_the_replaced_one_stands() -> None:
    """A term of the user's own at the level speaks for it, also one that keeps the cluster's own workers apart."""
    mine = affinity_term(target(), NEAREST, UPGRADE)
    for beside in ({"podAntiAffinity": {PREFERRED: [mine]}}, {"podAffinity": {REQUIRED: [mine["podAffinityTerm"]]}}):
        there = {"podAffinity": {PREFERRED: [GUIDE_TERM]}}
        together = {key: there.get(key, {}) | beside.get(key, {}) for key in there | beside}
        assert emptier(target(spec(affinity=together)), UPGRADE).reason is Reason.SPREAD_PRESENT


def test_needs_a_name_and_a_level() -> None:
    """Without a name there are no other clusters, without a level no place, and it can be turned off."""
    assert emptier(target(name=None), Policy()).reason is Reason.CLUSTER_NAME_UNKNOWN
    assert emptier(target(), Policy(topology=())).reason is Reason.TOPOLOGY_NONE
    assert emptier(target(), Policy(emptier_first=False)).reason is Reason.EMPTIER_OFF
    assert emptier(target(name="a/b"), Policy()).reason is Reason.CLUSTER_NAME_INVALID
