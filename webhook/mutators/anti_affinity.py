"""Rule `apart`: workers prefer hosts that hold no other cluster's workers.

Owns: `/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution`, to which it appends one term
for the nearest topology level. The term looks at all namespaces (`namespaceSelector: {}`), since a term
without one sees only its own; where a ResourceQuota with scope CrossNamespacePodAffinity forbids that, leave
the annotation out.
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
    """Keep the template's pods off hosts of other clusters, with weight `policy.apart`; 0 is off."""
    rule = DecisionBuilder(NAME, template)
    if not policy.apart:
        return rule.skipped(Reason.APART_OFF, "apart is 0")
    if not policy.topology:
        return rule.skipped(Reason.TOPOLOGY_NONE, "the namespace's topology is none")
    if template.cluster is None:
        return rule.skipped(Reason.CLUSTER_NAME_UNKNOWN, "the cluster has no name yet; its pods will")
    if not template.selectable:
        return rule.skipped(Reason.CLUSTER_NAME_INVALID, f"{template.cluster[:63]!a} is no label value")
    term = _term(template.cluster, policy.topology[0].key)
    existing = sequence(mapping(template.spec, "affinity", "podAntiAffinity"), PREFERRED)
    if any(mapping(item, "podAffinityTerm") == term for item in existing):
        return rule.kept(Reason.AFFINITY_PRESENT, "the anti-affinity to other clusters is there already")
    item = {"weight": policy.apart, "podAffinityTerm": term}
    tokens = ("affinity", "podAntiAffinity", PREFERRED, END)
    detail = f"kept apart from workers of other clusters at {policy.topology[0].key}"
    return rule.applied(Reason.APART_ADDED, detail, put(template.spec, template.pointer, tokens, item))


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
