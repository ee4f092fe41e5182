"""Rule `scheduler-placement`: a Dask scheduler that holds a GPU shares nodes with other Dask schedulers.

Owns: `/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution` and
`/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution` of the scheduler's pod spec. To each it
appends one term for `kubernetes.io/hostname`:

| term | selects | effect |
|---|---|---|
| affinity, weight 100 | Dask schedulers of all namespaces | schedulers share nodes, others stay whole for workers |
| anti-affinity, weight 1 | workers of the own cluster | a cluster's first worker avoids the node of its scheduler |

kube-scheduler applies the preferred terms of running pods to a new pod as well (`interpodaffinity/scoring.go`). The
anti-affinity therefore also keeps workers away from a scheduler that runs already, and the order in which the operator
creates the pods does not matter. On the scheduler it costs kube-scheduler one term for each cluster; on the workers it
would cost one for each worker.

The key is the node's whatever `topology` says: a scheduler takes GPUs of a node, and a cluster that avoids the zone of
its scheduler pays for the traffic between zones.

| the pod spec | decision |
|---|---|
| requests no accelerator, and rule `scheduler-gpu` adds none | skipped |
| has a term or spread constraint for Dask schedulers or workers at `kubernetes.io/hostname` | kept |
| stands beside a worker spec with a user's term for workers, such as the RAPIDS guide's, or for schedulers | kept |
| gets or has a capacity hint | skipped: a term for other nodes would weigh as much as the hint |
| is that of a Pod, where `targets` includes `resources` | skipped: the DaskCluster or DaskJob decides |

A Pod does not show what its DaskCluster says about workers. A Pod that carries the first term, from its DaskCluster,
gets the second one when the DaskCluster had no name yet (`generateName`).

Where a ResourceQuota with scope CrossNamespacePodAffinity forbids the first term, set `scheduler-placement: keep`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from webhook.mutators.decision import Decision, DecisionBuilder, Reason
from webhook.mutators.gpu_workers import requests
from webhook.mutators.hint_item import carries_hint
from webhook.mutators.patch import END, Operation, put
from webhook.mutators.selector import PREFERRED, Term, about_workers
from webhook.mutators.terms import about_dask_pods, spoken_for
from webhook.placement.model import UNWATCHED, Hint, Hosts
from webhook.policy import Policy, SchedulerPlacement, TargetGroup
from webhook.policy.topology_presets import HOSTNAME
from webhook.workloads.pod_templates import CLUSTER_NAME, COMPONENT, PodTemplate, Role
from webhook.workloads.unstructured import Unstructured

NAME = "scheduler-placement"
# The highest weight that Kubernetes accepts: one Dask scheduler on a node outweighs a hundred workers there.
SHARE_WEIGHT = 100
# The lowest weight that Kubernetes accepts. kube-scheduler scales the sums of all weights to 0-100 for each pod, so the
# lowest weight decides where no other term applies: for a cluster's first worker. For its later workers an affinity to
# running workers (100 for a node, 30 for a zone) outweighs it, since a cluster has one scheduler.
AVOID_WEIGHT = 1


class OwnTerm(NamedTuple):
    """A preferred term that the rule adds.

    Attributes:
        attracts: Whether it belongs into `podAffinity`; else into `podAntiAffinity`.
        weight: Its weight.
        raw: The pod affinity term.
    """

    attracts: bool
    weight: int
    raw: Unstructured

    def equals(self, term: Term) -> bool:
        """Return whether a term of a manifest is this one; a user may have changed its weight."""
        return term.attracts is self.attracts and term.index is not None and bool(term.raw == self.raw)

    def append(self, target: PodTemplate) -> Operation:
        """Return the operation that adds the term to a pod spec."""
        tokens = ("affinity", "podAffinity" if self.attracts else "podAntiAffinity", PREFERRED, END)
        return put(target.spec, target.pointer, tokens, {"weight": self.weight, "podAffinityTerm": self.raw})


def _term(role: Role, *expressions: Unstructured, **fields: Unstructured) -> Unstructured:
    component = {"key": COMPONENT, "operator": "In", "values": [role.value]}
    return {"labelSelector": {"matchExpressions": [component, *expressions]}, "topologyKey": HOSTNAME, **fields}


SHARE = OwnTerm(attracts=True, weight=SHARE_WEIGHT, raw=_term(Role.SCHEDULER, namespaceSelector={}))


def scheduler_placement(target: PodTemplate, policy: Policy, hint: Hint = UNWATCHED.scheduler) -> Decision:
    """Add a preferred affinity to other Dask schedulers and an anti-affinity to the cluster's own workers."""
    rule = DecisionBuilder(NAME, target)
    if isinstance(hint, Hosts) or carries_hint(target):
        return rule.skipped(Reason.SCHEDULER_HINTED, "a capacity hint places the Dask scheduler")
    return _unplaced(rule, policy) or _added(rule, policy)


def _unplaced(rule: DecisionBuilder, policy: Policy) -> Decision | None:
    """Return the decision on a Dask scheduler that needs no terms; None for any other."""
    if policy.scheduler_placement is SchedulerPlacement.KEEP:
        return rule.skipped(Reason.SCHEDULER_PLACEMENT_KEEP, "scheduler-placement is keep")
    if not policy.topology:
        return rule.skipped(Reason.TOPOLOGY_NONE, "the namespace's topology is none")
    if not _holds_gpu(rule.target, policy):
        return rule.skipped(Reason.SCHEDULER_WITHOUT_GPU, "the Dask scheduler holds no GPU")
    return None


def _added(rule: DecisionBuilder, policy: Policy) -> Decision:
    target = rule.target
    present = about_dask_pods(target, *Role)
    if target.workers is None and TargetGroup.RESOURCES in policy.targets and not any(map(SHARE.equals, present)):
        return rule.skipped(Reason.SCHEDULER_POD, "the DaskCluster or DaskJob decides, and its pods copy it")
    missing = () if _placed(target, policy, present) else _missing(target, present)
    if not missing:
        detail = f"the manifest already places Dask schedulers or workers at {HOSTNAME}"
        return rule.kept(Reason.SCHEDULER_PLACEMENT_PRESENT, detail)
    detail = "prefers nodes that run other Dask schedulers and none of its own workers"
    return rule.applied(Reason.SCHEDULER_PLACEMENT_ADDED, detail, *(own.append(target) for own in missing))


def _holds_gpu(target: PodTemplate, policy: Policy) -> bool:
    """Return whether the pods request an accelerator, or get one by `scheduler-gpu`."""
    stated = tuple(requests(target, policy))
    if any(each.device is not None for each in stated):
        return True
    return bool(policy.scheduler_gpu and target.container and not stated)


def _placed(target: PodTemplate, policy: Policy, present: Sequence[Term]) -> bool:
    """Return whether a user placed the scheduler, or its cluster's workers."""
    own = _own_terms(target)
    if not all(any(each.equals(term) for each in own) for term in present):
        return True
    workers = target.workers
    return workers is not None and bool(
        about_dask_pods(workers, Role.SCHEDULER) or spoken_for(workers, policy, about_workers(workers))
    )


def _missing(target: PodTemplate, present: Sequence[Term]) -> Sequence[OwnTerm]:
    return [own for own in _own_terms(target) if not any(map(own.equals, present))]


def _own_terms(target: PodTemplate) -> tuple[OwnTerm, ...]:
    """The terms for a scheduler; while its cluster has no name that a selector accepts, the first one alone."""
    if not target.selectable:
        return (SHARE,)
    cluster = {"key": CLUSTER_NAME, "operator": "In", "values": [target.cluster]}
    return SHARE, OwnTerm(attracts=False, weight=AVOID_WEIGHT, raw=_term(Role.WORKER, cluster))
