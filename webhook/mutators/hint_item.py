"""The node affinity item that rule `capacity-hint` writes; see there for its form."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from webhook.mutators.selector import PREFERRED
from webhook.placement.model import MARKER
from webhook.policy.topology_presets import HOSTNAME
from webhook.workloads.pod_templates import PodTemplate
from webhook.workloads.unstructured import Unstructured, mapping, sequence, text

# kube-scheduler scales a pod's node preferences to 0-100: where this is the only one, any weight does the same. Beside
# the user's own it is one of several, and a preference of weight 100 outweighs it.
WEIGHT = 30
_LONGEST_SIZE = 10  # digits: `replicas` is an int32

Items: TypeAlias = Sequence[tuple[int, Unstructured]]
"""Items of a hint, each with its place in the list; at most one, unless a user copied it."""


def carries_hint(target: PodTemplate) -> bool:
    """Return whether a pod spec has a hint, or had one before this update."""
    return bool(items_of(target) or (target.before and items_of(target.before)))


def items_of(target: PodTemplate | None) -> Items:
    """Return the items of a hint in a pod spec."""
    found = sequence(mapping(target.spec, "affinity", "nodeAffinity"), PREFERRED) if target else ()
    return tuple((place, item) for place, item in enumerate(found) if any(map(_marks, _expressions(item))))


def hosts_of(items: Items) -> list[str]:
    """Return the hosts that an item names."""
    return _values(items, HOSTNAME)


def size_of(items: Items) -> int | None:
    """Return the size of the group that the hosts were planned for; None where the item does not say."""
    written = next(iter(_values(items, MARKER)), "")
    return int(written) if written.isascii() and written.isdigit() and len(written) <= _LONGEST_SIZE else None


def item_for(hosts: Sequence[str], size: int) -> Mapping[str, Unstructured]:
    """Return the item that names hosts for a group of a size."""
    named = {"key": HOSTNAME, "operator": "In", "values": list(hosts)}
    marker = {"key": MARKER, "operator": "NotIn", "values": [str(size)]}
    return {"weight": WEIGHT, "preference": {"matchExpressions": [named, marker]}}


def _expressions(item: Unstructured) -> Sequence[Unstructured]:
    return sequence(item, "preference", "matchExpressions")


def _marks(expression: Unstructured) -> bool:
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
