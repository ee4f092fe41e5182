from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.objects import HOSTNAME, expression, preferred, spec, target, term
from webhook.mutators.affinity import affinity
from webhook.mutators.decision import Decision, Outcome, Reason
from webhook.policy import AffinityScope, GuideAffinity, Policy, TopologyLevel

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

ZONE = "topology.kubernetes.io/zone"
GUIDE = term(matchExpressions=[expression("dask.org/component", "In", "worker")])
CACHE = term(matchLabels={"app": "cache"})
LIST = "/spec/worker/spec/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution"


def decided(affinity_of_user: Unstructured = None, name: str | None = "demo", **policy: Unstructured) -> Decision:
    """Return the decision on a cluster with this affinity and policy."""
    fields = {} if affinity_of_user is None else {"affinity": affinity_of_user}
    levels = (TopologyLevel(HOSTNAME, 100),)
    return affinity(target(spec(**fields), name), Policy(**{"topology": levels, **policy}))


def test_term_selects_the_cluster() -> None:
    """The added term is the guide's term with the cluster's name in its selector."""
    (operation,) = decided().operations
    (item,) = operation.value["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    selector = item["podAffinityTerm"]["labelSelector"]["matchExpressions"]
    assert selector == [*GUIDE["labelSelector"]["matchExpressions"], expression("dask.org/cluster-name", "In", "demo")]
    assert (item["weight"], item["podAffinityTerm"]["topologyKey"]) == (100, HOSTNAME)


def test_term_is_preferred() -> None:
    """The added affinity is never required, so workers still start when nodes are full."""
    for scope in AffinityScope:
        text = str(decided(affinity_scope=scope).operations)
        assert "requiredDuringScheduling" not in text
        assert "matchLabelKeys" not in text


def test_users_terms_are_kept() -> None:
    """The term is appended after the user's terms and replaces none of them."""
    (operation,) = decided({"podAffinity": preferred(CACHE)}).operations
    assert (operation.op, operation.path) == ("add", f"{LIST}/-")


@pytest.mark.parametrize("section", ["podAffinity", "podAntiAffinity"])
@pytest.mark.parametrize("hard", [True, False])
def test_users_own_term_covers_the_level(section: str, hard: bool) -> None:
    """A user's term that selects these workers covers the level: affinity or anti-affinity, preferred or required."""
    own = term(matchLabels={"dask.org/component": "worker"})
    terms = {"requiredDuringSchedulingIgnoredDuringExecution": [own]} if hard else preferred(own, weight=3)
    decision = decided({section: terms})
    wanted = Reason.AFFINITY_PRESENT if section == "podAffinity" else Reason.ANTI_AFFINITY_PRESENT
    assert (decision.outcome, decision.reason) == (Outcome.KEPT, wanted)


def test_guides_own_term_is_kept() -> None:
    """The RAPIDS guide's manifest is unmodified."""
    assert decided({"podAffinity": preferred(GUIDE)}).reason is Reason.GUIDE_AFFINITY_PRESENT


def test_level_without_the_users_term_is_added() -> None:
    """A user's term for another topology key does not cover the first level."""
    decision = decided({"podAffinity": preferred(term(ZONE, matchLabels={"dask.org/component": "worker"}))})
    assert decision.reason is Reason.AFFINITY_ADDED


@pytest.mark.parametrize("section", ["podAffinity", "podAntiAffinity"])
def test_users_term_for_the_first_level_covers_all_levels(section: str) -> None:
    """A manifest with a term for the first level gets no terms for further levels."""
    levels = (TopologyLevel(HOSTNAME, 100), TopologyLevel("rack", 30))
    assert decided({section: preferred(GUIDE)}, topology=levels).outcome is Outcome.KEPT


def spread(topology_key: str, **fields: Unstructured) -> Unstructured:
    """A soft spread constraint of a user on the workers of cluster `demo`."""
    constraint = term(topology_key, matchLabels={"dask.org/cluster-name": "demo", "dask.org/component": "worker"})
    return spec(
        topologySpreadConstraints=[{"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", **constraint, **fields}]
    )


LEVELS = (TopologyLevel(HOSTNAME, 100), TopologyLevel(ZONE, 30))


def test_soft_spread_at_the_node_stops_the_affinity() -> None:
    """A user's spread constraint on the own workers counts for its key; at the nearest level also for farther ones."""
    decision = affinity(target(spread(HOSTNAME)), Policy(topology=LEVELS))
    assert (decision.outcome, decision.reason) == (Outcome.KEPT, Reason.SPREAD_PRESENT)


def test_soft_spread_at_the_zone_leaves_the_node_open() -> None:
    """A user's spread constraint at a farther level counts for its key only."""
    (operation,) = affinity(target(spread(ZONE)), Policy(topology=LEVELS)).operations
    (item,) = operation.value["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert item["podAffinityTerm"]["topologyKey"] == HOSTNAME


def test_spread_of_a_replicaset_leaves_all_levels_open() -> None:
    """With `matchLabelKeys: [pod-template-hash]` a constraint covers one worker, since each has its own Deployment."""
    decision = affinity(target(spread(HOSTNAME, matchLabelKeys=["pod-template-hash"])), Policy(topology=LEVELS))
    assert decision.reason is Reason.AFFINITY_ADDED


def test_users_anti_affinity_covers_all_levels() -> None:
    """An anti-affinity with the selector of the added affinity is the user's, and covers all levels."""
    levels = (TopologyLevel(HOSTNAME, 100), TopologyLevel("rack", 30))
    (operation,) = decided().operations
    terms = operation.value["podAffinity"]
    assert decided({"podAntiAffinity": terms}, topology=levels).reason is Reason.ANTI_AFFINITY_PRESENT


def test_level_that_the_namespace_added_later_is_added() -> None:
    """The term of an earlier admission does not cover further levels."""
    levels = (TopologyLevel(HOSTNAME, 100), TopologyLevel("rack", 30))
    (first,) = decided(topology=levels[:1]).operations
    (second,) = decided(first.value, topology=levels).operations
    assert second.value["podAffinityTerm"]["topologyKey"] == "rack"


def test_each_level_gets_a_term() -> None:
    """The terms are appended in the order of the policy, each with the weight of its level."""
    levels = (TopologyLevel(HOSTNAME, 100), TopologyLevel("rack", 30))
    operations = decided({"podAffinity": preferred(CACHE)}, topology=levels).operations
    assert [(item.value["podAffinityTerm"]["topologyKey"], item.value["weight"]) for item in operations] == [
        (HOSTNAME, 100),
        ("rack", 30),
    ]


def test_upgrade_replaces_only_the_guides_term() -> None:
    """With `guide-affinity: upgrade` the guide's term is replaced at its index, with a warning."""
    decision = decided({"podAffinity": preferred(CACHE, GUIDE)}, guide_affinity=GuideAffinity.UPGRADE)
    (operation,) = decision.operations
    assert (operation.op, operation.path) == ("replace", f"{LIST}/1")
    assert decision.reason is Reason.GUIDE_AFFINITY_UPGRADED
    assert decision.warnings


def test_upgrade_with_scope_namespace_changes_nothing() -> None:
    """With scope `namespace` the guide's term is kept, since it equals the added term."""
    decision = decided(
        {"podAffinity": preferred(GUIDE)},
        guide_affinity=GuideAffinity.UPGRADE,
        affinity_scope=AffinityScope.NAMESPACE,
    )
    assert decision.reason is Reason.GUIDE_AFFINITY_PRESENT


@pytest.mark.parametrize("name", ["c" * 64, "a b", "-demo", "demo-"])
def test_name_that_is_not_a_label_value_is_refused(name: str) -> None:
    """No selector that Kubernetes would reject is added."""
    decision = decided(name=name)
    assert (decision.outcome, decision.reason) == (Outcome.REFUSED, Reason.CLUSTER_NAME_INVALID)
    assert decision.warnings


def test_cluster_without_a_name_is_skipped() -> None:
    """A cluster without a name gets no term, except with scope `namespace`."""
    assert decided(name=None).reason is Reason.CLUSTER_NAME_UNKNOWN
    assert decided(name=None, affinity_scope=AffinityScope.NAMESPACE).reason is Reason.AFFINITY_ADDED


def test_topology_none_skips() -> None:
    """With `topology: none` no affinity is added."""
    assert decided(topology=()).reason is Reason.TOPOLOGY_NONE
