"""Rule `emptier`: of nodes with equal scores, prefer the one with the lowest number of other clusters' workers.

Owns: `/topologySpreadConstraints`, to which it appends one constraint with `whenUnsatisfiable: ScheduleAnyway` for the
first topology key.

The constraint decides the node of a cluster's first worker, when no affinity applies yet. kube-scheduler prefers empty
nodes by their CPU and memory requests. Workers that request only a GPU give all nodes the same score, and a cluster may
start on a node with one free GPU although another node is empty. Workers that request CPU or memory need no constraint.
Measured by load `bare` of `make bench-placement`.

The rule adds a spread constraint, not the anti-affinity of rule `apart`: a constraint costs kube-scheduler less, and
with `MAX_SKEW` an autoscaler that first treats preferences as requirements (Karpenter) rarely has to meet it. The
constraint applies to workers of its own namespace.
"""

from webhook.mutators.decision import Decision, DecisionBuilder, Reason
from webhook.mutators.patch import END, put
from webhook.mutators.selector import CONSTRAINTS, MAX_TERM_SIZE, worker_terms
from webhook.mutators.terms import user_placed
from webhook.policy import Policy
from webhook.workloads.pod_templates import (
    CLUSTER_NAME,
    COMPONENT,
    WORKER,
    PodTemplate,
)
from webhook.workloads.quantities import is_zero
from webhook.workloads.unstructured import (
    TooLargeError,
    Unstructured,
    mapping,
    sequence,
    text,
)

NAME = "emptier"

# More than the workers of a node with 8 or 16 GPUs, so no placement there exceeds the skew. A node with more MIG slices
# may exceed it, and schedules anyway. kube-scheduler adds the skew to every count before it compares the counts:
# differences remain, and do not outweigh an affinity to a rack.
MAX_SKEW = 32


def emptier(template: PodTemplate, policy: Policy) -> Decision:
    """Prefer nodes with the lowest number of other clusters' workers."""
    rule = DecisionBuilder(NAME, template)
    if why := _nothing_to_do(template, policy):
        return rule.skipped(*why)
    if template.cluster is None:
        return rule.skipped(Reason.CLUSTER_NAME_UNKNOWN, "the cluster's name is not generated yet")
    if not template.selectable:
        return rule.skipped(
            Reason.CLUSTER_NAME_INVALID, f"cluster name {template.cluster[:63]!a} is not a valid label value"
        )
    key = policy.topology[0].key
    if _constrained(template, key) or user_placed(template, policy, worker_terms(template)):
        return rule.kept(Reason.SPREAD_PRESENT, f"the manifest already sets spreading for {key}")
    operation = put(template.spec, template.pointer, (CONSTRAINTS, END), _constraint(template.cluster, key))
    return rule.applied(Reason.EMPTIER_ADDED, f"add spreading from other clusters' workers ({key})", operation)


def _nothing_to_do(template: PodTemplate, policy: Policy) -> tuple[Reason, str] | None:
    if not policy.emptier_first:
        return Reason.EMPTIER_OFF, "emptier-first is false"
    if not policy.topology:
        return Reason.TOPOLOGY_NONE, "the namespace's topology is none"
    if _seen_by_the_scheduler(template.spec):
        return Reason.REQUESTS_PRESENT, "the workers request CPU or memory, which kube-scheduler takes into account"
    return None


def _constrained(template: PodTemplate, key: str) -> bool:
    """Return whether a spread constraint, a user's or one of an earlier pass, has the topology key.

    Raises:
        TooLargeError: There are more constraints than a pod spec uses.
    """
    constraints = sequence(template.spec, CONSTRAINTS)
    if len(constraints) > MAX_TERM_SIZE:
        raise TooLargeError("spread constraints", MAX_TERM_SIZE)
    return any(mapping(each).get("topologyKey") == key for each in constraints)


def _seen_by_the_scheduler(spec: Unstructured) -> bool:
    """Return whether the pod, a container or a native sidecar requests CPU or memory; a limit is a request too."""
    sidecars = [each for each in sequence(spec, "initContainers") if text(each, "restartPolicy") == "Always"]
    holders = (spec, *sequence(spec, "containers"), *sidecars)
    return any(_requests_cpu_or_memory(resources) for each in holders if (resources := mapping(each, "resources")))


def _requests_cpu_or_memory(resources: Unstructured) -> bool:
    fields = (mapping(resources, "requests"), mapping(resources, "limits"))
    amounts = [field[name] for field in fields for name in ("cpu", "memory") if name in field]
    return any(amount is not None and not is_zero(amount) for amount in amounts)


def _constraint(cluster: str, topology_key: str) -> Unstructured:
    return {
        "maxSkew": MAX_SKEW,
        "topologyKey": topology_key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {
            "matchExpressions": [
                {"key": COMPONENT, "operator": "In", "values": [WORKER]},
                {"key": CLUSTER_NAME, "operator": "NotIn", "values": [cluster]},
            ]
        },
    }
