"""Annotation values: text to value, and back. Each parser raises ValueError or KeyError for anything else."""

import difflib
import re
from collections.abc import Sequence

from webhook.policy import label_selector
from webhook.policy.label_selector import LabelSelector
from webhook.policy.model import GpuWorkers, TargetGroup, TopologyLevel
from webhook.policy.topology_presets import PRESETS
from webhook.workloads.unstructured import Unstructured

# Falling to about a third from level to level, so that a nearer level outweighs all farther ones together.
# With 30 for the second level, a rack, replays on a real scheduler brought racks near the fewest, for a few
# hundredths more on nodes (`make bench-placement`).
FALLING_WEIGHTS = (100, 30, 10, 3, 1)

# A node with more than 1000 GPUs does not exist; the bound keeps a slip of the finger out of pod specs.
MOST_GPUS = 1000

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = rf"(?=.{{1,253}}/){_LABEL}(?:\.{_LABEL})*"
# A label key as Kubernetes validates it (IsQualifiedName): an optional DNS prefix, a name of at most 63.
_LABEL_KEY = re.compile(rf"(?:{_DOMAIN}/)?{_NAME}")
# An extended resource (IsExtendedResourceName): always with a domain, never Kubernetes' own.
_EXTENDED_RESOURCE = re.compile(rf"(?!requests\.)(?!(?:[^/]*\.)?kubernetes\.io/){_DOMAIN}/{_NAME}")
OLDEST_DASK_CUDA = (21, 12)
"""The oldest supported dask-cuda. If an image's is unknown, an option must be in this one and in all later ones."""
_MONTHS = 12
_VERSION = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})(?:\.[0-9]+)?")


def boolean(text: str) -> bool:
    """`true` or `false`."""
    return {"true": True, "false": False}[text]


def gpus(text: str) -> int:
    """A number of GPUs, 0 to `MOST_GPUS`."""
    return _bounded(text, 0, MOST_GPUS)


# Words that a selector would take for the key of a label.
_WORDS = ("all", "any", "false", "none", "off", "on", "requested", "true")


def gpu_workers(text: str) -> GpuWorkers | LabelSelector:
    """`all`, `requested` or a label selector; a misspelt word is no label that pods carry."""
    if text in {"all", "requested"}:
        return GpuWorkers(text)
    if text.isalpha() and difflib.get_close_matches(text.lower(), _WORDS, n=1, cutoff=0.65):
        raise ValueError(text)
    return label_selector.parse(text)


def weight(text: str) -> int:
    """A weight that may be off: 0-100."""
    return _bounded(text, 0, 100)


def _bounded(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise ValueError(text)
    return int(text)


def scheduler_gpu(text: str) -> int | None:
    """A number of GPUs, or None for `keep`."""
    return None if text == "keep" else gpus(text)


def extended_resource(text: str) -> str:
    """An extended resource's name."""
    if not _EXTENDED_RESOURCE.fullmatch(text):
        raise ValueError(text)
    return text


def version(text: str) -> tuple[int, int]:
    """Parse a release of RAPIDS, `YY.MM`, with or without a patch level: not CUDA's 12.2, nor dask-cuda's 0.19."""
    found = _VERSION.fullmatch(text)
    release = (int(found[1]), int(found[2])) if found else (0, 0)
    if release < OLDEST_DASK_CUDA or not 1 <= release[1] <= _MONTHS:
        raise ValueError(text)
    return release


def topology(text: str) -> tuple[TopologyLevel, ...]:
    """`none`, a preset, or `key[=weight]` nearest first; see `_falling` for a level without weight."""
    if text == "none":
        return ()
    items = PRESETS.get(text) or text.split(",")
    if len(items) > len(FALLING_WEIGHTS):
        raise ValueError(text)
    levels: list[TopologyLevel] = []
    for item in items:
        levels.append(_topology_level(item, _falling(levels)))
    if len({level.key for level in levels}) < len(levels):
        raise ValueError(text)
    return tuple(levels)


def _falling(nearer: Sequence[TopologyLevel]) -> int:
    """The weight of a level that names none: that of `FALLING_WEIGHTS`, or less where the one before weighs less.

    It then falls from the one before as much as it would have: behind `rack=50` come 15, 5, 1 and 1.
    """
    usual = FALLING_WEIGHTS[len(nearer)]
    if not nearer:
        return usual
    return max(1, min(usual, nearer[-1].weight * usual // FALLING_WEIGHTS[len(nearer) - 1]))


def _topology_level(item: str, weight: int) -> TopologyLevel:
    key, equals, written = item.strip().partition("=")
    if not _LABEL_KEY.fullmatch(key) or _looks_like_a_word(key):
        raise ValueError(item)
    return TopologyLevel(key, _bounded(written, 1, 100) if equals else weight)


def _looks_like_a_word(key: str) -> bool:
    """Whether a key is a preset or `none`, misspelt or where it has no meaning: no node carries such a label.

    A key is near a preset where one letter of `gke` differs, as in `aks`; near `none` it has to be closer than `zone`
    and `node`, which are names of levels.
    """
    low = key.lower()
    return "/" not in key and bool(
        difflib.get_close_matches(low, PRESETS, cutoff=0.65) or difflib.get_close_matches(low, ["none"], cutoff=0.8)
    )


def targets(text: str) -> frozenset[TargetGroup]:
    """Target groups, comma separated."""
    return frozenset(TargetGroup(item.strip()) for item in text.split(","))


def written(value: Unstructured, unset: str) -> str:
    """A policy value in the spelling that its annotation takes; `unset` for None."""
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
