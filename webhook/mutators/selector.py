"""Whether a pod affinity term takes in the workers of a target's own cluster, as the scheduler would see it.

Source: Kubernetes API reference, `PodAffinityTerm` and `LabelSelector` v1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from webhook.workloads.pod_templates import OWN_LABELS, PodTemplate
from webhook.workloads.unstructured import (
    TooLargeError,
    Unstructured,
    mapping,
    sequence,
    texts,
    to_text,
)

PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
CONSTRAINTS = "topologySpreadConstraints"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"

# Terms of a pod spec with their labels, expressions and values. Each takes kube-scheduler longer than us.
MOST = 512


@dataclass(frozen=True, slots=True)
class Term:
    """A pod (anti-)affinity term or a spread constraint as it stands in a spec.

    Attributes:
        attracts: Whether it stands in `podAffinity`; else in `podAntiAffinity` or `topologySpreadConstraints`.
        index: Its place among the preferred ones, None when it is required.
        item: The list's item as written: for a preferred one with its weight.
        raw: The term itself.
        spreads: Whether it is a spread constraint.
    """

    attracts: bool
    index: int | None
    item: Unstructured
    raw: Unstructured
    spreads: bool = False

    @property
    def topology_key(self) -> str:
        """The label of its level; whatever stands there, as text."""
        return to_text(self.raw.get("topologyKey"))


def about_workers(target: PodTemplate) -> tuple[Term, ...]:
    """The terms by which the manifest says itself how the target's workers stand to each other.

    Raises:
        CrowdedError: There are more than anyone writes.
    """
    return tuple(term for term in pod_terms(target) if takes_in(term.raw, target))


def pod_terms(target: PodTemplate) -> Sequence[Term]:
    """Return the affinity and anti-affinity terms and spread constraints of a target, malformed ones left out.

    Raises:
        TooLargeError: There are more terms than anyone writes.
    """
    if not mapping(target.spec, "affinity") and not target.spec.get(CONSTRAINTS):  # as in most specs; three rules ask
        return ()
    terms, size = [], 0
    for term in _terms(target.spec):
        size += size_of(term.raw)
        if size > MOST:
            raise TooLargeError("terms and labels in affinity", MOST)
        terms.append(term)
    return terms


def size_of(term: Unstructured) -> int:
    """Return the number of labels, expressions and values in a pod affinity term or spread constraint, plus one."""
    selector = mapping(term, "labelSelector")
    expressions = sequence(selector, "matchExpressions")
    values = (sequence(each, "values") for each in expressions[:MOST])
    keys = (sequence(term, field) for field in ("matchLabelKeys", "mismatchLabelKeys"))
    return 1 + sum(map(len, (expressions, mapping(selector, "matchLabels"), *keys, *values)))


def _terms(spec: Unstructured) -> Iterator[Term]:
    """Yield every affinity and anti-affinity term and spread constraint of a pod spec, malformed ones left out."""
    for section, attracts in (("podAffinity", True), ("podAntiAffinity", False)):
        there = mapping(spec, "affinity", section)
        for index, item in enumerate(sequence(there, PREFERRED)):
            if raw := mapping(item, "podAffinityTerm"):
                yield Term(attracts, index, item, raw)
        for item in sequence(there, REQUIRED):
            if isinstance(item, dict):
                yield Term(attracts, None, item, item)
    for item in sequence(spec, CONSTRAINTS):
        if isinstance(item, dict):
            yield Term(False, None, item, item, spreads=True)  # noqa: FBT003 - it attracts nothing


def takes_in(term: Unstructured, target: PodTemplate, labels: Mapping[str, str] | None = None) -> bool:
    """Whether `term` selects pods in the target's namespace that carry `labels`, by default the target's."""
    return _reaches(term, target.namespace) and _selects(term, target.labels if labels is None else labels)


def _reaches(term: Unstructured, namespace: str) -> bool:
    """Whether a term looks at the pod's own namespace.

    Neither list nor selector means just that one. What a selector selects is not known here, and is taken to
    include it: the user's words stand.
    """
    if isinstance(term.get("namespaceSelector"), dict):
        return True
    names = sequence(term, "namespaces")
    return not names or not namespace or namespace in names


def _selects(term: Unstructured, labels: Mapping[str, str]) -> bool:
    selector = term.get("labelSelector")
    if not isinstance(selector, dict):  # null selects no pods
        return False
    # `matchLabelKeys` asks for the pod's own values, which its siblings share, but for the hash of its ReplicaSet: each
    # Dask worker has a Deployment of its own. `mismatchLabelKeys` asks for others.
    if any(isinstance(key, str) and key in OWN_LABELS for key in sequence(term, "matchLabelKeys")):
        return False
    if any(key in labels for key in sequence(term, "mismatchLabelKeys") if isinstance(key, str)):
        return False
    return matches(selector, labels)


def matches(selector: Unstructured, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector selects what carries `labels`; an empty one selects everything."""
    wanted = texts(selector, "matchLabels")
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(expression, labels) for expression in sequence(selector, "matchExpressions")
    )


_OPERATORS: Mapping[str, Callable[[str | None, Sequence[Unstructured]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}


def _holds(expression: Unstructured, labels: Mapping[str, str]) -> bool:
    operator = _OPERATORS.get(to_text(mapping(expression).get("operator")))
    key = mapping(expression).get("key")
    value = labels.get(key) if isinstance(key, str) else None
    return operator is not None and operator(value, sequence(expression, "values"))
