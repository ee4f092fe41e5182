"""Parser of label selectors as `kubectl -l` takes them: `a in (x,y), b!=c, !d, e`.

Source: k8s.io/apimachinery, pkg/labels, `Parse` and `Requirement.Matches`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LONGEST = 1024  # characters; a selector that a person writes has some tens
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
    """One condition of a selector.

    Attributes:
        key: The label's.
        operator: `exists`, `!`, `in`, `notin`, `>` or `<`; `=` is `in` with one value.
        values: What the operator compares with.
    """

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels meet the condition; `!=` and `notin` hold without the label too."""
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
                return value is not None and _compares(value, operator, self.values[0])


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Conditions that a pod's labels meet together.

    Attributes:
        requirements: At least one.
        written: The selector as the user wrote it.
    """

    requirements: tuple[Requirement, ...]
    written: str

    def __str__(self) -> str:
        """Return the selector in the spelling that `parse` takes."""
        return self.written

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels meet all conditions."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def reads(self, keys: frozenset[str]) -> bool:
        """Return whether any condition is about one of `keys`."""
        return any(requirement.key in keys for requirement in self.requirements)


def parse(text: str) -> LabelSelector:
    """Parse a selector.

    Raises:
        ValueError: `text` is none, or is empty: an empty one would select every pod.
    """
    if not text or len(text) > _LONGEST:
        raise ValueError(text)
    return LabelSelector(tuple(_requirement(item.strip()) for item in _COMMA.split(text)), text)


def _requirement(item: str) -> Requirement:
    found = _REQUIREMENT.fullmatch(item)
    if found is None:
        raise ValueError(item)
    key, operator = found["key"], found["operator"] or found["set"]
    if found["absent"] or operator is None:
        if operator is not None:
            raise ValueError(item)
        return Requirement(key, "!" if found["absent"] else "exists")
    values = tuple(value.strip() for value in (found["values"] or "").split(",")) if found["set"] else (found["value"],)
    if not all(map((_INTEGER if operator in {">", "<"} else _VALUE).fullmatch, values)):
        raise ValueError(item)
    return Requirement(key, {"=": "in", "==": "in", "!=": "notin"}.get(operator, operator), values)


def _compares(value: str, operator: str, bound: str) -> bool:
    if not _INTEGER.fullmatch(value):
        return False
    return int(value) > int(bound) if operator == ">" else int(value) < int(bound)
