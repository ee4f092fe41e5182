"""Rule `emptier`: of hosts that are otherwise as good, the one with the fewest other workers comes first.

Owns: `/topologySpreadConstraints`, to which it appends one constraint that schedules anyway, for the nearest
topology level.

It decides where the first worker of a cluster goes: none of its own is there yet, and kube-scheduler's own
preference for empty nodes goes by CPU and memory. Workers that ask for nothing but a GPU make all nodes look
alike, and a cluster begins on a node with one free GPU as easily as on an empty one. Where workers do ask for CPU
or memory the scheduler sees it for itself, and the rule saves it the work. Load `bare` of `make bench-placement`
measures it.

A spread constraint and not the anti-affinity of rule `apart`, which asks for much the same: it costs the scheduler
less, and with `MAX_SKEW` an autoscaler that takes preferences for requirements first (Karpenter) rarely has
anything to require. It sees its own namespace only.
"""

from functools import partial

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

# More than a node of 8 or 16 GPUs holds, so that there no placement exceeds it; MIG slices may be more. Nothing is
# lost where one does, since the constraint schedules anyway. kube-scheduler adds the skew to every count before it
# compares them: the differences stay, but never outweigh an affinity to a rack.
MAX_SKEW = 32


def emptier(target: PodTemplate, policy: Policy) -> Decision:
    """Let the target's pods begin on hosts with the fewest workers of other clusters."""
    rule = DecisionBuilder(NAME, target)
    if why := _nothing_to_do(target, policy):
        return rule.skipped(*why)
    if target.cluster is None:
        return rule.skipped(Reason.CLUSTER_NAME_UNKNOWN, "the cluster's name is not generated yet")
    if not target.selectable:
        return rule.skipped(
            Reason.CLUSTER_NAME_INVALID, f"cluster name {target.cluster[:63]!a} is not a valid label value"
        )
    key = policy.topology[0].key
    if _constrained(target, key) or user_placed(target, policy, worker_terms(target)):
        return rule.kept(Reason.SPREAD_PRESENT, f"the manifest already sets spreading for {key}")
    operation = put(target.spec, target.pointer, (CONSTRAINTS, END), _constraint(target.cluster, key))
    return rule.applied(Reason.EMPTIER_ADDED, f"add spreading from other clusters' workers ({key})", operation)


def _nothing_to_do(target: PodTemplate, policy: Policy) -> tuple[Reason, str] | None:
    if not policy.emptier_first:
        return Reason.EMPTIER_OFF, "emptier-first is false"
    if not policy.topology:
        return Reason.TOPOLOGY_NONE, "the namespace's topology is none"
    if _seen_by_the_scheduler(target.spec):
        return Reason.REQUESTS_PRESENT, "the workers ask for CPU or memory: the scheduler sees them"
    return None


def _constrained(target: PodTemplate, key: str) -> bool:
    """Whether a constraint, the user's or that of an earlier pass, says how pods stand at the level.

    Raises:
        CrowdedError: There are more than anyone writes.
    """
    constraints = sequence(target.spec, CONSTRAINTS)
    if len(constraints) > MAX_TERM_SIZE:
        raise TooLargeError("spread constraints", MAX_TERM_SIZE)
    return any(mapping(each).get("topologyKey") == key for each in constraints)


def _seen_by_the_scheduler(spec: Unstructured) -> bool:
    """Return whether the pod, a container or a native sidecar requests CPU or memory; a limit is a request too."""
    sidecars = (each for each in sequence(spec, "initContainers") if text(each, "restartPolicy") == "Always")
    return any(map(_requests_cpu_or_memory, (spec, *sequence(spec, "containers"), *sidecars)))


def _requests_cpu_or_memory(holder: Unstructured) -> bool:
    for requested in map(partial(mapping, holder, "resources"), ("requests", "limits")):
        for name in ("cpu", "memory"):
            if name in requested and requested[name] is not None and not is_zero(requested[name]):
                return True
    return False


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
