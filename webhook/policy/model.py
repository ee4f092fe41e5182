"""Data types of a policy."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from webhook.policy.label_selector import LabelSelector

Annotations: TypeAlias = frozenset[tuple[str, str]]
"""Annotations of a Namespace with the project's prefix, hashable so that they can be a cache key."""


class Mode(StrEnum):
    """Mode of the webhook: patch objects, or only return warnings."""

    ENFORCE = "enforce"
    WARN = "warn"


class WorkerCommand(StrEnum):
    """Command that replaces the command of a worker."""

    SCRIPT = "dask-cuda-worker"
    SUBCOMMAND = "dask cuda worker"
    KEEP = "keep"


class DaskCli(StrEnum):
    """Replacement of the scripts `dask-scheduler` and `dask-worker`."""

    KEEP = "keep"
    SUBCOMMANDS = "subcommands"


class GpuWorkers(StrEnum):
    """Rule that classifies workers without evidence of a GPU; the alternative is a label selector."""

    ALL = "all"
    REQUESTED = "requested"


class AffinityScope(StrEnum):
    """Scope of the pods that a worker's affinity selects."""

    CLUSTER = "cluster"
    NAMESPACE = "namespace"


class GuideAffinity(StrEnum):
    """Treatment of the RAPIDS guide's affinity term in a user's manifest."""

    KEEP = "keep"
    UPGRADE = "upgrade"


class SchedulerPlacement(StrEnum):
    """Placement of Dask schedulers: share nodes with other Dask schedulers, or keep the manifest's."""

    SHARE = "share"
    KEEP = "keep"


class TargetGroup(StrEnum):
    """Group of objects that are patched: Dask custom resources, or pods of workers and Dask schedulers."""

    RESOURCES = "resources"
    PODS = "pods"


@dataclass(frozen=True, slots=True)
class TopologyLevel:
    """Topology key at which workers are co-located, with its weight.

    Attributes:
        key: A node label, such as `kubernetes.io/hostname`.
        weight: 1-100, the range of `preferredDuringSchedulingIgnoredDuringExecution`. Kubernetes rejects other
            weights, but Dask's CRDs accept them: the operator would then retry the Deployment forever.
    """

    key: str
    weight: int


# Node and zone: the labels that nodes of every platform have. `make bench-placement` measures the effect of the second
# level (racks with that label). Co-location in one zone also avoids traffic between zones, which clouds charge for.
DEFAULT_TOPOLOGY = (TopologyLevel("kubernetes.io/hostname", 100), TopologyLevel("topology.kubernetes.io/zone", 30))


@dataclass(frozen=True, slots=True)
class Problem:
    """Problem of an annotation whose value is not used.

    Attributes:
        key: Key of the annotation.
        text: One line for the user: key, value, accepted values and the value that is used instead.
    """

    key: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Policy of a namespace. `ANNOTATIONS` describes the fields."""

    enabled: bool = False
    mode: Mode = Mode.ENFORCE
    gpu_workers: GpuWorkers | LabelSelector = GpuWorkers.ALL
    gpu_limit: int = 1
    gpu_resource: str = "nvidia.com/gpu"
    worker_command: WorkerCommand = WorkerCommand.SCRIPT
    dask_cuda_version: tuple[int, int] | None = None
    dask_cli: DaskCli = DaskCli.KEEP
    topology: tuple[TopologyLevel, ...] = DEFAULT_TOPOLOGY
    affinity_scope: AffinityScope = AffinityScope.CLUSTER
    guide_affinity: GuideAffinity = GuideAffinity.KEEP
    apart: int = 0
    emptier_first: bool = True
    capacity_hint: bool = False
    scheduler_gpu: int | None = None
    scheduler_placement: SchedulerPlacement = SchedulerPlacement.SHARE
    targets: frozenset[TargetGroup] = frozenset(TargetGroup)
    problems: tuple[Problem, ...] = ()
