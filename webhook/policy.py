"""Annotations and an installation's defaults become a Policy. Every annotation key lives here.

Who wins, from the strongest: what the user wrote in the spec, an object's opt-out, the namespace's
annotation, the installation's default. Parsing is total: a usable policy always comes back, with what was
wrong beside it; a malformed value falls back to the installation's default, which ships as not enabled.
"""

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from webhook.presets import PRESETS
from webhook.raw import Raw

PREFIX = "colocate.dask.org/"
ENABLED = f"{PREFIX}enabled"


class Mode(StrEnum):
    """Whether decisions are patched in, or only told to the user."""

    ENFORCE = "enforce"
    WARN = "warn"


class WorkerCommand(StrEnum):
    """What the command of a worker becomes."""

    SCRIPT = "dask-cuda-worker"
    SUBCOMMAND = "dask cuda worker"
    KEEP = "keep"


class AffinityScope(StrEnum):
    """Which pods a worker is drawn to."""

    CLUSTER = "cluster"
    NAMESPACE = "namespace"


class GuideAffinity(StrEnum):
    """What becomes of the RAPIDS guide's own affinity term in a user's manifest."""

    KEEP = "keep"
    UPGRADE = "upgrade"


class TargetGroup(StrEnum):
    """What is patched: the Dask custom resources, the worker pods, or both."""

    RESOURCES = "resources"
    PODS = "pods"


@dataclass(frozen=True, slots=True)
class TopologyLevel:
    """One level that workers are kept together at.

    Attributes:
        key: A node label, such as `kubernetes.io/hostname`.
        weight: 1-100, the range of `preferredDuringSchedulingIgnoredDuringExecution`. Kubernetes refuses any
            other number, Dask's CRDs do not: the operator would then retry the Deployment for ever.
    """

    key: str
    weight: int


@dataclass(frozen=True, slots=True)
class Problem:
    """An annotation that could not be taken as it stands.

    Attributes:
        key: The annotation.
        text: One line for the user: key, value, what is accepted, what is used instead.
    """

    key: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds in a namespace. The defaults are the ones that ship; meaning is in `ANNOTATIONS`."""

    enabled: bool = False
    mode: Mode = Mode.ENFORCE
    gpu_limit: int = 1
    gpu_resource: str = "nvidia.com/gpu"
    worker_command: WorkerCommand = WorkerCommand.SCRIPT
    dask_cuda_version: tuple[int, int] | None = None
    topology: tuple[TopologyLevel, ...] = (TopologyLevel("kubernetes.io/hostname", 100),)
    affinity_scope: AffinityScope = AffinityScope.CLUSTER
    guide_affinity: GuideAffinity = GuideAffinity.KEEP
    apart: int = 0
    capacity_hint: bool = False
    scheduler_gpu: int | None = None
    targets: frozenset[TargetGroup] = frozenset(TargetGroup)
    problems: tuple[Problem, ...] = ()


# ---- the values -----------------------------------------------------------------------------------

# Falling by about a third from level to level, so that a nearer level outweighs all farther ones together.
# 30 for the second (rack) level is the weight measured on a real scheduler; nodes are not split for it.
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
_VERSION = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})(?:\.[0-9]+)?")


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _gpus(text: str) -> int:
    return _bounded(text, 0, MOST_GPUS)


def _weight(text: str) -> int:
    return _bounded(text, 0, 100)


def _bounded(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise ValueError(text)
    return int(text)


def _scheduler_gpu(text: str) -> int | None:
    return None if text == "keep" else _gpus(text)


def _extended_resource(text: str) -> str:
    if not _EXTENDED_RESOURCE.fullmatch(text):
        raise ValueError(text)
    return text


def _version(text: str) -> tuple[int, int]:
    found = _VERSION.fullmatch(text)
    if not found:
        raise ValueError(text)
    return int(found[1]), int(found[2])


def _topology(text: str) -> tuple[TopologyLevel, ...]:
    if text == "none":
        return ()
    items = PRESETS.get(text) or text.split(",")
    if len(items) > len(FALLING_WEIGHTS):
        raise ValueError(text)
    levels = tuple(map(_topology_level, items, FALLING_WEIGHTS))
    if len({level.key for level in levels}) < len(levels):
        raise ValueError(text)
    return levels


def _topology_level(item: str, weight: int) -> TopologyLevel:
    key, equals, written = item.strip().partition("=")
    if not _LABEL_KEY.fullmatch(key):
        raise ValueError(item)
    return TopologyLevel(key, _bounded(written, 1, 100) if equals else weight)


def _targets(text: str) -> frozenset[TargetGroup]:
    return frozenset(TargetGroup(item.strip()) for item in text.split(","))


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation of a Namespace.

    Attributes:
        name: The key behind `PREFIX`; `-` for `_`, it is the field's name in `Policy`.
        accepted: The values, as a user reads them.
        meaning: One line.
        parse: Text to value; raises ValueError or KeyError for anything else.
        unset: How having no value is spelled.
    """

    name: str
    accepted: str
    meaning: str
    parse: Callable[[str], Raw]
    unset: str = "unset"

    @property
    def key(self) -> str:
        """The whole key, as it stands on a Namespace."""
        return f"{PREFIX}{self.name}"

    @property
    def field(self) -> str:
        """The name of the field in `Policy`."""
        return self.name.replace("-", "_")

    def value(self, policy: Policy) -> str:
        """What the policy holds, in the spelling the annotation takes."""
        return _written(getattr(policy, self.field), self.unset)


ANNOTATIONS = (
    Annotation("enabled", "true, false", "whether this namespace is served", _boolean),
    Annotation("mode", "enforce, warn", "`warn`: nothing is patched; the user is told what would be", Mode),
    Annotation(
        "gpu-limit",
        f"a whole number, 0-{MOST_GPUS}",
        "GPUs for each worker container; `0` leaves resources alone",
        _gpus,
    ),
    Annotation(
        "gpu-resource",
        "an extended resource, such as nvidia.com/gpu",
        "also MIG slices and other vendors",
        _extended_resource,
    ),
    Annotation(
        "worker-command",
        "dask-cuda-worker, dask cuda worker, keep",
        "what a worker's command becomes",
        WorkerCommand,
    ),
    Annotation(
        "dask-cuda-version",
        "YY.MM, such as 24.12",
        "which options the image's dask-cuda takes; unset: those common to all versions",
        _version,
    ),
    Annotation(
        "topology",
        f"none, {', '.join(PRESETS)}, or up to {len(FALLING_WEIGHTS)} key[=weight] with weights 1-100",
        "the node labels workers are kept together at, nearest first, comma separated",
        _topology,
    ),
    Annotation(
        "affinity-scope",
        "cluster, namespace",
        "`cluster`: drawn to workers of the same cluster; `namespace`: to any Dask worker there",
        AffinityScope,
    ),
    Annotation(
        "guide-affinity",
        "keep, upgrade",
        "whether the RAPIDS guide's own term in a manifest may be replaced by ours",
        GuideAffinity,
    ),
    Annotation("apart", "a whole number, 0-100", "weight for hosts that hold no other cluster's workers", _weight),
    Annotation(
        "capacity-hint",
        "true, false",
        "also prefer the hosts where the whole cluster fits",
        _boolean,
    ),
    Annotation(
        "scheduler-gpu",
        f"keep, or a whole number, 0-{MOST_GPUS}",
        "GPUs for the Dask scheduler; `keep` leaves it as written",
        _scheduler_gpu,
        unset="keep",
    ),
    Annotation(
        "targets",
        "resources, pods, or both comma separated",
        "`pods` alone leaves custom resources as Git has them",
        _targets,
    ),
)

_BY_KEY = {annotation.key: annotation for annotation in ANNOTATIONS}


# ---- resolving ------------------------------------------------------------------------------------


def resolve(annotations: Mapping[str, str], defaults: Policy | None = None) -> Policy:
    """The policy of a namespace. Never raises: what could not be taken is in `problems`.

    Args:
        annotations: All annotations of the Namespace; those outside `PREFIX` are not looked at.
        defaults: The installation's; where none are given, the ones that ship.
    """
    defaults = defaults or Policy()
    values: dict[str, Raw] = {}
    problems: list[Problem] = []
    for key in sorted(key for key in annotations if key.startswith(PREFIX)):
        annotation = _BY_KEY.get(key)
        if annotation is None:
            problems.append(_unknown(key))
            continue
        try:
            values[annotation.field] = annotation.parse(annotations[key].strip())
        except (ValueError, KeyError):
            problems.append(_malformed(annotation, annotations[key], defaults))
    return dataclasses.replace(defaults, **values, problems=tuple(problems))


def opted_out(annotations: Iterable[Mapping[str, str]]) -> bool:
    """Whether any of an object's annotations take it out. Only the exact `false` does; see `object_problems`."""
    return any(each.get(ENABLED, "").strip() == "false" for each in annotations)


def object_problems(annotations: Iterable[Mapping[str, str]]) -> tuple[Problem, ...]:
    """What is wrong with our annotations on an object, where only `enabled` has a meaning."""
    return tuple(problem for each in annotations for problem in _on_object(each))


def _on_object(annotations: Mapping[str, str]) -> tuple[Problem, ...]:
    problems = []
    for key in sorted(key for key in annotations if key.startswith(PREFIX)):
        if key != ENABLED:
            problems.append(Problem(key, f"{key} has no effect here: it belongs on the Namespace"))
        elif annotations[key].strip() not in {"true", "false"}:
            problems.append(Problem(key, f'{key}={_shown(annotations[key])}: only "false" opts an object out'))
    return tuple(problems)


def _unknown(key: str) -> Problem:
    near = difflib.get_close_matches(key, _BY_KEY, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return Problem(key, f"namespace annotation {_shown(key)} is unknown{hint}")


def _malformed(annotation: Annotation, text: str, defaults: Policy) -> Problem:
    used = annotation.value(defaults)
    found = f"namespace annotation {annotation.key}={_shown(text)}"
    return Problem(annotation.key, f"{found}: accepted: {annotation.accepted}; using {used}")


def _shown(text: str) -> str:
    """Quoted and short: an annotation may be 256 KiB of anything, a warning header may not."""
    most = 40
    return ascii(text if len(text) <= most else f"{text[:most]}...")


def _written(value: Raw, unset: str) -> str:
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
