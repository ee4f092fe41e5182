"""Policy of a namespace, resolved from its annotations and the defaults of the installation.

Precedence, highest first: the user's spec, the object's opt-out, the namespace's annotation, the installation's
default. `resolve` never fails: a malformed value falls back to the installation's default and is reported as a problem.
`ANNOTATIONS` defines every annotation key.
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
    "resolve",
    "validation_errors",
]

PREFIX = "colocate.dask.org/"
ENABLED = f"{PREFIX}enabled"


@dataclass(frozen=True, slots=True)
class Annotation:
    """Annotation of a Namespace.

    Attributes:
        name: The key without `PREFIX`. With `_` for `-` it is the name of the field in `Policy`.
        accepted: Accepted values, for users.
        meaning: Description in one line, for users.
        parse: Parser of a value; raises ValueError or KeyError for a malformed one.
        unset: Text that stands for no value.
    """

    name: str
    accepted: str
    meaning: str
    parse: Callable[[str], Unstructured]
    unset: str = "unset"

    @property
    def key(self) -> str:
        """Key of the annotation, prefix included."""
        return f"{PREFIX}{self.name}"

    @property
    def field(self) -> str:
        """Name of the field in `Policy`."""
        return self.name.replace("-", "_")

    def value(self, policy: Policy) -> str:
        """Return the policy's value as text that `parse` accepts, or `unset`."""
        return values.format_value(getattr(policy, self.field), self.unset)


ANNOTATIONS = (
    Annotation("enabled", "true, false", "whether the webhook mutates objects in this namespace", values.boolean),
    Annotation(
        "mode",
        "enforce, warn",
        "`enforce`: objects are patched; `warn`: nothing is patched, warnings describe what would change",
        Mode,
    ),
    Annotation(
        "gpu-workers",
        "all, requested, or a label selector such as dask.org/workergroup-name in (big), tier!=cpu",
        "which workers are GPU workers if their pods do not show it: all, only those that request a GPU, or those "
        "whose pod labels match; CPU workers are not modified",
        values.gpu_workers,
    ),
    Annotation(
        "gpu-limit",
        f"a whole number, 0-{values.MOST_GPUS}",
        "GPU limit that is added to each worker container; `0`: none",
        values.gpus,
    ),
    Annotation(
        "gpu-resource",
        "an extended resource, such as nvidia.com/gpu",
        "resource name of the GPU limit; also MIG slices and devices of other vendors",
        values.extended_resource,
    ),
    Annotation(
        "worker-command",
        "dask-cuda-worker, dask cuda worker, keep",
        "command that replaces `dask-worker` and `dask worker`; `python -m` becomes `python -m dask cuda worker`",
        WorkerCommand,
    ),
    Annotation(
        "dask-cuda-version",
        f"a release YY.MM from {OLDEST_DASK_CUDA[0]}.{OLDEST_DASK_CUDA[1]} on, such as 24.12",
        "version of dask-cuda in the image, which determines the options it accepts; unset: only the options common to "
        "all versions",
        values.version,
    ),
    Annotation(
        "dask-cli",
        "keep, subcommands",
        "`subcommands`: `dask scheduler` and `dask worker` replace the scripts `dask-scheduler` and `dask-worker`, "
        "which distributed 2026.6 removed",
        DaskCli,
    ),
    Annotation(
        "topology",
        f"none, {', '.join(PRESETS)}, or up to {len(values.FALLING_WEIGHTS)} key[=weight] with weights 1-100",
        "topology keys (node labels) at which workers are co-located, nearest first, comma-separated",
        values.topology,
    ),
    Annotation(
        "affinity-scope",
        "cluster, namespace",
        "workers prefer nodes that already run workers of the same `cluster`, or any Dask workers of the `namespace`",
        AffinityScope,
    ),
    Annotation(
        "guide-affinity",
        "keep, upgrade",
        "`upgrade`: the webhook's affinity replaces the affinity term of the RAPIDS guide in a manifest",
        GuideAffinity,
    ),
    Annotation(
        "apart",
        "a whole number, 0-100",
        "weight of the preference for nodes without workers of other clusters; `0`: no preference",
        values.weight,
    ),
    Annotation(
        "emptier-first",
        "true, false",
        "whether workers without CPU and memory requests prefer nodes with fewer workers of other clusters",
        values.boolean,
    ),
    Annotation(
        "capacity-hint",
        "true, false",
        "whether workers also prefer the nodes with enough free GPUs for the whole cluster",
        values.boolean,
    ),
    Annotation(
        "scheduler-gpu",
        f"keep, or a whole number, 0-{values.MOST_GPUS}",
        "GPU limit of the Dask scheduler; `keep`: the limit in the manifest",
        values.scheduler_gpu,
        unset="keep",
    ),
    Annotation(
        "scheduler-placement",
        "share, keep",
        "`share`: a Dask scheduler with a GPU prefers nodes that run other Dask schedulers, and workers avoid the node "
        "of their own scheduler",
        SchedulerPlacement,
    ),
    Annotation(
        "targets",
        "resources, pods, or both comma separated",
        "which objects are patched; `pods` alone keeps custom resources identical to the manifests in Git",
        values.targets,
    ),
)

# An object may carry thousands of keys; the response has to follow within milliseconds.
_MAX_PROBLEMS = 20

_BY_KEY = {annotation.key: annotation for annotation in ANNOTATIONS}


def resolve(annotations: Mapping[str, str], defaults: Policy | None = None) -> Policy:
    """Return the policy of a namespace. Malformed annotations do not raise: they are listed in `problems`.

    Args:
        annotations: All annotations of the Namespace. Keys outside `PREFIX` are ignored.
        defaults: The defaults of the installation; if None, those of this package.
    """
    defaults = defaults or Policy()
    parsed: dict[str, Unstructured] = {}
    problems: list[Problem] = []
    for key in sorted(key for key in annotations if key.startswith(PREFIX)):
        annotation = _BY_KEY.get(key)
        if annotation is None:
            problems += [_unknown(key)] if len(problems) < _MAX_PROBLEMS else []
            continue
        try:
            parsed[annotation.field] = annotation.parse(annotations[key].strip())
        except (ValueError, KeyError):
            problems.append(_malformed(annotation, annotations[key], defaults))
    return dataclasses.replace(defaults, **parsed, problems=tuple(problems))


def validation_errors(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Return one line for each invalid annotation: its key, its value and the accepted values."""
    return tuple(error for key, text in annotations.items() if (error := _validation_error(key, text)))


def _validation_error(key: str, text: str) -> str | None:
    annotation = _BY_KEY.get(key)
    if annotation is None:
        name = key.removeprefix(PREFIX)
        names = [annotation.name for annotation in ANNOTATIONS]
        suggestions = difflib.get_close_matches(name, names, n=1) or names
        return f"{name}={_quoted(text)}: unknown annotation {_quoted(name)}; accepted: {', '.join(suggestions)}"
    try:
        annotation.parse(text.strip())
    except (ValueError, KeyError):
        return f"{annotation.name}={_quoted(text)}: accepted: {annotation.accepted}"
    return None


def opted_out(annotations: Iterable[Mapping[str, str]]) -> bool:
    """Return whether any of an object's annotations opts it out, which only the exact value `false` does."""
    return any(mapping.get(ENABLED, "").strip() == "false" for mapping in annotations)


def object_problems(annotations: Iterable[Mapping[str, str]]) -> tuple[Problem, ...]:
    """Return the problems of annotations on an object, where only `enabled` has an effect."""
    return tuple(problem for mapping in annotations if mapping for problem in _object_problems(mapping))


def _object_problems(annotations: Mapping[str, str]) -> tuple[Problem, ...]:
    problems = []
    for key in sorted(islice((key for key in annotations if key.startswith(PREFIX)), _MAX_PROBLEMS)):
        if key != ENABLED:
            problems.append(Problem(key, f"{key} has no effect on this object; set it on the Namespace"))
        elif annotations[key].strip() not in {"true", "false"}:
            text = f'{key}={_quoted(annotations[key])} has no effect; only "false" opts an object out'
            problems.append(Problem(key, text))
    return tuple(problems)


def _unknown(key: str) -> Problem:
    matches = difflib.get_close_matches(key, _BY_KEY, n=1)
    hint = f"; did you mean {matches[0]}?" if matches else ""
    return Problem(key, f"namespace annotation {_quoted(key)} is unknown{hint}")


def _malformed(annotation: Annotation, text: str, defaults: Policy) -> Problem:
    line = f"namespace annotation {annotation.key}={_quoted(text)}: accepted: {annotation.accepted}"
    return Problem(annotation.key, f"{line}; using {annotation.value(defaults)}")


def _quoted(text: str) -> str:
    """Return a text quoted and truncated: an annotation may have 256 KiB, a warning has to be short."""
    limit = 40
    return ascii(text if len(text) <= limit else f"{text[:limit]}...")
