"""The preferred node affinity item that rule `capacity-hint` adds; `capacity.py` describes its form."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from webhook.mutators.selector import PREFERRED
from webhook.placement.model import MARKER
from webhook.policy.topology_presets import HOSTNAME
from webhook.workloads.pod_templates import PodTemplate
from webhook.workloads.unstructured import Unstructured, sequence, text

# kube-scheduler scales the sum of a pod's node preferences to 0-100, so the weight matters only beside the user's own
# preferences. One of those with the maximum weight of 100 outweighs the hint.
WEIGHT = 30
_MAX_SIZE_DIGITS = 10  # `replicas` is an int32

Items: TypeAlias = Sequence[tuple[int, Unstructured]]
"""Hint items with their indices in the list; more than one only if a user copied the item."""


def carries_hint(template: PodTemplate) -> bool:
    """Return whether a pod spec has a hint or had one before this update."""
    return bool(hint_items(template) or (template.before and hint_items(template.before)))


def hint_items(template: PodTemplate | None) -> Items:
    """Return the hint items of a pod spec."""
    items = sequence(template.spec, "affinity", "nodeAffinity", PREFERRED) if template else ()
    return tuple((index, item) for index, item in enumerate(items) if any(map(_is_marker, _expressions(item))))


def hint_hosts(items: Items) -> list[str]:
    """Return the host names in the first hint item."""
    return _values(items, HOSTNAME)


def planned_size(items: Items) -> int | None:
    """Return the group size for which the hosts were planned; None if the item does not contain it."""
    written = next(iter(_values(items, MARKER)), "")
    return int(written) if written.isascii() and written.isdigit() and len(written) <= _MAX_SIZE_DIGITS else None


def make_item(hosts: Sequence[str], size: int) -> Mapping[str, Unstructured]:
    """Return the item that prefers `hosts` for a group of `size` pods."""
    hostname = {"key": HOSTNAME, "operator": "In", "values": list(hosts)}
    marker = {"key": MARKER, "operator": "NotIn", "values": [str(size)]}
    return {"weight": WEIGHT, "preference": {"matchExpressions": [hostname, marker]}}


def _expressions(item: Unstructured) -> Sequence[Unstructured]:
    return sequence(item, "preference", "matchExpressions")


def _is_marker(expression: Unstructured) -> bool:
    return text(expression, "key") == MARKER and text(expression, "operator") in {"NotIn", "DoesNotExist"}


def _values(items: Items, key: str) -> list[str]:
    return [
        value
        for _, item in items[:1]
        for expression in _expressions(item)
        if text(expression, "key") == key
        for value in sequence(expression, "values")
        if isinstance(value, str)
    ]
