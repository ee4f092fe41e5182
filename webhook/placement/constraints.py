"""Whether a node takes a pod, as kube-scheduler sees it: nodeSelector, required node affinity, taints.

Source: Kubernetes API reference, `NodeSelectorTerm`, `Toleration` and `Taint` v1; component-helpers
`scheduling/corev1/nodeaffinity`.

What the API server may add to a pod later is not seen in a custom resource: the toleration that the admission
plugin ExtendedResourceToleration gives for a taint named after the resource, and what a RuntimeClass brings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from webhook.workloads.unstructured import (
    TooLargeError,
    Unstructured,
    mapping,
    sequence,
    text,
    texts,
)

# PreferNoSchedule is a wish.
_KEEPING_AWAY = frozenset({"NoSchedule", "NoExecute"})
# Bytes of what one kind of worker says about nodes, as canonical JSON; usually 200. All of it is held against each
# kind of node there is, and kept.
_LARGEST = 4096


class Taint(NamedTuple):
    """A taint of a node."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a pod spec says about nodes. Two that say the same are equal.

    Attributes:
        text: All of it, as canonical JSON.
        selector: `nodeSelector`.
        terms: `nodeSelectorTerms` of the required node affinity, any of which must hold; None where there is none.
        tolerations: As written.
    """

    text: bytes
    selector: Mapping[str, str] = field(compare=False)
    terms: Sequence[Unstructured] | None = field(compare=False)
    tolerations: Sequence[Unstructured] = field(compare=False)

    def admit(self, name: str, labels: Mapping[str, str], taints: Sequence[Taint]) -> bool:
        """Whether a node of that name, with these labels and taints, takes the pod."""
        if self.selector and any(labels.get(key) != value for key, value in self.selector.items()):
            return False
        if taints and not all(any(_tolerates(each, taint) for each in self.tolerations) for taint in taints):
            return False
        return self.terms is None or any(_term_holds(term, name, labels) for term in self.terms)


def constraints(spec: Unstructured) -> Constraints:
    """What a raw pod spec says about nodes; what is malformed is read as absent.

    Raises:
        CrowdedError: It says more than anyone writes, or nests deeper than JSON is written here (254 levels).
    """
    selector = texts(spec, "nodeSelector")
    required = mapping(spec, "affinity", "nodeAffinity").get("requiredDuringSchedulingIgnoredDuringExecution")
    terms = sequence(required, "nodeSelectorTerms") if isinstance(required, dict) else None
    tolerations = sequence(spec, "tolerations")
    try:
        canonical = orjson.dumps([selector, terms, tolerations], option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        canonical = None
    if canonical is None or len(canonical) > _LARGEST:
        raise TooLargeError("bytes about nodes", _LARGEST)
    return Constraints(canonical, selector, terms, tolerations)


def taints(node: Unstructured) -> tuple[Taint, ...]:
    """The taints of a raw Node that keep pods away."""
    found = (
        Taint(text(each, "key") or "", text(each, "value") or "", text(each, "effect") or "")
        for each in sequence(node, "spec", "taints")
    )
    return tuple(each for each in found if each.effect in _KEEPING_AWAY)


# ---- node affinity --------------------------------------------------------------------------------


def _term_holds(term: Unstructured, name: str, labels: Mapping[str, str]) -> bool:
    """A term without any requirement selects no node."""
    expressions, fields = sequence(term, "matchExpressions"), sequence(term, "matchFields")
    return (
        bool(expressions or fields)
        and all(_holds(each, labels) for each in expressions)
        and all(_holds(each, {"metadata.name": name}) for each in fields)
    )


def _holds(requirement: Unstructured, labels: Mapping[str, str]) -> bool:
    operator = _OPERATORS.get(text(requirement, "operator") or "")
    return operator is not None and operator(
        labels.get(text(requirement, "key") or ""), sequence(requirement, "values")
    )


def _compared(value: str | None, values: Sequence[Unstructured], holds: Callable[[int, int], bool]) -> bool:
    if value is None or len(values) != 1:
        return False
    try:
        return holds(int(value), int(values[0]))
    except (ValueError, TypeError):
        return False


_OPERATORS: Mapping[str, Callable[[str | None, Sequence[Unstructured]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
    "Gt": lambda value, values: _compared(value, values, int.__gt__),
    "Lt": lambda value, values: _compared(value, values, int.__lt__),
}


# ---- tolerations ----------------------------------------------------------------------------------


def _tolerates(toleration: Unstructured, taint: Taint) -> bool:
    effect, key = text(toleration, "effect"), text(toleration, "key")
    operator = text(toleration, "operator") or "Equal"
    if effect not in {None, taint.effect} or (key or taint.key) != taint.key:
        return False
    if operator == "Exists":
        return True
    return operator == "Equal" and key is not None and (text(toleration, "value") or "") == taint.value
