"""Rule `affinity`: workers are drawn to the nodes, racks, ... that hold their cluster's other workers.

Owns: `/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution`, to which it appends one term for
each topology level. It never touches an item that stands there, but for the RAPIDS guide's own term where the
namespace says `guide-affinity: upgrade`.

A level is left alone where the user already said how workers stand to workers at its topology key: by any pod
affinity or anti-affinity term, preferred or required, or spread constraint, whose selector takes in this cluster's
workers. The guide's own term and an earlier pass of this rule are two such terms. Who spoke for the nearest level
spoke for the farther ones too: the guide's manifest stays as it is.

The cluster's name is spelled out in the selector: `matchLabelKeys` is pruned from Dask's CRDs, whose pod spec
is that of Kubernetes 1.21.
"""

from collections.abc import Sequence

from webhook.mutators.decision import Decision, DecisionBuilder, Reason
from webhook.mutators.patch import Operation, append, put
from webhook.mutators.selector import PREFERRED, Term, about_workers
from webhook.mutators.terms import (
    GUIDE_TERM,
    Upgrades,
    own,
    spoken_for,
    upgrades,
)
from webhook.policy import AffinityScope, Policy, TopologyLevel
from webhook.workloads.pod_templates import PodTemplate

NAME = "affinity"


def affinity(target: PodTemplate, policy: Policy) -> Decision:
    """Draw the target's pods together at each level of `policy.topology` that the user left open."""
    rule = DecisionBuilder(NAME, target)
    if not policy.topology:
        return rule.skipped(Reason.TOPOLOGY_NONE, "the namespace's topology is none")
    standing = about_workers(target)
    replaced = upgrades(standing, policy)
    missing = () if spoken_for(target, policy, standing) else _missing(policy, standing)
    if not missing and not replaced:
        return _kept(rule, standing)
    if policy.affinity_scope is AffinityScope.CLUSTER:
        if target.cluster is None:
            return rule.skipped(Reason.CLUSTER_NAME_UNKNOWN, "the cluster has no name yet; its pods will")
        if not target.selectable:
            return rule.refused(Reason.CLUSTER_NAME_INVALID, f"no affinity: {target.cluster[:63]!a} is no label value")
    return _applied(rule, policy, replaced, missing)


def _missing(policy: Policy, standing: Sequence[Term]) -> tuple[TopologyLevel, ...]:
    if not standing:
        return policy.topology
    covered = {term.topology_key for term in standing}
    return tuple(level for level in policy.topology if level.key not in covered)


def _kept(rule: DecisionBuilder, standing: Sequence[Term]) -> Decision:
    apart = [term for term in standing if not term.attracts]
    if apart and all(term.spreads for term in apart):
        return rule.kept(Reason.SPREAD_PRESENT, f"the manifest spreads workers itself at {apart[0].topology_key}")
    if apart:
        return rule.kept(Reason.ANTI_AFFINITY_PRESENT, "the manifest keeps workers apart itself")
    if any(term.item == GUIDE_TERM for term in standing):
        return rule.kept(Reason.GUIDE_AFFINITY_PRESENT, "the manifest carries the guide's own affinity")
    return rule.kept(Reason.AFFINITY_PRESENT, "an affinity to the cluster's workers is there already")


def _applied(
    rule: DecisionBuilder,
    policy: Policy,
    upgraded: Upgrades,
    missing: Sequence[TopologyLevel],
) -> Decision:
    appended = _append(rule.target, missing, policy)
    added = f"drawn to {_whom(rule.target, policy)} at {', '.join([level.key for level in missing])}"
    if not upgraded:
        return rule.applied(Reason.AFFINITY_ADDED, added, *appended)
    replaced = f"the guide's own affinity now names cluster {rule.target.cluster}"
    return rule.applied(
        Reason.GUIDE_AFFINITY_UPGRADED,
        f"{replaced}; {added}" if missing else replaced,
        *(_upgrade(rule.target, place, level, policy) for place, level in upgraded),
        *appended,
        warnings=(f"{replaced} (guide-affinity: upgrade)",),
    )


def _whom(target: PodTemplate, policy: Policy) -> str:
    own = policy.affinity_scope is AffinityScope.CLUSTER
    return f"workers of cluster {target.cluster}" if own else "any Dask worker of the namespace"


_LIST = ("affinity", "podAffinity", PREFERRED)


def _upgrade(target: PodTemplate, place: str, level: TopologyLevel, policy: Policy) -> Operation:
    return put(target.spec, target.pointer, (*_LIST, place), own(target, level, policy))


def _append(target: PodTemplate, levels: Sequence[TopologyLevel], policy: Policy) -> tuple[Operation, ...]:
    terms = [own(target, level, policy) for level in levels]
    return append(target.spec, target.pointer, _LIST, terms) if terms else ()
