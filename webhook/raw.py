"""Reading raw Kubernetes objects, which stay the plain dicts and lists that JSON gave.

Null and absent are one: `make_cluster_spec` of dask-kubernetes writes `env: null` and `resources: null`, and
only an API server prunes them. A value of the wrong type reads as absent too: the API server's own validation
names it to the user.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Raw: TypeAlias = Any
"""A Kubernetes object, or a part of one, as parsed JSON. The package's only `Any`."""


def mapping(parent: Raw, *keys: str) -> Mapping[str, Raw]:
    """The object at the end of `keys` below `parent`; empty where anything on the way is missing."""
    for key in keys:
        parent = parent.get(key) if isinstance(parent, dict) else None
    return parent if isinstance(parent, dict) else {}


def sequence(parent: Raw, *keys: str) -> Sequence[Raw]:
    """The list at the end of `keys` below `parent`; empty where anything on the way is missing."""
    found = mapping(parent, *keys[:-1]).get(keys[-1])
    return found if isinstance(found, list) else ()


def text(parent: Raw, *keys: str) -> str | None:
    """The non-empty string at the end of `keys` below `parent`, or None."""
    found = mapping(parent, *keys[:-1]).get(keys[-1])
    return found if isinstance(found, str) and found else None


def texts(parent: Raw, *keys: str) -> dict[str, str]:
    """The object at the end of `keys` as labels or annotations: entries whose value is a string."""
    return {key: value for key, value in mapping(parent, *keys).items() if isinstance(value, str)}
