"""The terms that rule `affinity` writes, and the one it may replace: not the user's word for any rule.

Whoever decides by how the manifest says that workers stand to each other has to leave these out.
"""

from collections.abc import Sequence
from typing import TypeAlias

from webhook.mutators.selector import Term
from webhook.policy import AffinityScope, GuideAffinity, Policy, TopologyLevel
from webhook.workloads.pod_templates import (
    CLUSTER_NAME,
    COMPONENT,
    WORKER,
    PodTemplate,
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

Upgrades: TypeAlias = tuple[tuple[str, TopologyLevel], ...]
"""Indices of the guide's terms, and the level that each stands for."""


def own(target: PodTemplate, level: TopologyLevel, policy: Policy) -> Unstructured:
    """The preferred term, with its weight, that draws the target's pods together at a level."""
    selector: list[Unstructured] = [{"key": COMPONENT, "operator": "In", "values": [WORKER]}]
    if policy.affinity_scope is AffinityScope.CLUSTER:
        selector.append({"key": CLUSTER_NAME, "operator": "In", "values": [target.cluster]})
    return {
        "weight": level.weight,
        "podAffinityTerm": {"labelSelector": {"matchExpressions": selector}, "topologyKey": level.key},
    }


def upgrades(standing: Sequence[Term], policy: Policy) -> Upgrades:
    """Where the guide's own term stands and the level to put there, if the namespace wants it replaced."""
    if not standing or policy.guide_affinity is GuideAffinity.KEEP or policy.affinity_scope is AffinityScope.NAMESPACE:
        return ()
    levels = {level.key: level for level in policy.topology}
    return tuple(
        (str(term.index), levels[term.topology_key])
        for term in standing
        if term.attracts and term.item == GUIDE_TERM and term.topology_key in levels
    )


def spoken_for(target: PodTemplate, policy: Policy, standing: Sequence[Term]) -> bool:
    """Whether the user said how workers stand at the nearest level of `policy.topology`, which is not empty.

    A term that an earlier pass wrote is not the user's, whatever weight the namespace named then; nor is the
    guide's where it is about to be replaced. Both are preferred ones in `podAffinity`.

    Args:
        target: Whose workers.
        policy: Of its namespace.
        standing: The terms `about_workers`.
    """
    if not standing:  # as of most specs, and two rules ask
        return False
    nearest = policy.topology[0]
    ours = own(target, nearest, policy)["podAffinityTerm"]
    replaced = {place for place, _ in upgrades(standing, policy)}
    return any(
        term.topology_key == nearest.key
        and not (term.attracts and term.index is not None and (term.raw == ours or str(term.index) in replaced))
        for term in standing
    )
