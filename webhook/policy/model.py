"""What holds in a namespace, as data."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from webhook.policy.label_selector import LabelSelector

Annotations: TypeAlias = frozenset[tuple[str, str]]
"""The annotations of a Namespace under the project's prefix, as key and value; hashable: a cache key."""


class Mode(StrEnum):
    """Whether decisions are patched in, or only told to the user."""

    ENFORCE = "enforce"
    WARN = "warn"


class WorkerCommand(StrEnum):
    """What the command of a worker becomes."""

    SCRIPT = "dask-cuda-worker"
    SUBCOMMAND = "dask cuda worker"
    KEEP = "keep"


class DaskCli(StrEnum):
    """What the scripts `dask-scheduler` and `dask-worker` become."""

    KEEP = "keep"
    SUBCOMMANDS = "subcommands"


class GpuWorkers(StrEnum):
    """Which workers without evidence of a GPU are GPU workers; a label selector is the third choice."""

    ALL = "all"
    REQUESTED = "requested"


class AffinityScope(StrEnum):
    """Which pods a worker is drawn to."""

    CLUSTER = "cluster"
    NAMESPACE = "namespace"


class GuideAffinity(StrEnum):
    """What becomes of the RAPIDS guide's own affinity term in a user's manifest."""

    KEEP = "keep"
    UPGRADE = "upgrade"


class SchedulerPlacement(StrEnum):
    """Whether Dask schedulers share nodes, away from their own workers."""

    SHARE = "share"
    KEEP = "keep"


class TargetGroup(StrEnum):
    """What is patched: the Dask custom resources, the pods of workers and Dask schedulers, or both."""

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


# The node, then the zone: the two labels that nodes have everywhere. `make bench-placement` measures what the second
# one brings (racks under that label); across zones it also saves the traffic that clouds charge for.
DEFAULT_TOPOLOGY = (TopologyLevel("kubernetes.io/hostname", 100), TopologyLevel("topology.kubernetes.io/zone", 30))


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
