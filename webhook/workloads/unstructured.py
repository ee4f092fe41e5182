"""Reading raw Kubernetes objects, which stay the plain dicts and lists that JSON gave.

Null and absent are one: `make_cluster_spec` of dask-kubernetes writes `env: null` and `resources: null`, and
only an API server prunes them. A value of the wrong type reads as absent too: the API server's own validation
names it to the user.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Unstructured: TypeAlias = Any
"""A Kubernetes object, or a part of one, as parsed JSON. The package's only `Any`."""

_LONGEST = 64  # characters of a value in a message


class TooLargeError(ValueError):
    """There is far more of something than anyone writes: reading it all would keep everybody else waiting."""

    def __init__(self, what: str, most: int) -> None:
        """There are more than `most` of `what`."""
        super().__init__(f"more than {most} {what}; left alone")


def mapping(parent: Unstructured, *keys: str) -> Mapping[str, Unstructured]:
    """The object at the end of `keys` below `parent`; empty where anything on the way is missing."""
    for key in keys:
        parent = parent.get(key) if isinstance(parent, dict) else None
    return parent if isinstance(parent, dict) else {}


def sequence(parent: Unstructured, *keys: str) -> Sequence[Unstructured]:
    """The list at the end of `keys` below `parent`; empty where anything on the way is missing."""
    for key in keys:
        parent = parent.get(key) if isinstance(parent, dict) else None
    return parent if isinstance(parent, list) else ()


def text(parent: Unstructured, *keys: str) -> str | None:
    """The non-empty string at the end of `keys` below `parent`, or None."""
    for key in keys:
        parent = parent.get(key) if isinstance(parent, dict) else None
    return parent if isinstance(parent, str) and parent else None


def to_text(value: Unstructured) -> str:
    """A string, number, boolean or null as text, shortened; for anything that holds others, only what it is."""
    found = type(value).__name__ if isinstance(value, (dict, list)) else str(value)
    return found if len(found) <= _LONGEST else f"{found[:_LONGEST]}..."


def texts(parent: Unstructured, *keys: str) -> dict[str, str]:
    """The object at the end of `keys` as labels or annotations: entries whose value is a string."""
    return {key: value for key, value in mapping(parent, *keys).items() if isinstance(value, str)}
