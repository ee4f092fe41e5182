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
    """What the rule decides on a cluster whose manifest has this affinity."""
    fields = {} if affinity_of_user is None else {"affinity": affinity_of_user}
    levels = (TopologyLevel(HOSTNAME, 100),)
    return affinity(target(spec(**fields), name), Policy(**{"topology": levels, **policy}))


def test_term_is_the_guides_and_names_the_cluster() -> None:
    """What is added is the guide's own term, with the cluster's name beside the component."""
    (operation,) = decided().operations
    (item,) = operation.value["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    selector = item["podAffinityTerm"]["labelSelector"]["matchExpressions"]
    assert selector == [*GUIDE["labelSelector"]["matchExpressions"], expression("dask.org/cluster-name", "In", "demo")]
    assert (item["weight"], item["podAffinityTerm"]["topologyKey"]) == (100, HOSTNAME)


def test_nothing_required_is_ever_added() -> None:
    """The affinity is a preference, so that a full set of nodes still takes workers."""
    for scope in AffinityScope:
        text = str(decided(affinity_scope=scope).operations)
        assert "requiredDuringScheduling" not in text
        assert "matchLabelKeys" not in text


def test_users_terms_keep_their_place() -> None:
    """Ours is appended behind what the user wrote, and nothing there is replaced."""
    (operation,) = decided({"podAffinity": preferred(CACHE)}).operations
    assert (operation.op, operation.path) == ("add", f"{LIST}/-")


@pytest.mark.parametrize("section", ["podAffinity", "podAntiAffinity"])
@pytest.mark.parametrize("hard", [True, False])
def test_user_who_said_it_is_left_alone(section: str, hard: bool) -> None:
    """Any term about these workers at the level, drawing or spreading, soft or hard, stands for the level."""
    own = term(matchLabels={"dask.org/component": "worker"})
    there = {"requiredDuringSchedulingIgnoredDuringExecution": [own]} if hard else preferred(own, weight=3)
    decision = decided({section: there})
    wanted = Reason.AFFINITY_PRESENT if section == "podAffinity" else Reason.ANTI_AFFINITY_PRESENT
    assert (decision.outcome, decision.reason) == (Outcome.KEPT, wanted)


def test_guides_own_term_is_kept() -> None:
    """The guide's manifest as it is counts as compliant."""
    assert decided({"podAffinity": preferred(GUIDE)}).reason is Reason.GUIDE_AFFINITY_PRESENT


def test_level_that_the_user_left_open_is_added() -> None:
    """A term at another level says nothing about this one."""
    decision = decided({"podAffinity": preferred(term(ZONE, matchLabels={"dask.org/component": "worker"}))})
    assert decision.reason is Reason.AFFINITY_ADDED


@pytest.mark.parametrize("section", ["podAffinity", "podAntiAffinity"])
def test_who_spoke_for_the_nearest_level_spoke_for_all(section: str) -> None:
    """A manifest that says how workers stand at the nearest level gets no farther one beside it."""
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


def test_who_keeps_the_own_workers_apart_spoke_for_all() -> None:
    """An anti-affinity to the cluster's own workers is the user's word, though its selector is the one we write."""
    levels = (TopologyLevel(HOSTNAME, 100), TopologyLevel("rack", 30))
    (operation,) = decided().operations
    mine = operation.value["podAffinity"]
    assert decided({"podAntiAffinity": mine}, topology=levels).reason is Reason.ANTI_AFFINITY_PRESENT


def test_level_that_the_namespace_added_later_is_added() -> None:
    """Our own term of an earlier pass leaves farther levels open."""
    levels = (TopologyLevel(HOSTNAME, 100), TopologyLevel("rack", 30))
    (first,) = decided(topology=levels[:1]).operations
    (second,) = decided(first.value, topology=levels).operations
    assert second.value["podAffinityTerm"]["topologyKey"] == "rack"


def test_each_level_is_a_term() -> None:
    """Levels are appended in the policy's order with their own weights."""
    levels = (TopologyLevel(HOSTNAME, 100), TopologyLevel("rack", 30))
    operations = decided({"podAffinity": preferred(CACHE)}, topology=levels).operations
    assert [(one.value["podAffinityTerm"]["topologyKey"], one.value["weight"]) for one in operations] == [
        (HOSTNAME, 100),
        ("rack", 30),
    ]


def test_upgrade_replaces_exactly_the_guides_term() -> None:
    """Where the namespace says so, the guide's term is replaced in its place, and its user is told."""
    decision = decided({"podAffinity": preferred(CACHE, GUIDE)}, guide_affinity=GuideAffinity.UPGRADE)
    (operation,) = decision.operations
    assert (operation.op, operation.path) == ("replace", f"{LIST}/1")
    assert decision.reason is Reason.GUIDE_AFFINITY_UPGRADED
    assert decision.warnings


def test_upgrade_with_scope_namespace_changes_nothing() -> None:
    """The guide's term is what scope `namespace` would write."""
    decision = decided(
        {"podAffinity": preferred(GUIDE)},
        guide_affinity=GuideAffinity.UPGRADE,
        affinity_scope=AffinityScope.NAMESPACE,
    )
    assert decision.reason is Reason.GUIDE_AFFINITY_PRESENT


@pytest.mark.parametrize("name", ["c" * 64, "a b", "-demo", "demo-"])
def test_name_that_is_no_label_value_is_refused(name: str) -> None:
    """A selector that Kubernetes would refuse is never written."""
    decision = decided(name=name)
    assert (decision.outcome, decision.reason) == (Outcome.REFUSED, Reason.CLUSTER_NAME_INVALID)
    assert decision.warnings


def test_nameless_cluster_is_left_to_its_pods() -> None:
    """Without a name there is no selector of one cluster; the whole namespace needs none."""
    assert decided(name=None).reason is Reason.CLUSTER_NAME_UNKNOWN
    assert decided(name=None, affinity_scope=AffinityScope.NAMESPACE).reason is Reason.AFFINITY_ADDED


def test_topology_none_skips() -> None:
    """No level, no affinity."""
    assert decided(topology=()).reason is Reason.TOPOLOGY_NONE
