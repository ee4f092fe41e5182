"""Constraints of a pod on nodes, evaluated like kube-scheduler: nodeSelector, required node affinity, taints.

Source: Kubernetes API reference, `NodeSelectorTerm`, `Toleration` and `Taint` v1; component-helpers
`scheduling/corev1/nodeaffinity`.

A custom resource does not show what the API server adds to its pods later: the toleration of the admission plugin
ExtendedResourceToleration, and the scheduling fields of a RuntimeClass.
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

EXCLUDING_EFFECTS = frozenset({"NoSchedule", "NoExecute"})  # PreferNoSchedule is a preference
# Bytes of canonical JSON, usually 200. A pool of nodes is cached for each distinct set of constraints.
_MAX_BYTES = 4096


class Taint(NamedTuple):
    """A taint of a node."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Constraints:
    """Constraints of a pod spec on nodes, compared by their canonical JSON.

    Attributes:
        canonical_json: All constraints.
        selector: `nodeSelector`.
        terms: `nodeSelectorTerms` of the required node affinity, of which one must match; None without any.
        tolerations: Raw tolerations.
    """

    canonical_json: bytes
    selector: Mapping[str, str] = field(compare=False)
    terms: Sequence[Unstructured] | None = field(compare=False)
    tolerations: Sequence[Unstructured] = field(compare=False)

    def admit(self, name: str, labels: Mapping[str, str], taints: Sequence[Taint]) -> bool:
        """Return whether the node with this name, these labels and these taints admits the pod."""
        if any(labels.get(key) != value for key, value in self.selector.items()):
            return False
        if not all(any(_tolerates(toleration, taint) for toleration in self.tolerations) for taint in taints):
            return False
        return self.terms is None or any(_term_matches(term, name, labels) for term in self.terms)


def constraints(spec: Unstructured) -> Constraints:
    """Return the constraints of a raw pod spec. Malformed fields count as absent.

    Raises:
        TooLargeError: The constraints exceed 4 KiB, or nest deeper than the JSON encoder supports (254 levels).
    """
    selector = texts(spec, "nodeSelector")
    required = mapping(spec, "affinity", "nodeAffinity").get("requiredDuringSchedulingIgnoredDuringExecution")
    terms = sequence(required, "nodeSelectorTerms") if isinstance(required, dict) else None
    tolerations = sequence(spec, "tolerations")
    try:
        canonical = orjson.dumps([selector, terms, tolerations], option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        canonical = None
    if canonical is None or len(canonical) > _MAX_BYTES:
        raise TooLargeError("bytes about nodes", _MAX_BYTES)
    return Constraints(canonical, selector, terms, tolerations)


def taints(node: Unstructured) -> tuple[Taint, ...]:
    """Return the taints of a raw Node that exclude pods."""
    every_taint = (
        Taint(text(taint, "key") or "", text(taint, "value") or "", text(taint, "effect") or "")
        for taint in sequence(node, "spec", "taints")
    )
    return tuple(taint for taint in every_taint if taint.effect in EXCLUDING_EFFECTS)


# ---- node affinity --------------------------------------------------------------------------------


def _term_matches(term: Unstructured, name: str, labels: Mapping[str, str]) -> bool:
    """Return whether a term selects a node. A term without requirements selects none."""
    expressions, fields = sequence(term, "matchExpressions"), sequence(term, "matchFields")
    return (
        bool(expressions or fields)
        and all(_matches(expression, labels) for expression in expressions)
        and all(_matches(expression, {"metadata.name": name}) for expression in fields)
    )


def _matches(requirement: Unstructured, labels: Mapping[str, str]) -> bool:
    operator = _OPERATORS.get(text(requirement, "operator") or "")
    return operator is not None and operator(
        labels.get(text(requirement, "key") or ""), sequence(requirement, "values")
    )


def _compare(value: str | None, values: Sequence[Unstructured], comparison: Callable[[int, int], bool]) -> bool:
    if value is None or len(values) != 1:
        return False
    try:
        return comparison(int(value), int(values[0]))
    except (ValueError, TypeError):
        return False


_OPERATORS: Mapping[str, Callable[[str | None, Sequence[Unstructured]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
    "Gt": lambda value, values: _compare(value, values, int.__gt__),
    "Lt": lambda value, values: _compare(value, values, int.__lt__),
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
