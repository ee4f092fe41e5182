from __future__ import annotations

from typing import TYPE_CHECKING

import jsonpatch
import pytest

from tests.unit.objects import HOSTNAME, cluster, container, expression, group, job, pod, preferred, spec, target, term
from webhook.mutators import plan
from webhook.mutators.decision import Outcome, Reason
from webhook.mutators.selector import PREFERRED, REQUIRED, takes_in
from webhook.policy import Policy, TopologyLevel, resolve
from webhook.workloads.pod_templates import Role, read

if TYPE_CHECKING:
    from webhook.mutators.decision import Decision
    from webhook.workloads.unstructured import Unstructured

GPU = {"limits": {"nvidia.com/gpu": "1"}}
RACK = TopologyLevel("example.com/rack", 100)
SCHEDULERS = term(matchExpressions=[expression("dask.org/component", "In", "scheduler")])
WORKERS = term(matchExpressions=[expression("dask.org/component", "In", "worker")])
PODS_ONLY = resolve({"colocate.dask.org/targets": "pods"})
KEEP = resolve({"colocate.dask.org/scheduler-placement": "keep"})


def with_scheduler(worker: Unstructured = None, resources: Unstructured = GPU, **fields: Unstructured) -> Unstructured:
    """Return a DaskCluster whose scheduler has `resources`, and `fields` in its pod spec."""
    item = cluster(worker)
    scheduler = container("dask-scheduler", name="scheduler", resources=resources)
    item["spec"]["scheduler"] = {"spec": spec(scheduler, **fields)}
    return item


def decided(item: Unstructured, rule: str, policy: Policy | None = None) -> Decision:
    """Return the decision of a rule on an object."""
    subject = read(item)
    assert subject is not None
    decisions = {decision.rule: decision for decision in plan(subject.targets, policy or Policy()).decisions}
    return decisions[rule]


def sharing(item: Unstructured, policy: Policy | None = None) -> Decision:
    """Return the decision of rule `scheduler-affinity`."""
    return decided(item, "scheduler-affinity", policy)


def avoiding(item: Unstructured, policy: Policy | None = None) -> Decision:
    """Return the decision of rule `scheduler-anti-affinity`."""
    return decided(item, "scheduler-anti-affinity", policy)


# ---- schedulers share nodes -----------------------------------------------------------------------


def test_scheduler_prefers_nodes_of_schedulers_in_all_namespaces() -> None:
    """The term selects Dask schedulers and no workers, on a node, in every namespace."""
    (operation,) = sharing(with_scheduler()).operations
    assert operation.path == "/spec/scheduler/spec/affinity"
    (item,) = operation.value["podAffinity"][PREFERRED]
    assert item == {"weight": 100, "podAffinityTerm": {**SCHEDULERS, "namespaceSelector": {}}}
    assert not takes_in(item["podAffinityTerm"], target())


@pytest.mark.parametrize(
    ("resources", "annotations", "reason"),
    [
        (None, {}, Reason.SCHEDULER_WITHOUT_GPU),
        ({"limits": {"cpu": "1"}}, {}, Reason.SCHEDULER_WITHOUT_GPU),
        ({"limits": {"nvidia.com/gpu": "0"}}, {"scheduler-gpu": "1"}, Reason.SCHEDULER_WITHOUT_GPU),
        (None, {"scheduler-gpu": "0"}, Reason.SCHEDULER_WITHOUT_GPU),
        (None, {"scheduler-gpu": "1"}, Reason.SCHEDULER_AFFINITY_ADDED),
        ({"requests": {"nvidia.com/gpu": 1}}, {}, Reason.SCHEDULER_AFFINITY_ADDED),
        ({"limits": {"amd.com/gpu": 1}}, {}, Reason.SCHEDULER_AFFINITY_ADDED),
        ({"claims": [{"name": "gpu"}]}, {}, Reason.SCHEDULER_AFFINITY_ADDED),
    ],
)
def test_scheduler_that_holds_a_gpu(resources: Unstructured, annotations: dict[str, str], reason: Reason) -> None:
    """Only a scheduler that requests an accelerator, or gets one by the same plan, shares nodes."""
    policy = resolve({f"colocate.dask.org/{key}": value for key, value in annotations.items()})
    assert sharing(with_scheduler(resources=resources), policy).reason is reason


def test_sidecars_gpu_counts() -> None:
    """The pod takes a GPU of the node whichever of its containers requests it."""
    item = with_scheduler(resources=None, initContainers=[{"name": "sidecar", "resources": GPU}])
    assert sharing(item).outcome is Outcome.APPLIED


@pytest.mark.parametrize("role", [SCHEDULERS, WORKERS], ids=["schedulers", "workers"])
@pytest.mark.parametrize(
    "affinity",
    [
        lambda item: {"podAffinity": preferred(item)},
        lambda item: {"podAntiAffinity": preferred(item)},
        lambda item: {"podAffinity": {REQUIRED: [item]}},
        lambda item: {"podAntiAffinity": {REQUIRED: [item]}},
    ],
    ids=["prefers", "avoids", "requires", "excludes"],
)
def test_own_terms_of_a_scheduler_are_kept(affinity: Unstructured, role: Unstructured) -> None:
    """A user's own term for schedulers or workers on the same node is the last word."""
    decision = sharing(with_scheduler(affinity=affinity(role)))
    assert decision.reason is Reason.SCHEDULER_PLACEMENT_PRESENT


def test_own_term_for_other_clusters_is_kept() -> None:
    """A user who keeps a scheduler away from the schedulers of other clusters has placed it."""
    others = [
        expression("dask.org/component", "In", "scheduler"),
        expression("dask.org/cluster-name", "NotIn", "demo"),
    ]
    item = with_scheduler(affinity={"podAntiAffinity": preferred(term(matchExpressions=others))})
    assert sharing(item).reason is Reason.SCHEDULER_PLACEMENT_PRESENT


@pytest.mark.parametrize(
    ("selector", "outcome"),
    [
        ({"matchLabels": {"dask.org/component": "scheduler"}}, Outcome.KEPT),
        ({}, Outcome.KEPT),
        ({"matchLabels": {"app": "noisy"}}, Outcome.APPLIED),
        (None, Outcome.APPLIED),
    ],
)
def test_own_spread_of_schedulers_is_kept(selector: Unstructured, outcome: Outcome) -> None:
    """A spread constraint counts where its selector selects schedulers; without a selector it counts no pods."""
    constraint = {"topologyKey": HOSTNAME, "maxSkew": 1, "labelSelector": selector}
    assert sharing(with_scheduler(topologySpreadConstraints=[constraint])).outcome is outcome


def test_terms_at_another_key_are_no_placement_on_nodes() -> None:
    """A term for a zone leaves the node open."""
    own = {"podAntiAffinity": preferred({**SCHEDULERS, "topologyKey": "topology.kubernetes.io/zone"})}
    assert sharing(with_scheduler(affinity=own)).outcome is Outcome.APPLIED


def test_guides_workers_keep_the_scheduler_as_it_is() -> None:
    """A manifest with the guide's affinity stays as its user wrote it, scheduler included."""
    guide = spec(affinity={"podAffinity": preferred(WORKERS)})
    assert sharing(with_scheduler(guide)).reason is Reason.SCHEDULER_PLACEMENT_PRESENT


def test_job_places_its_scheduler_too() -> None:
    """A DaskJob's scheduler has its pod spec one level deeper."""
    item = job()
    item["spec"]["cluster"]["spec"]["scheduler"] = with_scheduler()["spec"]["scheduler"]
    (operation,) = sharing(item).operations
    assert operation.path == "/spec/cluster/spec/scheduler/spec/affinity"


def test_pod_gets_the_term_where_its_cluster_cannot() -> None:
    """A scheduler's pod copies its cluster's template, and is decided on where `targets` is `pods` alone."""
    labels = {"dask.org/cluster-name": "demo", "dask.org/component": "scheduler"}
    item = pod(spec(container("dask-scheduler", resources=GPU)), labels=labels)
    assert sharing(item).reason is Reason.SCHEDULER_POD
    assert sharing(item, PODS_ONLY).outcome is Outcome.APPLIED


# ---- workers avoid their scheduler ----------------------------------------------------------------


@pytest.mark.parametrize("item", [cluster(), with_scheduler(), group(of="demo"), job(), pod()])
def test_workers_avoid_their_own_scheduler(item: Unstructured) -> None:
    """Every object that carries a worker's pod spec gets the same term: own cluster, own scheduler, least weight."""
    decision = avoiding(item)
    (operation,) = decision.operations
    (found,) = operation.value["podAntiAffinity"][PREFERRED]
    name = "train" if item["kind"] == "DaskJob" else "demo"
    own = [expression("dask.org/component", "In", "scheduler"), expression("dask.org/cluster-name", "In", name)]
    assert found == {"weight": 1, "podAffinityTerm": term(matchExpressions=own)}
    assert decision.role is Role.WORKER


@pytest.mark.parametrize(
    "affinity",
    [
        {"podAffinity": preferred(SCHEDULERS)},
        {"podAntiAffinity": {REQUIRED: [SCHEDULERS]}},
        {"podAffinity": preferred(WORKERS)},
        {"podAntiAffinity": {REQUIRED: [WORKERS]}},
    ],
)
def test_own_terms_of_workers_are_kept(affinity: Unstructured) -> None:
    """A user's own term for workers or for schedulers on the same node is the last word."""
    assert avoiding(cluster(spec(affinity=affinity))).reason is Reason.SCHEDULER_PLACEMENT_PRESENT


def test_node_is_avoided_and_not_the_zone() -> None:
    """With racks alone in `topology`, workers still avoid their scheduler's node, and never its rack."""
    (operation,) = avoiding(cluster(), Policy(topology=(RACK,))).operations
    (found,) = operation.value["podAntiAffinity"][PREFERRED]
    assert found["podAffinityTerm"]["topologyKey"] == HOSTNAME


def test_own_cluster_needs_a_name() -> None:
    """Without a name, or with one that is no label value, no selector can name the cluster."""
    assert avoiding(cluster(name=None)).reason is Reason.CLUSTER_NAME_UNKNOWN
    assert avoiding(cluster(name="x" * 64)).reason is Reason.CLUSTER_NAME_INVALID


# ---- both -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [sharing, avoiding])
def test_namespace_turns_both_off(rule: Unstructured) -> None:
    """Neither rule applies with `scheduler-placement: keep` or `topology: none`."""
    assert rule(with_scheduler(), KEEP).reason is Reason.SCHEDULER_PLACEMENT_KEEP
    assert rule(with_scheduler(), Policy(topology=())).reason is Reason.TOPOLOGY_NONE


def test_deciding_again_changes_nothing() -> None:
    """After the patch both terms count as set, also with the GPU that `scheduler-gpu` added."""
    policy = Policy(scheduler_gpu=1, apart=5)
    item = with_scheduler(resources=None)
    subject = read(item)
    assert subject is not None
    operations = [operation.as_json() for operation in plan(subject.targets, policy).operations]
    again = read(jsonpatch.apply_patch(item, operations))
    assert again is not None
    decided_again = plan(again.targets, policy)
    assert decided_again.operations == ()
    kept = {each.rule for each in decided_again.decisions if each.reason is Reason.SCHEDULER_PLACEMENT_PRESENT}
    assert kept == {"scheduler-affinity", "scheduler-anti-affinity"}
