"""The affinity terms that rule `affinity` adds or replaces, and the detection of placement set by the user.

A rule that looks for the user's own terms ignores the terms that rule `affinity` adds.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from webhook.mutators.selector import Term, pod_terms, selects
from webhook.policy import AffinityScope, GuideAffinity, Policy, TopologyLevel
from webhook.policy.topology_presets import HOSTNAME
from webhook.workloads.pod_templates import (
    CLUSTER_NAME,
    COMPONENT,
    WORKER,
    WORKER_GROUP_NAME,
    PodTemplate,
    Role,
)
from webhook.workloads.unstructured import Unstructured

# The guide "Colocate Dask workers on Kubernetes while using nodes with multiple GPUs", rapidsai/deployment.
GUIDE_TERM = {
    "weight": 100,
    "podAffinityTerm": {
        "labelSelector": {"matchExpressions": [{"key": COMPONENT, "operator": "In", "values": [WORKER]}]},
        "topologyKey": "kubernetes.io/hostname",
    },
}

GuideUpgrades: TypeAlias = tuple[tuple[str, TopologyLevel], ...]
"""Indices of the guide's terms to replace, with the topology level of each."""


def affinity_term(template: PodTemplate, level: TopologyLevel, policy: Policy) -> Unstructured:
    """Return the weighted term by which the template's pods prefer each other's topology domain."""
    expressions: list[Unstructured] = [{"key": COMPONENT, "operator": "In", "values": [WORKER]}]
    if policy.affinity_scope is AffinityScope.CLUSTER:
        expressions.append({"key": CLUSTER_NAME, "operator": "In", "values": [template.cluster]})
    return {
        "weight": level.weight,
        "podAffinityTerm": {"labelSelector": {"matchExpressions": expressions}, "topologyKey": level.key},
    }


def guide_upgrades(existing: Sequence[Term], policy: Policy) -> GuideUpgrades:
    """Return the guide's terms that the namespace wants to replace; none with scope `namespace`, which equals them."""
    if policy.guide_affinity is GuideAffinity.KEEP or policy.affinity_scope is AffinityScope.NAMESPACE:
        return ()
    levels = {level.key: level for level in policy.topology}
    return tuple(
        (str(term.index), levels[term.topology_key])
        for term in existing
        if term.is_affinity and term.item == GUIDE_TERM and term.topology_key in levels
    )


def user_placed(template: PodTemplate, policy: Policy, existing: Sequence[Term]) -> bool:
    """Return whether the user placed the workers at the first level of `policy.topology`, which must not be empty.

    Preferred terms that rule `affinity` added, with any weight, and guide terms that it is about to replace do not
    count.

    Args:
        template: The pod template of the workers.
        policy: The policy of its namespace.
        existing: The template's `worker_terms`.
    """
    first = policy.topology[0]
    added = affinity_term(template, first, policy)["podAffinityTerm"]
    replaced = {index for index, _ in guide_upgrades(existing, policy)}
    return any(
        term.topology_key == first.key
        and not (term.is_affinity and term.index is not None and (term.raw == added or str(term.index) in replaced))
        for term in existing
    )


# Not the name of any cluster: a selector that excludes the template's own cluster selects it.
_OTHER_CLUSTER = "another-cluster"


def dask_pod_terms(template: PodTemplate, *roles: Role) -> tuple[Term, ...]:
    """Return the terms for `kubernetes.io/hostname` that select Dask pods of these roles, of any cluster.

    Raises:
        TooLargeError: The terms exceed `MAX_TERM_SIZE`.
    """
    terms = [term for term in pod_terms(template) if term.topology_key == HOSTNAME]
    pods = _dask_pod_labels(template, roles) if terms else ()
    return tuple(term for term in terms if any(selects(term.raw, template, labels) for labels in pods))


def _dask_pod_labels(template: PodTemplate, roles: Sequence[Role]) -> Sequence[Mapping[str, str]]:
    """Return the known labels of pods of these roles: first of the template's own cluster, then of another one."""
    own = {key: value for key, value in template.labels.items() if key != WORKER_GROUP_NAME}
    return [{**cluster, COMPONENT: role.value} for cluster in (own, {CLUSTER_NAME: _OTHER_CLUSTER}) for role in roles]
