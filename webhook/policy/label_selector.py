"""Parser of label selectors in the syntax of `kubectl -l`: `a in (x,y), b!=c, !d, e`.

Source: k8s.io/apimachinery, pkg/labels, `Parse` and `Requirement.Matches`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_MAX_LENGTH = 1024  # characters; typical selectors have less than 100
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_KEY = rf"(?:(?=[^/]{{1,253}}/){_DNS_LABEL}(?:\.{_DNS_LABEL})*/)?{_NAME}"
_REQUIREMENT = re.compile(
    rf"(?P<absent>!\s*)?(?P<key>{_KEY})"
    r"(?:\s*(?P<operator>==?|!=|>|<)\s*(?P<value>\S*)|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?"
)
_VALUE = re.compile(rf"(?:{_NAME})?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")  # an int64
_COMMA = re.compile(r",(?![^()]*\))")  # outside parentheses


@dataclass(frozen=True, slots=True)
class Requirement:
    """Requirement of a label selector.

    Attributes:
        key: Key of the label.
        operator: `exists`, `!`, `in`, `notin`, `>` or `<`; `=` is `in` with one value.
        values: Operands of the operator.
    """

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels meet the requirement; `!=` and `notin` also match if the label is absent."""
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case operator:
                return value is not None and _compare(value, operator, self.values[0])


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Requirements that a pod's labels must all meet.

    Attributes:
        requirements: At least one.
        text: The selector as the user wrote it.
    """

    requirements: tuple[Requirement, ...]
    text: str

    def __str__(self) -> str:
        """Return the text that `parse` accepts."""
        return self.text

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels meet all requirements."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def uses_any(self, keys: frozenset[str]) -> bool:
        """Return whether any requirement refers to one of `keys`."""
        return any(requirement.key in keys for requirement in self.requirements)


def parse(text: str) -> LabelSelector:
    """Parse a selector.

    Raises:
        ValueError: `text` is malformed, or empty: an empty selector would select all pods.
    """
    if not text or len(text) > _MAX_LENGTH:
        raise ValueError(text)
    return LabelSelector(tuple(_requirement(item.strip()) for item in _COMMA.split(text)), text)


def _requirement(item: str) -> Requirement:
    match = _REQUIREMENT.fullmatch(item)
    if match is None:
        raise ValueError(item)
    key, operator = match["key"], match["operator"] or match["set"]
    if match["absent"] or operator is None:
        if operator is not None:
            raise ValueError(item)
        return Requirement(key, "!" if match["absent"] else "exists")
    values = tuple(value.strip() for value in (match["values"] or "").split(",")) if match["set"] else (match["value"],)
    if not all(map((_INTEGER if operator in {">", "<"} else _VALUE).fullmatch, values)):
        raise ValueError(item)
    return Requirement(key, {"=": "in", "==": "in", "!=": "notin"}.get(operator, operator), values)


def _compare(value: str, operator: str, bound: str) -> bool:
    if not _INTEGER.fullmatch(value):
        return False
    return int(value) > int(bound) if operator == ">" else int(value) < int(bound)
