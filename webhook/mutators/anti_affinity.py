"""Rule `apart`: workers prefer nodes that run no workers of other clusters.

Owns: `/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution`. It appends one term for the first
topology level. The term selects pods of all namespaces (`namespaceSelector: {}`). Where a ResourceQuota with scope
CrossNamespacePodAffinity forbids that, do not set the annotation.
"""

from webhook.mutators.decision import Decision, DecisionBuilder, Reason
from webhook.mutators.patch import END, put
from webhook.mutators.selector import PREFERRED
from webhook.policy import Policy
from webhook.workloads.pod_templates import (
    CLUSTER_NAME,
    COMPONENT,
    WORKER,
    PodTemplate,
)
from webhook.workloads.unstructured import Unstructured, mapping, sequence

NAME = "apart"


def apart(template: PodTemplate, policy: Policy) -> Decision:
    """Add a preferred anti-affinity to workers of other clusters, with the weight in `apart`; 0 turns it off."""
    rule = DecisionBuilder(NAME, template)
    if not policy.apart:
        return rule.skipped(Reason.APART_OFF, "apart is 0")
    if not policy.topology:
        return rule.skipped(Reason.TOPOLOGY_NONE, "topology is none")
    if template.cluster is None:
        return rule.skipped(Reason.CLUSTER_NAME_UNKNOWN, "the cluster's name is not generated yet")
    if not template.selectable:
        detail = f"cluster name {template.cluster[:63]!a} is not a valid label value"
        return rule.skipped(Reason.CLUSTER_NAME_INVALID, detail)
    key = policy.topology[0].key
    term = _term(template.cluster, key)
    existing = sequence(template.spec, "affinity", "podAntiAffinity", PREFERRED)
    if any(mapping(item, "podAffinityTerm") == term for item in existing):
        return rule.kept(Reason.AFFINITY_PRESENT, "the anti-affinity to other clusters is already set")
    item = {"weight": policy.apart, "podAffinityTerm": term}
    operation = put(template.spec, template.pointer, ("affinity", "podAntiAffinity", PREFERRED, END), item)
    return rule.applied(Reason.APART_ADDED, f"add anti-affinity to workers of other clusters ({key})", operation)


def _term(cluster: str, topology_key: str) -> Unstructured:
    return {
        "labelSelector": {
            "matchExpressions": [
                {"key": COMPONENT, "operator": "In", "values": [WORKER]},
                {"key": CLUSTER_NAME, "operator": "NotIn", "values": [cluster]},
            ]
        },
        "namespaceSelector": {},
        "topologyKey": topology_key,
    }
