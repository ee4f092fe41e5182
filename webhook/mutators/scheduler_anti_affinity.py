"""Rule `scheduler-anti-affinity`: workers prefer nodes that do not run their own cluster's Dask scheduler.

Owns: `/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution` of the worker's pod spec, to which it
appends one term for `kubernetes.io/hostname`.

A Dask scheduler that holds a GPU leaves a node that is not whole. A cluster whose first worker starts beside its
scheduler needs another node sooner: on nodes of two GPUs, two workers then use two nodes. The term decides where the
first worker goes, and only there: see `WEIGHT`. kube-scheduler also applies the anti-affinity of running pods to a new
pod, so a scheduler that starts after its workers avoids their nodes.

The key is the node's whatever `topology` says: a scheduler takes GPUs of a node, and a cluster that avoids the zone of
its scheduler pays for the traffic between zones.

The rule does not look for a GPU in the scheduler's pod spec. A DaskWorkerGroup and a Pod do not show that spec, and the
decision has to be the same on every object that passes a worker's pod spec on.

A worker spec stays unmodified where it already has a pod affinity, anti-affinity or spread constraint for its Dask
scheduler at that key, or an affinity or anti-affinity for workers at the nearest topology level, such as the RAPIDS
guide's.
"""

from webhook.mutators.decision import Decision, DecisionBuilder, Reason
from webhook.mutators.patch import END, put
from webhook.mutators.selector import PREFERRED, about_workers
from webhook.mutators.terms import places, spoken_for
from webhook.policy import Policy, SchedulerPlacement
from webhook.policy.topology_presets import HOSTNAME
from webhook.workloads.pod_templates import (
    CLUSTER_NAME,
    COMPONENT,
    PodTemplate,
    Role,
)
from webhook.workloads.unstructured import Unstructured

NAME = "scheduler-anti-affinity"
# The lowest that Kubernetes accepts. kube-scheduler scales the sums of all weights to 0-100 for each pod, so the lowest
# weight decides where no other term applies: for the cluster's first worker. For later workers an affinity to running
# workers (100 for a node, 30 for a zone, 1 at least) is never outweighed, since one cluster has one scheduler.
WEIGHT = 1


def scheduler_anti_affinity(target: PodTemplate, policy: Policy) -> Decision:
    """Add a preferred anti-affinity to the node of the cluster's own Dask scheduler."""
    rule = DecisionBuilder(NAME, target)
    if policy.scheduler_placement is SchedulerPlacement.KEEP:
        return rule.skipped(Reason.SCHEDULER_PLACEMENT_KEEP, "scheduler-placement is keep")
    if not policy.topology:
        return rule.skipped(Reason.TOPOLOGY_NONE, "the namespace's topology is none")
    if target.cluster is None:
        return rule.skipped(Reason.CLUSTER_NAME_UNKNOWN, "the cluster has no name yet; its pods will")
    if not target.selectable:
        return rule.skipped(Reason.CLUSTER_NAME_INVALID, f"{target.cluster[:63]!a} is no label value")
    if spoken_for(target, policy, about_workers(target)) or places(target, Role.SCHEDULER):
        detail = f"the manifest already places Dask schedulers or workers at {HOSTNAME}"
        return rule.kept(Reason.SCHEDULER_PLACEMENT_PRESENT, detail)
    item = {"weight": WEIGHT, "podAffinityTerm": _term(target.cluster)}
    operation = put(target.spec, target.pointer, ("affinity", "podAntiAffinity", PREFERRED, END), item)
    detail = f"prefer nodes without the Dask scheduler of cluster {target.cluster}"
    return rule.applied(Reason.SCHEDULER_ANTI_AFFINITY_ADDED, detail, operation)


def _term(cluster: str) -> Unstructured:
    return {
        "labelSelector": {
            "matchExpressions": [
                {"key": COMPONENT, "operator": "In", "values": [Role.SCHEDULER.value]},
                {"key": CLUSTER_NAME, "operator": "In", "values": [cluster]},
            ]
        },
        "topologyKey": HOSTNAME,
    }
