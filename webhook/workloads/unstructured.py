"""Accessors for unstructured Kubernetes objects, which stay the dicts and lists that JSON parsing returns.

A field that is null counts as absent: `make_cluster_spec` of dask-kubernetes writes `env: null` and `resources: null`,
and only an API server prunes them. So does a value of the wrong type: the API server's validation reports it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Unstructured: TypeAlias = Any
"""Kubernetes object, or a part of one, as parsed JSON. The package's only `Any`."""

_MAX_LENGTH = 64  # characters of a value in a message


class TooLargeError(ValueError):
    """Error for input with more items than any real object has: processing them would delay other requests."""

    def __init__(self, items: str, limit: int) -> None:
        """Name the items and their limit."""
        super().__init__(f"more than {limit} {items}; skipped")


def mapping(parent: Unstructured, *keys: str) -> Mapping[str, Unstructured]:
    """Return the object at the path `keys` below `parent`; empty if any part of the path is absent."""
    for key in keys:
        parent = parent.get(key) if isinstance(parent, dict) else None
    return parent if isinstance(parent, dict) else {}


def sequence(parent: Unstructured, *keys: str) -> Sequence[Unstructured]:
    """Return the list at the path `keys` below `parent`; empty if any part of the path is absent."""
    for key in keys:
        parent = parent.get(key) if isinstance(parent, dict) else None
    return parent if isinstance(parent, list) else ()


def text(parent: Unstructured, *keys: str) -> str | None:
    """Return the non-empty string at the path `keys` below `parent`, or None."""
    for key in keys:
        parent = parent.get(key) if isinstance(parent, dict) else None
    return parent if isinstance(parent, str) and parent else None


def to_text(value: Unstructured) -> str:
    """Return a scalar as text, truncated; for an object or a list only the name of its type."""
    result = type(value).__name__ if isinstance(value, (dict, list)) else str(value)
    return result if len(result) <= _MAX_LENGTH else f"{result[:_MAX_LENGTH]}..."


def texts(parent: Unstructured, *keys: str) -> dict[str, str]:
    """Return the labels or annotations at the path `keys` below `parent`: the entries whose value is a string."""
    return {key: value for key, value in mapping(parent, *keys).items() if isinstance(value, str)}
