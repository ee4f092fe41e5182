"""Rule `scheduler-affinity`: a Dask scheduler that holds a GPU prefers nodes that run other Dask schedulers.

Owns: `/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution` of the scheduler's pod spec, to which it
appends one term for `kubernetes.io/hostname`.

A Dask scheduler takes one GPU of a node, and a worker that needs that GPU goes to another node. Schedulers that share
nodes leave whole nodes for workers. The term selects Dask schedulers of all namespaces (`namespaceSelector: {}`). It
selects no workers: affinity is symmetric, so a term for workers would also attract workers to the scheduler. Where a
ResourceQuota with scope CrossNamespacePodAffinity forbids the term, set `scheduler-placement: keep`.

| the pod spec | decision |
|---|---|
| requests no accelerator, and rule `scheduler-gpu` adds none | skipped |
| has a term or spread constraint for Dask schedulers or workers at `kubernetes.io/hostname` | kept |
| stands beside a worker spec with a user's affinity for workers, such as the RAPIDS guide's | kept |
| is that of a Pod, where `targets` includes `resources` | skipped: the DaskCluster or DaskJob decides |

A Pod does not show what its DaskCluster says about workers. Its term comes from the pod template of the DaskCluster.
"""

from webhook.mutators.decision import Decision, DecisionBuilder, Reason
from webhook.mutators.patch import END, put
from webhook.mutators.selector import PREFERRED, about_workers
from webhook.mutators.terms import places, spoken_for
from webhook.policy import Policy, SchedulerPlacement, TargetGroup
from webhook.policy.topology_presets import HOSTNAME
from webhook.workloads import accelerators
from webhook.workloads.pod_templates import COMPONENT, PodTemplate, Role
from webhook.workloads.unstructured import Unstructured

NAME = "scheduler-affinity"
# The highest that Kubernetes accepts. No other term of the scheduler's competes with it unless a user wrote one.
WEIGHT = 100
_ITEM: Unstructured = {
    "weight": WEIGHT,
    "podAffinityTerm": {
        "labelSelector": {
            "matchExpressions": [{"key": COMPONENT, "operator": "In", "values": [Role.SCHEDULER.value]}],
        },
        "namespaceSelector": {},
        "topologyKey": HOSTNAME,
    },
}


def scheduler_affinity(target: PodTemplate, policy: Policy) -> Decision:
    """Add a preferred affinity to the nodes of other Dask schedulers."""
    rule = DecisionBuilder(NAME, target)
    if policy.scheduler_placement is SchedulerPlacement.KEEP:
        return rule.skipped(Reason.SCHEDULER_PLACEMENT_KEEP, "scheduler-placement is keep")
    if not policy.topology:
        return rule.skipped(Reason.TOPOLOGY_NONE, "the namespace's topology is none")
    if target.workers is None and TargetGroup.RESOURCES in policy.targets:
        return rule.skipped(Reason.SCHEDULER_POD, "the DaskCluster or DaskJob decides, and its pods copy it")
    if not _holds_gpu(target, policy):
        return rule.skipped(Reason.SCHEDULER_WITHOUT_GPU, "the Dask scheduler holds no GPU")
    if places(target, Role.SCHEDULER, Role.WORKER) or _workers_placed(target, policy):
        detail = f"the manifest already places Dask schedulers or workers at {HOSTNAME}"
        return rule.kept(Reason.SCHEDULER_PLACEMENT_PRESENT, detail)
    operation = put(target.spec, target.pointer, ("affinity", "podAffinity", PREFERRED, END), _ITEM)
    return rule.applied(Reason.SCHEDULER_AFFINITY_ADDED, "prefers nodes that run other Dask schedulers", operation)


def _holds_gpu(target: PodTemplate, policy: Policy) -> bool:
    """Return whether the pods request an accelerator, or get one by `scheduler-gpu`."""
    if accelerators.requested(target.spec, policy.gpu_resource):
        return True
    container = target.container
    return bool(policy.scheduler_gpu and container and not accelerators.asked(container.raw, policy.gpu_resource))


def _workers_placed(target: PodTemplate, policy: Policy) -> bool:
    workers = target.workers
    return workers is not None and spoken_for(workers, policy, about_workers(workers))
