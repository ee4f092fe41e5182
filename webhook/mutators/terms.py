"""The terms that rule `affinity` writes and may replace, and whether a manifest places Dask's pods itself.

A rule that looks for a user's own terms has to leave out the terms of rule `affinity`.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from webhook.mutators.selector import (
    Term,
    pod_terms,
    selects,
)
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
from webhook.workloads.unstructured import (
    Unstructured,
)

# The guide "Colocate Dask workers on Kubernetes while using nodes with multiple GPUs", rapidsai/deployment.
GUIDE_TERM = {
    "weight": 100,
    "podAffinityTerm": {
        "labelSelector": {"matchExpressions": [{"key": COMPONENT, "operator": "In", "values": [WORKER]}]},
        "topologyKey": "kubernetes.io/hostname",
    },
}

GuideUpgrades: TypeAlias = tuple[tuple[str, TopologyLevel], ...]
"""Indices of the guide's terms, and the level that each stands for."""


def affinity_term(template: PodTemplate, level: TopologyLevel, policy: Policy) -> Unstructured:
    """The preferred term, with its weight, that draws the template's pods together at a level."""
    selector: list[Unstructured] = [{"key": COMPONENT, "operator": "In", "values": [WORKER]}]
    if policy.affinity_scope is AffinityScope.CLUSTER:
        selector.append({"key": CLUSTER_NAME, "operator": "In", "values": [template.cluster]})
    return {
        "weight": level.weight,
        "podAffinityTerm": {"labelSelector": {"matchExpressions": selector}, "topologyKey": level.key},
    }


def guide_upgrades(existing: Sequence[Term], policy: Policy) -> GuideUpgrades:
    """Where the guide's own term stands and the level to put there, if the namespace wants it replaced."""
    if not existing or policy.guide_affinity is GuideAffinity.KEEP or policy.affinity_scope is AffinityScope.NAMESPACE:
        return ()
    levels = {level.key: level for level in policy.topology}
    return tuple(
        (str(term.index), levels[term.topology_key])
        for term in existing
        if term.is_affinity and term.item == GUIDE_TERM and term.topology_key in levels
    )


def user_placed(template: PodTemplate, policy: Policy, existing: Sequence[Term]) -> bool:
    """Whether the user said how workers stand at the nearest level of `policy.topology`, which is not empty.

    A term that an earlier pass wrote is not the user's, whatever weight the namespace named then; nor is the
    guide's where it is about to be replaced. Both are preferred ones in `podAffinity`.

    Args:
        template: Whose workers.
        policy: Of its namespace.
        existing: The terms `worker_terms`.
    """
    if not existing:  # as of most specs, and two rules ask
        return False
    nearest = policy.topology[0]
    ours = affinity_term(template, nearest, policy)["podAffinityTerm"]
    replaced = {place for place, _ in guide_upgrades(existing, policy)}
    return any(
        term.topology_key == nearest.key
        and not (term.is_affinity and term.index is not None and (term.raw == ours or str(term.index) in replaced))
        for term in existing
    )


# The name of no cluster: a selector that leaves out the template's own cluster selects it.
_OTHER_CLUSTER = "another-cluster"


def dask_pod_terms(template: PodTemplate, *roles: Role) -> tuple[Term, ...]:
    """Return the terms that relate a template's pods to Dask pods of these roles on the same node.

    The related pods may be those of the template's own cluster or of another one.

    Raises:
        TooLargeError: There are more terms than anyone writes.
    """
    terms = [term for term in pod_terms(template) if term.topology_key == HOSTNAME]
    related = _dask_pod_labels(template, roles) if terms else ()
    return tuple(term for term in terms if any(selects(term.raw, template, labels) for labels in related))


def _dask_pod_labels(template: PodTemplate, roles: Sequence[Role]) -> Sequence[Mapping[str, str]]:
    """The known labels of pods of these roles: of the template's own cluster, then of another cluster."""
    own = {key: value for key, value in template.labels.items() if key != WORKER_GROUP_NAME}
    return [{**cluster, COMPONENT: role.value} for cluster in (own, {CLUSTER_NAME: _OTHER_CLUSTER}) for role in roles]
