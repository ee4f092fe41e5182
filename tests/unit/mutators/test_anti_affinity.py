from __future__ import annotations

from tests.unit.objects import HOSTNAME, preferred, spec, target, term
from webhook.mutators.anti_affinity import apart
from webhook.mutators.decision import Outcome, Reason
from webhook.mutators.selector import selects
from webhook.policy import Policy, TopologyLevel

LIST = "/spec/worker/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution"


def test_off_by_default() -> None:
    """By default no anti-affinity to other clusters is added."""
    assert apart(target(), Policy()).reason is Reason.APART_OFF


def test_term_selects_other_clusters_of_all_namespaces() -> None:
    """The term selects workers of other clusters at the first level, in all namespaces, and not the own workers."""
    policy = Policy(apart=40, topology=(TopologyLevel(HOSTNAME, 9), TopologyLevel("rack", 1)))
    (operation,) = apart(target(), policy).operations
    (item,) = operation.value["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert item["weight"] == 40
    assert item["podAffinityTerm"]["topologyKey"] == HOSTNAME
    assert item["podAffinityTerm"]["namespaceSelector"] == {}
    assert not selects(item["podAffinityTerm"], target())
    assert selects(item["podAffinityTerm"], target(name="other"))


def test_users_anti_affinity_is_kept() -> None:
    """The term is appended after the user's terms."""
    user = {"podAntiAffinity": preferred(term(matchLabels={"app": "noisy"}))}
    (operation,) = apart(target(spec(affinity=user)), Policy(apart=1)).operations
    assert (operation.op, operation.path) == ("add", f"{LIST}/-")


def test_existing_term_is_kept_with_its_weight() -> None:
    """An existing term is kept after the weight in the namespace has changed."""
    first = apart(target(), Policy(apart=1)).operations[0].value
    decision = apart(target(spec(affinity=first)), Policy(apart=99))
    assert decision.outcome is Outcome.KEPT


def test_needs_a_name_and_a_level() -> None:
    """No term is added to a cluster without a name, or without a topology level."""
    assert apart(target(name=None), Policy(apart=1)).reason is Reason.CLUSTER_NAME_UNKNOWN
    assert apart(target(), Policy(apart=1, topology=())).reason is Reason.TOPOLOGY_NONE
