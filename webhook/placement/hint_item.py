"""The preferred node affinity item that rule `capacity-hint` writes; its form is described in that rule."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from webhook.placement.model import MARKER
from webhook.policy.topology_presets import HOSTNAME
from webhook.workloads.pod_templates import PodTemplate
from webhook.workloads.unstructured import Unstructured, mapping, sequence, text

# kube-scheduler normalizes a pod's node preferences to 0-100, so any weight has the same effect if the item is the only
# one. A user's own preference of weight 100 outweighs it.
WEIGHT = 30
_MAX_SIZE_DIGITS = 10  # `replicas` is an int32

Items: TypeAlias = Sequence[tuple[int, Unstructured]]
"""Hint items with their index in the list; at most one, unless a user copied it."""


def carries_hint(template: PodTemplate) -> bool:
    """Return whether a pod spec has a hint, or had one before this update."""
    return bool(hint_items(template) or (template.before and hint_items(template.before)))


def hint_items(template: PodTemplate | None) -> Items:
    """Return the hint items of a pod spec."""
    node_affinity = mapping(template.spec, "affinity", "nodeAffinity") if template else {}
    items = sequence(node_affinity, "preferredDuringSchedulingIgnoredDuringExecution")
    return tuple((index, item) for index, item in enumerate(items) if any(map(_is_marker, _expressions(item))))


def hint_hostnames(items: Items) -> list[str]:
    """Return the hostnames in the first item."""
    return _values(items, HOSTNAME)


def planned_size(items: Items) -> int | None:
    """Return the size of the group that the nodes were planned for; None if the item has no size."""
    size = next(iter(_values(items, MARKER)), "")
    return int(size) if size.isascii() and size.isdigit() and len(size) <= _MAX_SIZE_DIGITS else None


def make_item(hostnames: Sequence[str], size: int) -> Mapping[str, Unstructured]:
    """Return the item that prefers nodes for a group of a size."""
    nodes = {"key": HOSTNAME, "operator": "In", "values": list(hostnames)}
    marker = {"key": MARKER, "operator": "NotIn", "values": [str(size)]}
    return {"weight": WEIGHT, "preference": {"matchExpressions": [nodes, marker]}}


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
