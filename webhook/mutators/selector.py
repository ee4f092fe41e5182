"""Whether a pod affinity term takes in the workers of a template's own cluster, as the scheduler would see it.

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
    written,
)

PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
CONSTRAINTS = "topologySpreadConstraints"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"

# Terms of a pod spec with their labels, expressions and values. Each takes kube-scheduler longer than us.
MAX_TERM_SIZE = 512


@dataclass(frozen=True, slots=True)
class Term:
    """A pod (anti-)affinity term or a spread constraint as it stands in a spec.

    Attributes:
        is_affinity: Whether it stands in `podAffinity`; else in `podAntiAffinity` or `topologySpreadConstraints`.
        index: Its place among the preferred ones, None when it is required.
        item: The list's item as written: for a preferred one with its weight.
        raw: The term itself.
        is_spread_constraint: Whether it is a spread constraint.
    """

    is_affinity: bool
    index: int | None
    item: Unstructured
    raw: Unstructured
    is_spread_constraint: bool = False

    @property
    def topology_key(self) -> str:
        """The label of its level; whatever stands there, as text."""
        return written(self.raw.get("topologyKey"))


def worker_terms(template: PodTemplate) -> tuple[Term, ...]:
    """The terms by which the manifest says itself how the template's workers stand to each other.

    Raises:
        CrowdedError: There are more than anyone writes.
    """
    return tuple(term for term in pod_terms(template) if selects(term.raw, template))


def pod_terms(template: PodTemplate) -> Sequence[Term]:
    """Return the affinity and anti-affinity terms and spread constraints of a template, malformed ones left out.

    Raises:
        TooLargeError: There are more terms than anyone writes.
    """
    if not mapping(template.spec, "affinity") and not template.spec.get(
        CONSTRAINTS
    ):  # as in most specs; three rules ask
        return ()
    terms, size = [], 0
    for term in _terms(template.spec):
        size += term_size(term.raw)
        if size > MAX_TERM_SIZE:
            raise TooLargeError("terms and labels in affinity", MAX_TERM_SIZE)
        terms.append(term)
    return terms


def term_size(term: Unstructured) -> int:
    """Return the number of labels, expressions and values in a pod affinity term or spread constraint, plus one."""
    selector = mapping(term, "labelSelector")
    expressions = sequence(selector, "matchExpressions")
    values = (sequence(each, "values") for each in expressions[:MAX_TERM_SIZE])
    keys = (sequence(term, field) for field in ("matchLabelKeys", "mismatchLabelKeys"))
    return 1 + sum(map(len, (expressions, mapping(selector, "matchLabels"), *keys, *values)))


def _terms(spec: Unstructured) -> Iterator[Term]:
    """Yield every affinity and anti-affinity term and spread constraint of a pod spec, malformed ones left out."""
    for section, is_affinity in (("podAffinity", True), ("podAntiAffinity", False)):
        there = mapping(spec, "affinity", section)
        for index, item in enumerate(sequence(there, PREFERRED)):
            if raw := mapping(item, "podAffinityTerm"):
                yield Term(is_affinity, index, item, raw)
        for item in sequence(there, REQUIRED):
            if isinstance(item, dict):
                yield Term(is_affinity, None, item, item)
    for item in sequence(spec, CONSTRAINTS):
        if isinstance(item, dict):
            yield Term(False, None, item, item, is_spread_constraint=True)  # noqa: FBT003 - not an affinity


def selects(term: Unstructured, template: PodTemplate, labels: Mapping[str, str] | None = None) -> bool:
    """Whether `term` selects pods in the template's namespace that carry `labels`, by default the template's."""
    return _includes_namespace(term, template.namespace) and _selects_labels(
        term, template.labels if labels is None else labels
    )


def _includes_namespace(term: Unstructured, namespace: str) -> bool:
    """Whether a term looks at the pod's own namespace.

    Neither list nor selector means just that one. What a selector selects is not known here, and is taken to
    include it: the user's words stand.
    """
    if isinstance(term.get("namespaceSelector"), dict):
        return True
    names = sequence(term, "namespaces")
    return not names or not namespace or namespace in names


def _selects_labels(term: Unstructured, labels: Mapping[str, str]) -> bool:
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
        _matches_expression(expression, labels) for expression in sequence(selector, "matchExpressions")
    )


_OPERATORS: Mapping[str, Callable[[str | None, Sequence[Unstructured]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}


def _matches_expression(expression: Unstructured, labels: Mapping[str, str]) -> bool:
    operator = _OPERATORS.get(written(mapping(expression).get("operator")))
    key = mapping(expression).get("key")
    value = labels.get(key) if isinstance(key, str) else None
    return operator is not None and operator(value, sequence(expression, "values"))
