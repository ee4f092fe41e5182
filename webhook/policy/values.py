"""Parsers and formatter of annotation values. A parser raises ValueError or KeyError for a malformed value."""

import difflib
import re
from collections.abc import Sequence

from webhook.policy import label_selector
from webhook.policy.label_selector import LabelSelector
from webhook.policy.model import GpuWorkers, TargetGroup, TopologyLevel
from webhook.policy.topology_presets import PRESETS
from webhook.workloads.unstructured import Unstructured

# Weights drop to about a third per level, so that a nearer level outweighs all farther levels together. With 30 for the
# second level, a rack, replays on a real scheduler used close to the minimum number of racks; the number of nodes grew
# by a few hundredths of the minimum (`make bench-placement`).
FALLING_WEIGHTS = (100, 30, 10, 3, 1)

# No node has more than 1000 GPUs; the limit keeps typing errors out of pod specs.
MOST_GPUS = 1000

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = rf"(?=.{{1,253}}/){_LABEL}(?:\.{_LABEL})*"
# Label key, as in Kubernetes' IsQualifiedName: an optional DNS prefix and a name of at most 63 characters.
_LABEL_KEY = re.compile(rf"(?:{_DOMAIN}/)?{_NAME}")
# Extended resource, as in Kubernetes' IsExtendedResourceName: a domain is required, kubernetes.io is not allowed.
_EXTENDED_RESOURCE = re.compile(rf"(?!requests\.)(?!(?:[^/]*\.)?kubernetes\.io/){_DOMAIN}/{_NAME}")
OLDEST_DASK_CUDA = (21, 12)
"""Oldest supported dask-cuda. If the version is unknown, only options of this and all later versions are used."""
_MONTHS = 12
_VERSION = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})(?:\.[0-9]+)?")


def boolean(text: str) -> bool:
    """Parse `true` or `false`."""
    return {"true": True, "false": False}[text]


def gpus(text: str) -> int:
    """Parse a number of GPUs, 0 to `MOST_GPUS`."""
    return _integer(text, 0, MOST_GPUS)


# Words that are also valid label keys.
_KEYWORDS = ("all", "any", "false", "none", "off", "on", "requested", "true")


def gpu_workers(text: str) -> GpuWorkers | LabelSelector:
    """Parse `all`, `requested` or a label selector; reject misspelled keywords, which would match no pod."""
    if text in {"all", "requested"}:
        return GpuWorkers(text)
    if text.isalpha() and difflib.get_close_matches(text.lower(), _KEYWORDS, n=1, cutoff=0.65):
        raise ValueError(text)
    return label_selector.parse(text)


def weight(text: str) -> int:
    """Parse a weight, 0 (off) to 100."""
    return _integer(text, 0, 100)


def _integer(text: str, minimum: int, maximum: int) -> int:
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(maximum))
    if not digits or not minimum <= int(text) <= maximum:
        raise ValueError(text)
    return int(text)


def scheduler_gpu(text: str) -> int | None:
    """Parse a number of GPUs, or `keep` (None)."""
    return None if text == "keep" else gpus(text)


def extended_resource(text: str) -> str:
    """Parse the name of an extended resource."""
    if not _EXTENDED_RESOURCE.fullmatch(text):
        raise ValueError(text)
    return text


def version(text: str) -> tuple[int, int]:
    """Parse a RAPIDS release `YY.MM` or `YY.MM.PATCH`; reject versions of CUDA (12.2) and old dask-cuda (0.19)."""
    match = _VERSION.fullmatch(text)
    release = (int(match[1]), int(match[2])) if match else (0, 0)
    if release < OLDEST_DASK_CUDA or not 1 <= release[1] <= _MONTHS:
        raise ValueError(text)
    return release


def topology(text: str) -> tuple[TopologyLevel, ...]:
    """Parse `none`, a preset, or `key[=weight]` items, nearest first."""
    if text == "none":
        return ()
    items = PRESETS.get(text) or text.split(",")
    if len(items) > len(FALLING_WEIGHTS):
        raise ValueError(text)
    levels: list[TopologyLevel] = []
    for item in items:
        levels.append(_topology_level(item, _default_weight(levels)))
    if len({level.key for level in levels}) < len(levels):
        raise ValueError(text)
    return tuple(levels)


def _default_weight(nearer: Sequence[TopologyLevel]) -> int:
    """Return the weight of a level without an explicit one: that of `FALLING_WEIGHTS`, or less.

    It is scaled down if the previous level has a lower weight than usual: `rack=50` is followed by 15, 5, 1 and 1.
    """
    default = FALLING_WEIGHTS[len(nearer)]
    if not nearer:
        return default
    return max(1, min(default, nearer[-1].weight * default // FALLING_WEIGHTS[len(nearer) - 1]))


def _topology_level(item: str, weight: int) -> TopologyLevel:
    key, equals, number = item.strip().partition("=")
    if not _LABEL_KEY.fullmatch(key) or _resembles_keyword(key):
        raise ValueError(item)
    return TopologyLevel(key, _integer(number, 1, 100) if equals else weight)


def _resembles_keyword(key: str) -> bool:
    """Return whether a key is a misspelled or misplaced preset or `none`, which no node has as a label.

    The cutoffs reject `aks`, one letter from `gke`, but accept `zone` and `node`, which resemble `none`.
    """
    name = key.lower()
    return "/" not in key and bool(
        difflib.get_close_matches(name, PRESETS, cutoff=0.65) or difflib.get_close_matches(name, ["none"], cutoff=0.8)
    )


def targets(text: str) -> frozenset[TargetGroup]:
    """Parse comma-separated target groups."""
    return frozenset(TargetGroup(item.strip()) for item in text.split(","))


def format_value(value: Unstructured, unset: str) -> str:
    """Return a value of a policy as annotation text; `unset` for None."""
    match value:
        case bool():
            return str(value).lower()
        case None:
            return unset
        case (int(major), int(minor)):
            return f"{major:02}.{minor:02}"
        case tuple():
            return ",".join(f"{level.key}={level.weight}" for level in value) or "none"
        case frozenset():
            return ",".join(sorted(value, reverse=True))
        case _:
            return str(value)
