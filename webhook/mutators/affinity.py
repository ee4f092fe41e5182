"""Rule `affinity`: workers prefer the nodes, racks or zones that already run workers of their cluster.

Owns: `/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution`. It appends one term for each topology
level. It modifies no existing item, except the RAPIDS guide's term if the namespace sets `guide-affinity: upgrade`.

The user's own terms take precedence. A term or spread constraint whose selector selects the cluster's workers covers
its topology key, and the rule adds none for that key. One for the first topology key covers all further keys too: the
guide's manifest therefore stays as it is. The term of an earlier admission covers only its own key.

The selector contains the cluster's name, since Dask's CRDs prune `matchLabelKeys`: their pod spec is that of
Kubernetes 1.21.
"""

from collections.abc import Sequence

from webhook.mutators.decision import Decision, DecisionBuilder, Reason
from webhook.mutators.patch import append, put
from webhook.mutators.selector import PREFERRED, Term, worker_terms
from webhook.mutators.terms import (
    GUIDE_TERM,
    GuideUpgrades,
    affinity_term,
    guide_upgrades,
    user_placed,
)
from webhook.policy import AffinityScope, Policy, TopologyLevel
from webhook.workloads.pod_templates import PodTemplate

NAME = "affinity"
_LIST = ("affinity", "podAffinity", PREFERRED)


def affinity(template: PodTemplate, policy: Policy) -> Decision:
    """Add a preferred pod affinity for each topology level that the manifest does not cover."""
    rule = DecisionBuilder(NAME, template)
    if not policy.topology:
        return rule.skipped(Reason.TOPOLOGY_NONE, "topology is none")
    existing = worker_terms(template)
    upgrades = guide_upgrades(existing, policy)
    missing = () if user_placed(template, policy, existing) else _missing(policy, existing)
    if not missing and not upgrades:
        return _kept(rule, existing)
    if policy.affinity_scope is AffinityScope.CLUSTER:
        if template.cluster is None:
            return rule.skipped(Reason.CLUSTER_NAME_UNKNOWN, "the cluster's name is not generated yet")
        if not template.selectable:
            detail = f"no affinity added: cluster name {template.cluster[:63]!a} is not a valid label value"
            return rule.refused(Reason.CLUSTER_NAME_INVALID, detail)
    return _applied(rule, policy, upgrades, missing)


def _missing(policy: Policy, existing: Sequence[Term]) -> tuple[TopologyLevel, ...]:
    covered = {term.topology_key for term in existing}
    return tuple(level for level in policy.topology if level.key not in covered)


def _kept(rule: DecisionBuilder, existing: Sequence[Term]) -> Decision:
    anti = [term for term in existing if not term.is_affinity]
    if anti and all(term.is_spread_constraint for term in anti):
        return rule.kept(Reason.SPREAD_PRESENT, f"the manifest already sets spreading for {anti[0].topology_key}")
    if anti:
        return rule.kept(Reason.ANTI_AFFINITY_PRESENT, "the manifest sets an anti-affinity between the workers")
    if any(term.item == GUIDE_TERM for term in existing):
        return rule.kept(Reason.GUIDE_AFFINITY_PRESENT, "the manifest sets the RAPIDS guide's affinity")
    return rule.kept(Reason.AFFINITY_PRESENT, "an affinity to the cluster's workers is already set")


def _applied(
    rule: DecisionBuilder,
    policy: Policy,
    upgrades: GuideUpgrades,
    missing: Sequence[TopologyLevel],
) -> Decision:
    template = rule.template
    operations = [
        put(template.spec, template.pointer, (*_LIST, index), affinity_term(template, level, policy))
        for index, level in upgrades
    ]
    if missing:
        terms = [affinity_term(template, level, policy) for level in missing]
        operations += append(template.spec, template.pointer, _LIST, terms)
    added = f"add affinity to {_selected(rule, policy)} ({', '.join([level.key for level in missing])})"
    if not upgrades:
        return rule.applied(Reason.AFFINITY_ADDED, added, *operations)
    upgrade = f"limit the RAPIDS guide's affinity to cluster {template.cluster}"
    detail = f"{upgrade}; {added}" if missing else upgrade
    warning = f"the RAPIDS guide's affinity is limited to cluster {template.cluster} (guide-affinity: upgrade)"
    return rule.applied(Reason.GUIDE_AFFINITY_UPGRADED, detail, *operations, warnings=(warning,))


def _selected(rule: DecisionBuilder, policy: Policy) -> str:
    one_cluster = policy.affinity_scope is AffinityScope.CLUSTER
    return f"workers of cluster {rule.template.cluster}" if one_cluster else "all Dask workers of the namespace"
