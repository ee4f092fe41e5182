"""Rule `scheduler-placement`: a Dask scheduler that requests a GPU shares nodes with other Dask schedulers.

Owns: `/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution` and
`/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution` of the scheduler's pod spec. It appends one
term for `kubernetes.io/hostname` to each:

| term | selects | effect |
|---|---|---|
| affinity, weight 100 | Dask schedulers of all namespaces | schedulers share nodes and leave whole nodes to workers |
| anti-affinity, weight 1 | workers of the own cluster | a cluster's first worker avoids the node of its scheduler |

kube-scheduler also applies the preferred terms of running pods to a new pod (`interpodaffinity/scoring.go`). The
anti-affinity therefore also keeps workers away from a running scheduler, and the order in which the operator creates
the pods does not matter. On the scheduler it costs kube-scheduler one term per cluster; on the workers it would cost
one per worker.

The topology key does not depend on `topology`: a scheduler uses GPUs of one node, and a cluster that avoids its
scheduler's zone pays for traffic between zones.

| pod spec | decision |
|---|---|
| requests no accelerator, and rule `scheduler-gpu` adds none | skipped |
| has a term or spread constraint for Dask schedulers or workers at `kubernetes.io/hostname` | kept |
| has a worker spec beside it with terms for workers, as in the RAPIDS guide, or for Dask schedulers | kept |
| gets or has a capacity hint | skipped: a term for other nodes would have as much weight as the hint |
| is that of a Pod, and `targets` includes `resources` | skipped: the rule decides on the DaskCluster or DaskJob |

A Pod does not contain its DaskCluster's worker spec. If a Pod has the affinity from its DaskCluster, but the
DaskCluster had no name yet (`generateName`), the rule adds the anti-affinity to the Pod.

Where a ResourceQuota with scope CrossNamespacePodAffinity forbids the affinity, set `scheduler-placement: keep`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from webhook.mutators.decision import Decision, DecisionBuilder, Reason
from webhook.mutators.gpu_workers import requests
from webhook.mutators.patch import END, Operation, put
from webhook.mutators.selector import PREFERRED, Term, worker_terms
from webhook.mutators.terms import dask_pod_terms, user_placed
from webhook.placement.hint_item import carries_hint
from webhook.placement.model import UNWATCHED, Hint, PreferredNodes
from webhook.policy import Policy, SchedulerPlacement, TargetGroup
from webhook.policy.topology_presets import HOSTNAME
from webhook.workloads.pod_templates import CLUSTER_NAME, COMPONENT, PodTemplate, Role
from webhook.workloads.unstructured import Unstructured

NAME = "scheduler-placement"
# The maximum weight: one Dask scheduler on a node outweighs the anti-affinity to a hundred workers there.
SHARE_WEIGHT = 100
# The minimum weight. kube-scheduler scales the sum of all weights to 0-100 for each pod, so this term decides only
# where no other term applies: for a cluster's first worker. For later workers the affinity to running workers (100 for
# a node, 30 for a zone) outweighs it, since a cluster has one scheduler.
AVOID_WEIGHT = 1


class PlacementTerm(NamedTuple):
    """A preferred term that the rule adds.

    Attributes:
        is_affinity: True for `podAffinity`, False for `podAntiAffinity`.
        weight: The weight.
        raw: The pod affinity term.
    """

    is_affinity: bool
    weight: int
    raw: Unstructured

    def equals(self, term: Term) -> bool:
        """Return whether a term of a manifest equals this one, except for its weight."""
        return term.is_affinity is self.is_affinity and term.index is not None and bool(term.raw == self.raw)

    def append(self, template: PodTemplate) -> Operation:
        """Return the operation that adds the term to a pod spec."""
        tokens = ("affinity", "podAffinity" if self.is_affinity else "podAntiAffinity", PREFERRED, END)
        return put(template.spec, template.pointer, tokens, {"weight": self.weight, "podAffinityTerm": self.raw})


def _term(role: Role, *expressions: Unstructured, **fields: Unstructured) -> Unstructured:
    component = {"key": COMPONENT, "operator": "In", "values": [role.value]}
    return {"labelSelector": {"matchExpressions": [component, *expressions]}, "topologyKey": HOSTNAME, **fields}


SHARE = PlacementTerm(is_affinity=True, weight=SHARE_WEIGHT, raw=_term(Role.SCHEDULER, namespaceSelector={}))


def scheduler_placement(template: PodTemplate, policy: Policy, hint: Hint = UNWATCHED.scheduler) -> Decision:
    """Add a preferred affinity to other Dask schedulers and an anti-affinity to the cluster's own workers."""
    rule = DecisionBuilder(NAME, template)
    if isinstance(hint, PreferredNodes) or carries_hint(template):
        return rule.skipped(Reason.SCHEDULER_HINTED, "a capacity hint places the Dask scheduler")
    return _without_terms(rule, policy) or _added(rule, policy)


def _without_terms(rule: DecisionBuilder, policy: Policy) -> Decision | None:
    """Return the decision on a Dask scheduler that gets no terms; None for all others."""
    if policy.scheduler_placement is SchedulerPlacement.KEEP:
        return rule.skipped(Reason.SCHEDULER_PLACEMENT_KEEP, "scheduler-placement is keep")
    if not policy.topology:
        return rule.skipped(Reason.TOPOLOGY_NONE, "topology is none")
    if not _gets_gpu(rule.template, policy):
        return rule.skipped(Reason.SCHEDULER_WITHOUT_GPU, "the Dask scheduler requests no GPU")
    return None


def _added(rule: DecisionBuilder, policy: Policy) -> Decision:
    template = rule.template
    present = dask_pod_terms(template, *Role)
    if template.workers is None and TargetGroup.RESOURCES in policy.targets and not any(map(SHARE.equals, present)):
        return rule.skipped(Reason.SCHEDULER_POD, "the pod copies the template of its DaskCluster or DaskJob")
    missing = () if _is_placed(template, policy, present) else _missing(template, present)
    if not missing:
        detail = f"the manifest already places Dask schedulers or workers at {HOSTNAME}"
        return rule.kept(Reason.SCHEDULER_PLACEMENT_PRESENT, detail)
    detail = "add affinity to Dask schedulers and anti-affinity to the cluster's workers"
    return rule.applied(Reason.SCHEDULER_PLACEMENT_ADDED, detail, *(term.append(template) for term in missing))


def _gets_gpu(template: PodTemplate, policy: Policy) -> bool:
    """Return whether the pods request an accelerator, or get one from rule `scheduler-gpu`."""
    evidence = tuple(requests(template, policy))
    if any(request.device is not None for request in evidence):
        return True
    return bool(policy.scheduler_gpu and template.container and not evidence)


def _is_placed(template: PodTemplate, policy: Policy, present: Sequence[Term]) -> bool:
    """Return whether the user placed the scheduler, or the workers of its cluster."""
    added = _placement_terms(template)
    if not all(any(own.equals(term) for own in added) for term in present):
        return True
    workers = template.workers
    return workers is not None and bool(
        dask_pod_terms(workers, Role.SCHEDULER) or user_placed(workers, policy, worker_terms(workers))
    )


def _missing(template: PodTemplate, present: Sequence[Term]) -> Sequence[PlacementTerm]:
    return [term for term in _placement_terms(template) if not any(map(term.equals, present))]


def _placement_terms(template: PodTemplate) -> tuple[PlacementTerm, ...]:
    """Return the terms for a scheduler; only the affinity if its cluster has no name or an invalid label value."""
    if not template.selectable:
        return (SHARE,)
    cluster = {"key": CLUSTER_NAME, "operator": "In", "values": [template.cluster]}
    return SHARE, PlacementTerm(is_affinity=False, weight=AVOID_WEIGHT, raw=_term(Role.WORKER, cluster))
