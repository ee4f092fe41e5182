"""Nodes, pods with extended resources, the questions about a Dask object's pods, and the hints that answer them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from webhook.placement.constraints import Constraints, Taint
from webhook.workloads.pod_templates import Role

# Key of the expression that marks a hint's own node affinity term (`webhook.placement.hint_item`). A hint never names a
# node that carries a label with this key.
MARKER = "colocate.dask.org/hint"
# Hostnames in one node affinity item. etcd stores them and the scheduler reads them with each pod.
MAX_HOSTNAMES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node with the fields that a plan needs.

    Attributes:
        name: Name of the Node.
        hostname: Its label `kubernetes.io/hostname`, which may differ from its name; "" without the label.
        labels: All labels, as any of them may be in a pod's node selector.
        taints: Taints that exclude pods.
        extended: Allocatable amount of each extended resource.
        schedulable: Whether it is ready and not cordoned.
    """

    name: str
    hostname: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    extended: Mapping[str, int]
    schedulable: bool

    def admits(self, constraints: Constraints) -> bool:
        """Return whether a hint may name this node, regardless of its free GPUs."""
        return (
            self.schedulable
            and bool(self.hostname)
            and MARKER not in self.labels
            and constraints.admit(self.name, self.labels, self.taints)
        )


class Group(NamedTuple):
    """A worker group, or the Dask scheduler of a cluster.

    Attributes:
        namespace: Namespace of the Dask cluster.
        cluster: Name of the Dask cluster.
        name: Name of the worker group; empty for the Dask scheduler.
        role: Role of its pods.
    """

    namespace: str
    cluster: str
    name: str
    role: Role = Role.WORKER


def scheduler_of(namespace: str, cluster: str) -> Group:
    """Return the group of a cluster's Dask scheduler."""
    return Group(namespace, cluster, "", Role.SCHEDULER)


Amounts: TypeAlias = tuple[tuple[str, int], ...]
"""Extended resources with the amount of each."""


@dataclass(frozen=True, slots=True)
class PodUsage:
    """Extended resources of a bound pod.

    Attributes:
        node: Node to which the pod is bound.
        amounts: Its extended resources.
        group: Its worker group or Dask scheduler; None for any other pod.
    """

    node: str
    amounts: Amounts
    group: Group | None


class Share(NamedTuple):
    """Number of pods of one group on one node."""

    node: str
    workers: int


Plan: TypeAlias = tuple[Share, ...]
"""Nodes for the pods of a demand, in the order in which they fill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Pods of one group that are about to start.

    Attributes:
        group: Their group.
        workers: Number of pods that start; at least one when a plan is requested.
        replicas_before: Number of pods that the group wanted before, running or not.
        gpus: GPUs of each pod, at least one.
        resource: Extended resource of these GPUs.
        constraints: Constraints of the pods on nodes.
        rack_label: Node label of a rack; "" if the namespace co-locates workers by node only.
        stored: Whether the object is stored, so that the plan reserves GPUs; False on a dry run.
        hostnames: Hostnames in the manifest, from an earlier hint.
        planned_size: Size of the group for which these nodes were planned; None if the item has no size.
    """

    group: Group
    workers: int
    gpus: int
    resource: str
    constraints: Constraints
    rack_label: str
    stored: bool = True
    replicas_before: int = 0
    hostnames: tuple[str, ...] = ()
    planned_size: int | None = None

    @property
    def replicas(self) -> int:
        """All pods of the group."""
        return self.replicas_before + self.workers

    def outgrown(self, size: int) -> bool:
        """Return whether a group of this size has more pods than the named nodes were planned for."""
        return self.planned_size is not None and self.planned_size < size


@dataclass(frozen=True, slots=True)
class NewPod:
    """A pod that is being created. The size of its group comes from the stored DaskWorkerGroup.

    Attributes:
        demand: Demand of this pod alone.
    """

    demand: Demand


class NoHintReason(StrEnum):
    """Reason for a missing hint; each is a reason of rule `capacity-hint` too."""

    UNKNOWN = "capacity-unknown"  # capacity is not watched, or the first list is not complete
    FORBIDDEN = "capacity-forbidden"  # RBAC
    STALE = "capacity-stale"  # the watch has received no event for too long
    FULL = "capacity-full"  # not all pods fit
    GROUP_UNKNOWN = "worker-group-unknown"  # a pod whose worker group is not in the cache
    NO_WORKERS_ADDED = "no-workers-added"  # no pod starts that needs a new hint
    NO_GPU = "no-gpu-asked"  # the pods request no GPU, or more than one kind
    UNREADABLE = "malformed"  # a list in the object is longer than the webhook reads


@dataclass(frozen=True, slots=True)
class NoHint:
    """A missing hint.

    Attributes:
        reason: Reason code.
        detail: One line for people.
    """

    reason: NoHintReason
    detail: str


@dataclass(frozen=True, slots=True)
class PreferredNodes:
    """Nodes to prefer.

    Attributes:
        hostnames: Values of `kubernetes.io/hostname`, at most `MAX_HOSTNAMES`, in the order in which the nodes fill.
        size: Size of the group for which these nodes are planned.
        detail: One line for people.
    """

    hostnames: tuple[str, ...]
    size: int
    detail: str


Hint: TypeAlias = PreferredNodes | NoHint
Question: TypeAlias = Demand | NewPod


@dataclass(frozen=True, slots=True)
class Hints:
    """Hints for one Dask object, by the role of its pods."""

    worker: Hint
    scheduler: Hint

    def of(self, role: Role) -> Hint:
        """Return the hint for pods of a role."""
        return self.worker if role is Role.WORKER else self.scheduler


@dataclass(frozen=True, slots=True)
class Questions:
    """Questions about one Dask object, by the role of its pods; a NoHint for a role without a question."""

    worker: Question | NoHint
    scheduler: Question | NoHint

    @property
    def hints(self) -> Hints | None:
        """The hints if neither role has a question; else None."""
        if isinstance(self.worker, NoHint) and isinstance(self.scheduler, NoHint):
            return Hints(self.worker, self.scheduler)
        return None

    def without(self, reason: NoHint) -> Hints:
        """Return the hints while capacity is not known: `reason` for each role with a question."""
        return Hints(*(role if isinstance(role, NoHint) else reason for role in (self.worker, self.scheduler)))


_UNWATCHED = NoHint(NoHintReason.UNKNOWN, "this installation does not watch capacity")
UNWATCHED = Hints(_UNWATCHED, _UNWATCHED)
