from __future__ import annotations

from typing import TYPE_CHECKING

import jsonpatch
import pytest

from tests.unit.objects import HOSTNAME, cluster, container, expression, job, pod, preferred, spec, target, term
from webhook.mutators import plan
from webhook.mutators.decision import Outcome, Reason
from webhook.mutators.selector import PREFERRED, REQUIRED, selects
from webhook.policy import Policy, TopologyLevel, resolve
from webhook.workloads.pod_templates import PodTemplate, Role, read

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


def scheduler_of(item: Unstructured) -> tuple[list[PodTemplate], Policy]:
    """Return the scheduler's pod template alone and the shipped policy, as arguments of `plan`."""
    subject = read(item)
    assert subject is not None
    return [each for each in subject.targets if each.role is Role.SCHEDULER], Policy()


def placed(item: Unstructured, policy: Policy | None = None) -> Decision:
    """Return the decision of rule `scheduler-placement` on an object."""
    subject = read(item)
    assert subject is not None
    decisions = {decision.rule: decision for decision in plan(subject.targets, policy or Policy()).decisions}
    return decisions["scheduler-placement"]


def test_scheduler_prefers_schedulers_and_avoids_its_workers() -> None:
    """The affinity selects Dask schedulers of every namespace, the anti-affinity the cluster's own workers."""
    (operation,) = plan(*scheduler_of(with_scheduler())).operations
    assert operation.path == "/spec/scheduler/spec/affinity"
    (share,) = operation.value["podAffinity"][PREFERRED]
    (avoid,) = operation.value["podAntiAffinity"][PREFERRED]
    own = [expression("dask.org/component", "In", "worker"), expression("dask.org/cluster-name", "In", "demo")]
    assert share == {"weight": 100, "podAffinityTerm": {**SCHEDULERS, "namespaceSelector": {}}}
    assert avoid == {"weight": 1, "podAffinityTerm": term(matchExpressions=own)}
    assert not selects(share["podAffinityTerm"], target())
    assert selects(avoid["podAffinityTerm"], target())


@pytest.mark.parametrize(
    ("resources", "annotations", "reason"),
    [
        (None, {}, Reason.SCHEDULER_WITHOUT_GPU),
        ({"limits": {"cpu": "1"}}, {}, Reason.SCHEDULER_WITHOUT_GPU),
        ({"limits": {"nvidia.com/gpu": "0"}}, {"scheduler-gpu": "1"}, Reason.SCHEDULER_WITHOUT_GPU),
        (None, {"scheduler-gpu": "0"}, Reason.SCHEDULER_WITHOUT_GPU),
        (None, {"scheduler-gpu": "1"}, Reason.SCHEDULER_PLACEMENT_ADDED),
        ({"requests": {"nvidia.com/gpu": 1}}, {}, Reason.SCHEDULER_PLACEMENT_ADDED),
        ({"limits": {"amd.com/gpu": 1}}, {}, Reason.SCHEDULER_PLACEMENT_ADDED),
        ({"claims": [{"name": "gpu"}]}, {}, Reason.SCHEDULER_PLACEMENT_ADDED),
    ],
)
def test_scheduler_with_a_gpu(resources: Unstructured, annotations: dict[str, str], reason: Reason) -> None:
    """The terms are added only to a scheduler that requests an accelerator or gets one from rule `scheduler-gpu`."""
    policy = resolve({f"colocate.dask.org/{key}": value for key, value in annotations.items()})
    assert placed(with_scheduler(resources=resources), policy).reason is reason


def test_sidecars_gpu_counts() -> None:
    """A GPU request of a sidecar counts as one of the Dask scheduler's pod."""
    item = with_scheduler(resources=None, initContainers=[{"name": "sidecar", "resources": GPU}])
    assert placed(item).outcome is Outcome.APPLIED


@pytest.mark.parametrize(
    "role",
    [SCHEDULERS, {**SCHEDULERS, "namespaceSelector": {}, "namespaces": ["rapids"]}, WORKERS],
    ids=["schedulers", "schedulers-everywhere", "workers"],
)
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
    """A user's own term for schedulers or workers on the same node takes precedence."""
    decision = placed(with_scheduler(affinity=affinity(role)))
    assert decision.reason is Reason.SCHEDULER_PLACEMENT_PRESENT


def test_users_opposite_of_the_rule_is_kept() -> None:
    """A required or preferred anti-affinity with the selector of the rule's own affinity is a user's."""
    everywhere = {**SCHEDULERS, "namespaceSelector": {}}
    for own in ({REQUIRED: [everywhere]}, preferred(everywhere)):
        decision = placed(with_scheduler(affinity={"podAntiAffinity": own}))
        assert decision.reason is Reason.SCHEDULER_PLACEMENT_PRESENT


def test_own_term_for_other_clusters_is_kept() -> None:
    """A user's anti-affinity to the schedulers of other clusters takes precedence."""
    others = [
        expression("dask.org/component", "In", "scheduler"),
        expression("dask.org/cluster-name", "NotIn", "demo"),
    ]
    item = with_scheduler(affinity={"podAntiAffinity": preferred(term(matchExpressions=others))})
    assert placed(item).reason is Reason.SCHEDULER_PLACEMENT_PRESENT


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
    assert placed(with_scheduler(topologySpreadConstraints=[constraint])).outcome is outcome


def test_terms_at_another_key_are_no_placement_on_nodes() -> None:
    """A user's term for a zone does not prevent the terms for nodes."""
    own = {"podAntiAffinity": preferred({**SCHEDULERS, "topologyKey": "topology.kubernetes.io/zone"})}
    assert placed(with_scheduler(affinity=own)).outcome is Outcome.APPLIED


def test_guides_manifest_is_unmodified() -> None:
    """The scheduler of a manifest with the RAPIDS guide's affinity is unmodified."""
    guide = spec(affinity={"podAffinity": preferred(WORKERS)})
    assert placed(with_scheduler(guide)).reason is Reason.SCHEDULER_PLACEMENT_PRESENT


def test_own_term_of_workers_for_their_scheduler_is_kept() -> None:
    """A user's term of the workers for their scheduler takes precedence."""
    workers = spec(affinity={"podAffinity": preferred(SCHEDULERS)})
    assert placed(with_scheduler(workers)).reason is Reason.SCHEDULER_PLACEMENT_PRESENT


def test_workers_that_were_mutated_before_count_as_unplaced() -> None:
    """The affinity that rule `affinity` added to the workers is not a user's."""
    item = with_scheduler()
    subject = read(item)
    assert subject is not None
    workers = [each for each in subject.targets if each.role is Role.WORKER]
    operations = [operation.as_json() for operation in plan(workers, Policy()).operations]
    assert placed(jsonpatch.apply_patch(item, operations)).outcome is Outcome.APPLIED


def test_job_places_its_scheduler_too() -> None:
    """The scheduler of a DaskJob, whose pod spec is one level deeper, gets the terms."""
    item = job()
    item["spec"]["cluster"]["spec"]["scheduler"] = with_scheduler()["spec"]["scheduler"]
    assert {operation.path for operation in placed(item).operations} == {"/spec/cluster/spec/scheduler/spec/affinity"}


def test_pod_gets_the_term_where_its_cluster_cannot() -> None:
    """A scheduler's pod gets the terms only if `targets` is `pods`; else its cluster's template has them."""
    labels = {"dask.org/cluster-name": "demo", "dask.org/component": "scheduler"}
    item = pod(spec(container("dask-scheduler", resources=GPU)), labels=labels)
    assert placed(item).reason is Reason.SCHEDULER_POD
    assert placed(item, PODS_ONLY).outcome is Outcome.APPLIED


def test_name_that_comes_later_completes_the_pod() -> None:
    """A DaskCluster without a name gets the affinity alone; its pod, whose name is known, gets the anti-affinity."""
    item = with_scheduler()
    del item["metadata"]["name"]
    (operation,) = placed(item).operations
    assert operation.value.keys() == {"podAffinity"}
    labels = {"dask.org/cluster-name": "demo-x7", "dask.org/component": "scheduler"}
    made = pod(spec(container("dask-scheduler", resources=GPU), affinity=operation.value), labels=labels)
    (completed,) = placed(made).operations
    assert completed.path == "/spec/affinity/podAntiAffinity"


def test_name_that_is_no_label_value_leaves_the_affinity_alone() -> None:
    """A cluster whose name is not a valid label value gets the affinity without the anti-affinity."""
    item = with_scheduler()
    item["metadata"]["name"] = "x" * 64
    (operation,) = placed(item).operations
    assert operation.value.keys() == {"podAffinity"}


def test_node_counts_and_not_the_rack() -> None:
    """The terms are for nodes even if `topology` contains racks only."""
    operations = placed(with_scheduler(), Policy(topology=(RACK,))).operations
    assert "example.com/rack" not in str(operations)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [(KEEP, Reason.SCHEDULER_PLACEMENT_KEEP), (Policy(topology=()), Reason.TOPOLOGY_NONE)],
)
def test_namespace_turns_it_off(policy: Policy, reason: Reason) -> None:
    """The rule is off with `scheduler-placement: keep` and with `topology: none`."""
    assert placed(with_scheduler(), policy).reason is reason


def test_deciding_again_changes_nothing() -> None:
    """After the patch both terms count as set, also with the GPU that `scheduler-gpu` added."""
    policy = Policy(scheduler_gpu=1, apart=5)
    item = with_scheduler(resources=None)
    subject = read(item)
    assert subject is not None
    operations = [operation.as_json() for operation in plan(subject.targets, policy).operations]
    again = jsonpatch.apply_patch(item, operations)
    assert placed(again, policy).reason is Reason.SCHEDULER_PLACEMENT_PRESENT


def test_term_of_another_weight_is_set_already() -> None:
    """A term whose weight the user changed is kept."""
    own = {"podAffinity": preferred({**SCHEDULERS, "namespaceSelector": {}}, weight=7)}
    (operation,) = placed(with_scheduler(affinity=own)).operations
    assert operation.path == "/spec/scheduler/spec/affinity/podAntiAffinity"
