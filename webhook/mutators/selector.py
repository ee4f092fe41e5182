"""Pod affinity terms and spread constraints of a manifest, matched against labels as kube-scheduler does.

Source: Kubernetes API reference, `PodAffinityTerm`, `TopologySpreadConstraint` and `LabelSelector` v1.
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
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
CONSTRAINTS = "topologySpreadConstraints"

# Limit for one pod spec: terms with their labels, expressions and values. A manifest of 3 MiB could hold 100,000.
MAX_TERM_SIZE = 512


@dataclass(frozen=True, slots=True)
class Term:
    """A pod affinity term, a pod anti-affinity term or a topology spread constraint of a pod spec.

    Attributes:
        is_affinity: True for a term in `podAffinity`.
        index: Index in the list of preferred terms; None for a required term or a constraint.
        item: The item of the list; for a preferred term, its weight and the term.
        raw: The term or constraint.
        is_spread_constraint: True for an item of `topologySpreadConstraints`.
    """

    is_affinity: bool
    index: int | None
    item: Unstructured
    raw: Unstructured
    is_spread_constraint: bool = False

    @property
    def topology_key(self) -> str:
        """Return the topology key as text, also if it has the wrong type."""
        return to_text(self.raw.get("topologyKey"))


def worker_terms(template: PodTemplate) -> tuple[Term, ...]:
    """Return the terms and constraints of a manifest that select the template's own pods.

    Raises:
        TooLargeError: The terms exceed `MAX_TERM_SIZE`.
    """
    return tuple(term for term in pod_terms(template) if selects(term.raw, template))


def pod_terms(template: PodTemplate) -> Sequence[Term]:
    """Return all terms and constraints of a manifest, without malformed ones.

    Raises:
        TooLargeError: The terms exceed `MAX_TERM_SIZE`.
    """
    terms, size = [], 0
    for term in _terms(template.spec):
        size += _size(term.raw)
        if size > MAX_TERM_SIZE:
            raise TooLargeError("terms and labels in affinity", MAX_TERM_SIZE)
        terms.append(term)
    return terms


def _size(term: Unstructured) -> int:
    """Return the number of labels, expressions and values in a term, plus one."""
    selector = mapping(term, "labelSelector")
    expressions = sequence(selector, "matchExpressions")
    values = (sequence(expression, "values") for expression in expressions[:MAX_TERM_SIZE])
    keys = (sequence(term, field) for field in ("matchLabelKeys", "mismatchLabelKeys"))
    return 1 + sum(map(len, (expressions, mapping(selector, "matchLabels"), *keys, *values)))


def _terms(spec: Unstructured) -> Iterator[Term]:
    for section in ("podAffinity", "podAntiAffinity"):
        is_affinity = section == "podAffinity"
        for index, item in enumerate(sequence(spec, "affinity", section, PREFERRED)):
            if raw := mapping(item, "podAffinityTerm"):
                yield Term(is_affinity, index, item, raw)
        for item in sequence(spec, "affinity", section, REQUIRED):
            if isinstance(item, dict):
                yield Term(is_affinity, None, item, item)
    for item in sequence(spec, CONSTRAINTS):
        if isinstance(item, dict):
            yield Term(is_affinity=False, index=None, item=item, raw=item, is_spread_constraint=True)


def selects(term: Unstructured, template: PodTemplate, labels: Mapping[str, str] | None = None) -> bool:
    """Return whether a term selects pods with `labels`, by default the template's, in the template's namespace."""
    if not _includes_namespace(term, template.namespace):
        return False
    return _selects_labels(term, template.labels if labels is None else labels)


def _includes_namespace(term: Unstructured, namespace: str) -> bool:
    """Return whether a term applies to pods of a namespace; a term without namespaces applies to its own.

    The labels of namespaces are unknown here, so a `namespaceSelector` counts as one that selects the namespace:
    the webhook then keeps the user's term.
    """
    if isinstance(term.get("namespaceSelector"), dict):
        return True
    names = sequence(term, "namespaces")
    return not names or not namespace or namespace in names


def _selects_labels(term: Unstructured, labels: Mapping[str, str]) -> bool:
    selector = term.get("labelSelector")
    if not isinstance(selector, dict):  # a null selector selects no pods
        return False
    # `matchLabelKeys` adds the new pod's values to the selector. Pods of one group share all labels except
    # `OWN_LABELS`. `mismatchLabelKeys` excludes the values of the new pod.
    if any(isinstance(key, str) and key in OWN_LABELS for key in sequence(term, "matchLabelKeys")):
        return False
    if any(key in labels for key in sequence(term, "mismatchLabelKeys") if isinstance(key, str)):
        return False
    return matches(selector, labels)


def matches(selector: Unstructured, labels: Mapping[str, str]) -> bool:
    """Return whether a LabelSelector selects `labels`; an empty selector selects all labels."""
    match_labels = texts(selector, "matchLabels")
    return all(labels.get(key) == value for key, value in match_labels.items()) and all(
        _matches_expression(expression, labels) for expression in sequence(selector, "matchExpressions")
    )


_OPERATORS: Mapping[str, Callable[[str | None, Sequence[Unstructured]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}


def _matches_expression(expression: Unstructured, labels: Mapping[str, str]) -> bool:
    operator = _OPERATORS.get(to_text(mapping(expression).get("operator")))
    key = mapping(expression).get("key")
    value = labels.get(key) if isinstance(key, str) else None
    return operator is not None and operator(value, sequence(expression, "values"))
