"""Rule `affinity`: workers are drawn to the nodes, racks, ... that hold their cluster's other workers.

Owns: `/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution`, to which it appends one term for
each topology level. It never touches an item that stands there, but for the RAPIDS guide's own term where the
namespace says `guide-affinity: upgrade`.

A level is left alone where the user already said how workers stand to workers at its topology key: by any pod
affinity or anti-affinity term, preferred or required, whose selector takes in this cluster's workers. The
guide's own term and an earlier pass of this rule are two such terms.

The cluster's name is spelled out in the selector: `matchLabelKeys` is pruned from Dask's CRDs, whose pod spec
is that of Kubernetes 1.21.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from webhook.dask import CLUSTER_NAME, COMPONENT, Role, Target
from webhook.mutation.model import Decision, Reason, Ruling
from webhook.mutation.patch import END, Operation, put
from webhook.mutation.selector import takes_in
from webhook.policy import AffinityScope, GuideAffinity, Policy, TopologyLevel
from webhook.raw import Raw, mapping, sequence

NAME = "affinity"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"

# The guide "Colocate Dask workers on Kubernetes while using nodes with multiple GPUs", rapidsai/deployment.
GUIDE_TERM = {
    "weight": 100,
    "podAffinityTerm": {
        "labelSelector": {"matchExpressions": [{"key": COMPONENT, "operator": "In", "values": [Role.WORKER.value]}]},
        "topologyKey": "kubernetes.io/hostname",
    },
}


@dataclass(frozen=True, slots=True)
class Term:
    """A pod (anti-)affinity term as it stands in a spec.

    Attributes:
        section: `podAffinity` or `podAntiAffinity`.
        index: Its place among the preferred ones, None when it is required.
        item: The list's item as written: for a preferred one with its weight.
        raw: The term itself.
    """

    section: str
    index: int | None
    item: Raw
    raw: Raw


def affinity(target: Target, policy: Policy) -> Decision:
    """Draw the target's pods together at each level of `policy.topology` that the user left open."""
    rule = Ruling(NAME, target)
    if not policy.topology:
        return rule.skipped(Reason.TOPOLOGY_NONE, "the namespace's topology is none")
    about_workers = tuple(term for term in terms(target.spec) if takes_in(term.raw, target))
    covered = {str(term.raw.get("topologyKey")) for term in about_workers}
    missing = tuple(level for level in policy.topology if level.key not in covered)
    upgrades = _upgrades(about_workers, policy)
    if not missing and not upgrades:
        return _kept(rule, about_workers)
    if policy.affinity_scope is AffinityScope.CLUSTER:
        if target.cluster is None:
            return rule.skipped(Reason.CLUSTER_NAME_UNKNOWN, "the cluster has no name yet; its pods will")
        if not target.selectable:
            return rule.refused(Reason.CLUSTER_NAME_INVALID, f"no affinity: {target.cluster[:63]!a} is no label value")
    return _applied(rule, policy, upgrades, missing)


def terms(spec: Raw) -> Iterator[Term]:
    """Every pod affinity and anti-affinity term of a pod spec, malformed ones left out."""
    for section in ("podAffinity", "podAntiAffinity"):
        there = mapping(spec, "affinity", section)
        for index, item in enumerate(sequence(there, PREFERRED)):
            if raw := mapping(item, "podAffinityTerm"):
                yield Term(section, index, item, raw)
        for item in sequence(there, REQUIRED):
            if isinstance(item, dict):
                yield Term(section, None, item, item)


def _kept(rule: Ruling, about_workers: Sequence[Term]) -> Decision:
    if any(term.section == "podAntiAffinity" for term in about_workers):
        return rule.kept(Reason.ANTI_AFFINITY_PRESENT, "the manifest keeps workers apart itself")
    if any(term.item == GUIDE_TERM for term in about_workers):
        return rule.kept(Reason.GUIDE_AFFINITY_PRESENT, "the manifest carries the guide's own affinity")
    return rule.kept(Reason.AFFINITY_PRESENT, "an affinity to the cluster's workers is there already")


def _upgrades(about_workers: Sequence[Term], policy: Policy) -> tuple[tuple[str, TopologyLevel], ...]:
    """Where the guide's own term stands and the level to put there, if the namespace wants it replaced."""
    if policy.guide_affinity is GuideAffinity.KEEP or policy.affinity_scope is AffinityScope.NAMESPACE:
        return ()
    levels = {level.key: level for level in policy.topology}
    return tuple(
        (str(term.index), levels[term.raw["topologyKey"]])
        for term in about_workers
        if term.section == "podAffinity" and term.item == GUIDE_TERM and term.raw["topologyKey"] in levels
    )


def _applied(
    rule: Ruling,
    policy: Policy,
    upgrades: Sequence[tuple[str, TopologyLevel]],
    missing: Sequence[TopologyLevel],
) -> Decision:
    places = (*upgrades, *((END, level) for level in missing))
    operations = tuple(_put(rule.target, place, level, policy) for place, level in places)
    added = f"drawn to {_whom(rule.target, policy)} at " + ", ".join(level.key for level in missing)
    if not upgrades:
        return rule.applied(Reason.AFFINITY_ADDED, added, *operations)
    replaced = f"the guide's own affinity now names cluster {rule.target.cluster}"
    return rule.applied(
        Reason.GUIDE_AFFINITY_UPGRADED,
        f"{replaced}; {added}" if missing else replaced,
        *operations,
        warnings=(f"{replaced} (guide-affinity: upgrade)",),
    )


def _whom(target: Target, policy: Policy) -> str:
    own = policy.affinity_scope is AffinityScope.CLUSTER
    return f"workers of cluster {target.cluster}" if own else "any Dask worker of the namespace"


def _put(target: Target, place: str, level: TopologyLevel, policy: Policy) -> Operation:
    tokens = ("affinity", "podAffinity", PREFERRED, place)
    return put(target.spec, target.pointer, tokens, _term(target, level, policy))


def _term(target: Target, level: TopologyLevel, policy: Policy) -> Raw:
    selector: list[Raw] = [{"key": COMPONENT, "operator": "In", "values": [Role.WORKER.value]}]
    if policy.affinity_scope is AffinityScope.CLUSTER:
        selector.append({"key": CLUSTER_NAME, "operator": "In", "values": [target.cluster]})
    return {
        "weight": level.weight,
        "podAffinityTerm": {"labelSelector": {"matchExpressions": selector}, "topologyKey": level.key},
    }
