"""Annotations and an installation's defaults become a Policy. Every annotation key lives here.

Who wins, from the strongest: what the user wrote in the spec, an object's opt-out, the namespace's
annotation, the installation's default. Parsing is total: a usable policy always comes back, with what was
wrong beside it; a malformed value falls back to the installation's default, which ships as not enabled.
"""

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from webhook.policy import values
from webhook.policy.label_selector import LabelSelector
from webhook.policy.model import (
    AffinityScope,
    Annotations,
    DaskCli,
    GpuWorkers,
    GuideAffinity,
    Mode,
    Policy,
    Problem,
    SchedulerPlacement,
    TargetGroup,
    TopologyLevel,
    WorkerCommand,
)
from webhook.policy.topology_presets import PRESETS
from webhook.policy.values import OLDEST_DASK_CUDA
from webhook.workloads.unstructured import Unstructured

__all__ = [
    "ANNOTATIONS",
    "ENABLED",
    "OLDEST_DASK_CUDA",
    "PREFIX",
    "AffinityScope",
    "Annotation",
    "Annotations",
    "DaskCli",
    "GpuWorkers",
    "GuideAffinity",
    "LabelSelector",
    "Mode",
    "Policy",
    "Problem",
    "SchedulerPlacement",
    "TargetGroup",
    "TopologyLevel",
    "WorkerCommand",
    "object_problems",
    "opted_out",
    "refusals",
    "resolve",
]

PREFIX = "colocate.dask.org/"
ENABLED = f"{PREFIX}enabled"


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
    parse: Callable[[str], Unstructured]
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
        return values.written(getattr(policy, self.field), self.unset)


ANNOTATIONS = (
    Annotation("enabled", "true, false", "whether this namespace is served", values.boolean),
    Annotation("mode", "enforce, warn", "`warn`: nothing is patched; the user is told what would be", Mode),
    Annotation(
        "gpu-workers",
        "all, requested, or a label selector such as dask.org/workergroup-name in (big), tier!=cpu",
        "which workers are GPU workers where their pods do not say: all, none but those that request a GPU, or those "
        "whose pod labels match; a CPU worker is left unmodified",
        values.gpu_workers,
    ),
    Annotation(
        "gpu-limit",
        f"a whole number, 0-{values.MOST_GPUS}",
        "GPUs for each worker container; `0` leaves resources alone",
        values.gpus,
    ),
    Annotation(
        "gpu-resource",
        "an extended resource, such as nvidia.com/gpu",
        "also MIG slices and other vendors",
        values.extended_resource,
    ),
    Annotation(
        "worker-command",
        "dask-cuda-worker, dask cuda worker, keep",
        "what a worker's command becomes; `python -m` stays: it becomes `python -m dask cuda worker`",
        WorkerCommand,
    ),
    Annotation(
        "dask-cuda-version",
        f"a release YY.MM from {OLDEST_DASK_CUDA[0]}.{OLDEST_DASK_CUDA[1]} on, such as 24.12",
        "which options the image's dask-cuda takes; unset: those common to all versions",
        values.version,
    ),
    Annotation(
        "dask-cli",
        "keep, subcommands",
        "`subcommands`: `dask-scheduler` and a plain `dask-worker`, gone since distributed 2026.6, become `dask "
        "scheduler` and `dask worker`",
        DaskCli,
    ),
    Annotation(
        "topology",
        f"none, {', '.join(PRESETS)}, or up to {len(values.FALLING_WEIGHTS)} key[=weight] with weights 1-100",
        "the node labels workers are kept together at, nearest first, comma separated",
        values.topology,
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
    Annotation(
        "apart", "a whole number, 0-100", "weight for hosts that hold no other cluster's workers", values.weight
    ),
    Annotation(
        "emptier-first",
        "true, false",
        "workers without CPU and memory requests begin on hosts with the fewest workers of other clusters",
        values.boolean,
    ),
    Annotation(
        "capacity-hint",
        "true, false",
        "also prefer the hosts where the whole cluster fits",
        values.boolean,
    ),
    Annotation(
        "scheduler-gpu",
        f"keep, or a whole number, 0-{values.MOST_GPUS}",
        "GPUs for the Dask scheduler; `keep` leaves it as written",
        values.scheduler_gpu,
        unset="keep",
    ),
    Annotation(
        "scheduler-placement",
        "share, keep",
        "`share`: a Dask scheduler that holds a GPU prefers nodes that run other Dask schedulers, and workers avoid "
        "their own scheduler's node",
        SchedulerPlacement,
    ),
    Annotation(
        "targets",
        "resources, pods, or both comma separated",
        "`pods` alone leaves custom resources as Git has them",
        values.targets,
    ),
)

# Problems that are told: an object may carry thousands of keys, and an answer takes milliseconds.
_MOST_PROBLEMS = 20

_BY_KEY = {annotation.key: annotation for annotation in ANNOTATIONS}


# ---- resolving ------------------------------------------------------------------------------------


def resolve(annotations: Mapping[str, str], defaults: Policy | None = None) -> Policy:
    """The policy of a namespace. Never raises: what could not be taken is in `problems`.

    Args:
        annotations: All annotations of the Namespace; those outside `PREFIX` are not looked at.
        defaults: The installation's; where none are given, the ones that ship.
    """
    defaults = defaults or Policy()
    found: dict[str, Unstructured] = {}
    problems: list[Problem] = []
    for key in sorted(key for key in annotations if key.startswith(PREFIX)):
        annotation = _BY_KEY.get(key)
        if annotation is None:
            problems += [_unknown(key)] if len(problems) < _MOST_PROBLEMS else []
            continue
        try:
            found[annotation.field] = annotation.parse(annotations[key].strip())
        except (ValueError, KeyError):
            problems.append(_malformed(annotation, annotations[key], defaults))
    return dataclasses.replace(defaults, **found, problems=tuple(problems))


def refusals(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """What is wrong with annotations that somebody is about to make: a line each with key, value, what is accepted."""
    return tuple(line for key, written in annotations.items() if (line := _refusal(key, written)))


def _refusal(key: str, written: str) -> str | None:
    annotation = _BY_KEY.get(key)
    if annotation is None:
        name = key.removeprefix(PREFIX)
        near = difflib.get_close_matches(name, [each.name for each in ANNOTATIONS], n=1) or [
            each.name for each in ANNOTATIONS
        ]
        return f"{name}={_shown(written)}: there is no {_shown(name)}; accepted: {', '.join(near)}"
    try:
        annotation.parse(written.strip())
    except (ValueError, KeyError):
        return f"{annotation.name}={_shown(written)}: accepted: {annotation.accepted}"
    return None


def opted_out(annotations: Iterable[Mapping[str, str]]) -> bool:
    """Whether any of an object's annotations take it out. Only the exact `false` does; see `object_problems`."""
    return any(each.get(ENABLED, "").strip() == "false" for each in annotations)


def object_problems(annotations: Iterable[Mapping[str, str]]) -> tuple[Problem, ...]:
    """What is wrong with our annotations on an object, where only `enabled` has a meaning."""
    return tuple(problem for each in annotations if each for problem in _on_object(each))


def _on_object(annotations: Mapping[str, str]) -> tuple[Problem, ...]:
    problems = []
    for key in sorted(islice((key for key in annotations if key.startswith(PREFIX)), _MOST_PROBLEMS)):
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
