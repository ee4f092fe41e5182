from __future__ import annotations

from tests.unit.objects import HOSTNAME, preferred, spec, target, term
from webhook.mutators.anti_affinity import apart
from webhook.mutators.decision import Outcome, Reason
from webhook.mutators.selector import takes_in
from webhook.policy import Policy, TopologyLevel

LIST = "/spec/worker/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution"


def test_off_by_default() -> None:
    """As shipped, clusters are not kept apart."""
    assert apart(target(), Policy()).reason is Reason.APART_OFF


def test_term_is_about_other_clusters_of_all_namespaces() -> None:
    """The term prefers hosts without other clusters' workers at the nearest level, and leaves out the own ones."""
    policy = Policy(apart=40, topology=(TopologyLevel(HOSTNAME, 9), TopologyLevel("rack", 1)))
    (operation,) = apart(target(), policy).operations
    (item,) = operation.value["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert item["weight"] == 40
    assert item["podAffinityTerm"]["topologyKey"] == HOSTNAME
    assert item["podAffinityTerm"]["namespaceSelector"] == {}
    assert not takes_in(item["podAffinityTerm"], target())
    assert takes_in(item["podAffinityTerm"], target(name="other"))


def test_users_anti_affinity_keeps_its_place() -> None:
    """Ours is appended behind the user's."""
    user = {"podAntiAffinity": preferred(term(matchLabels={"app": "noisy"}))}
    (operation,) = apart(target(spec(affinity=user)), Policy(apart=1)).operations
    assert (operation.op, operation.path) == ("add", f"{LIST}/-")


def test_second_pass_keeps_it_whatever_the_weight() -> None:
    """The term that is there stays, also when the namespace's weight has changed since."""
    first = apart(target(), Policy(apart=1)).operations[0].value
    decision = apart(target(spec(affinity=first)), Policy(apart=99))
    assert decision.outcome is Outcome.KEPT


def test_needs_a_name_and_a_level() -> None:
    """Without a name there are no other clusters, and without a level no place."""
    assert apart(target(name=None), Policy(apart=1)).reason is Reason.CLUSTER_NAME_UNKNOWN
    assert apart(target(), Policy(apart=1, topology=())).reason is Reason.TOPOLOGY_NONE
