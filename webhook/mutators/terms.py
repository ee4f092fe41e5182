"""The terms that rule `affinity` writes and may replace, and whether a manifest places Dask's pods itself.

A rule that looks for a user's own terms has to leave out the terms of rule `affinity`.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from webhook.mutators.selector import (
    Term,
    pod_terms,
    takes_in,
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


# The name of no cluster: a selector that leaves out the target's own cluster selects it.
_OTHER_CLUSTER = "another-cluster"


def about_dask_pods(target: PodTemplate, *roles: Role) -> tuple[Term, ...]:
    """Return the terms that relate a target's pods to Dask pods of these roles on the same node.

    The related pods may be those of the target's own cluster or of another one.

    Raises:
        TooLargeError: There are more terms than anyone writes.
    """
    terms = [term for term in pod_terms(target) if term.topology_key == HOSTNAME]
    related = _dask_pods(target, roles) if terms else ()
    return tuple(term for term in terms if any(takes_in(term.raw, target, labels) for labels in related))


def _dask_pods(target: PodTemplate, roles: Sequence[Role]) -> Sequence[Mapping[str, str]]:
    """The known labels of pods of these roles: of the target's own cluster, then of another cluster."""
    own = {key: value for key, value in target.labels.items() if key != WORKER_GROUP_NAME}
    return [{**cluster, COMPONENT: role.value} for cluster in (own, {CLUSTER_NAME: _OTHER_CLUSTER}) for role in roles]
