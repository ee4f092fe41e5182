from __future__ import annotations

import pytest

from tests.unit.objects import HOSTNAME, preferred, spec, target, term
from webhook.mutation.emptier import MAX_SKEW, emptier
from webhook.mutation.model import Outcome, Reason
from webhook.mutation.selector import takes_in
from webhook.policy import Policy, TopologyLevel
from webhook.policy.values import MOST_GPUS

LIST = "/spec/worker/spec/topologySpreadConstraints"


def test_constraint_is_about_other_clusters_and_never_binding() -> None:
    """It counts other clusters' workers at the nearest level, schedules anyway, and leaves out the own ones."""
    policy = Policy(topology=(TopologyLevel("rack", 9), TopologyLevel(HOSTNAME, 1)))
    (operation,) = emptier(target(), policy).operations
    (constraint,) = operation.value
    assert (constraint["whenUnsatisfiable"], constraint["topologyKey"]) == ("ScheduleAnyway", "rack")
    assert not takes_in(constraint, target())
    assert takes_in(constraint, target(name="other"))


def test_skew_is_one_that_kubernetes_takes() -> None:
    """The skew is above zero, more than a node holds, and still leaves differences of one to be seen."""
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


@pytest.mark.parametrize("section", ["podAffinity", "podAntiAffinity"])
def test_user_who_placed_the_workers_is_left_alone(section: str) -> None:
    """A manifest that says how workers stand to workers at the level, as the guide's does, gets no constraint."""
    own = term(matchLabels={"dask.org/component": "worker"})
    for there in (preferred(own), {"requiredDuringSchedulingIgnoredDuringExecution": [own]}):
        decision = emptier(target(spec(affinity={section: there})), Policy())
        assert (decision.outcome, decision.reason) == (Outcome.KEPT, Reason.SPREAD_PRESENT)


def test_needs_a_name_and_a_level() -> None:
    """Without a name there are no other clusters, without a level no place, and it can be turned off."""
    assert emptier(target(name=None), Policy()).reason is Reason.CLUSTER_NAME_UNKNOWN
    assert emptier(target(), Policy(topology=())).reason is Reason.TOPOLOGY_NONE
    assert emptier(target(), Policy(emptier_first=False)).reason is Reason.EMPTIER_OFF
    assert emptier(target(name="a/b"), Policy()).reason is Reason.CLUSTER_NAME_INVALID
