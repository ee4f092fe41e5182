"""Nodes, pods that hold accelerators, the questions about a Dask object's pods, and the hints that answer them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from webhook.placement.constraints import Constraints, Taint
from webhook.workloads.pod_templates import Role

# Key of the expression that marks a hint's own node affinity term (`webhook.mutators.capacity`). A node that carries a
# label with this key is never named by a hint.
MARKER = "colocate.dask.org/hint"
# Of a node affinity term. etcd and the scheduler read it with each pod; more hosts than this are no choice.
MOST_HOSTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node, as far as a plan needs it.

    Attributes:
        name: Of the Node.
        host: Its label `kubernetes.io/hostname`, which is not always its name; "" where it has none.
        labels: All of them: a worker may ask for any.
        taints: Those that keep pods away.
        extended: Allocatable of each extended resource.
        open: Whether it is ready and schedulable.
    """

    name: str
    host: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    extended: Mapping[str, int]
    open: bool

    def takes(self, constraints: Constraints) -> bool:
        """Whether a hint may send a worker here, free GPUs apart."""
        return (
            self.open
            and bool(self.host)
            and MARKER not in self.labels
            and constraints.admit(self.name, self.labels, self.taints)
        )


class Group(NamedTuple):
    """A worker group, or the Dask scheduler of a cluster.

    Attributes:
        namespace: Of the Dask cluster.
        cluster: Name of the Dask cluster.
        name: Name of the worker group; empty for the Dask scheduler.
        role: Of its pods.
    """

    namespace: str
    cluster: str
    name: str
    role: Role = Role.WORKER


def scheduler_of(namespace: str, cluster: str) -> Group:
    """Return the group of a cluster's Dask scheduler."""
    return Group(namespace, cluster, "", Role.SCHEDULER)


Asks: TypeAlias = tuple[tuple[str, int], ...]
"""Extended resources and how much of each."""


@dataclass(frozen=True, slots=True)
class PodUsage:
    """What a bound pod holds.

    Attributes:
        node: Where it is bound.
        asks: What it holds there.
        group: The worker group it is of; None for any other pod.
    """

    node: str
    asks: Asks
    group: Group | None


class Share(NamedTuple):
    """Number of pods of one group on one node."""

    node: str
    workers: int


Plan: TypeAlias = tuple[Share, ...]
"""Nodes of a demand's pods, in the order in which they fill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Pods of one group that are about to start.

    Attributes:
        group: Their group.
        workers: How many start; at least one where a plan is wanted.
        before: Pods that the group wanted before, running or not.
        gpus: GPUs of each pod, at least one.
        resource: The extended resource of these GPUs.
        constraints: What a node must be like.
        rack: The node label of a rack; "" where the namespace keeps workers together on nodes only.
        binding: Whether the object is stored, so that the plan reserves GPUs: False on a dry run.
        told: Hosts that the manifest names, from an earlier hint.
        planned: Size of the group for which these hosts were named; None where the item does not say.
    """

    group: Group
    workers: int
    gpus: int
    resource: str
    constraints: Constraints
    rack: str
    binding: bool = True
    before: int = 0
    told: tuple[str, ...] = ()
    planned: int | None = None

    @property
    def wanted(self) -> int:
        """All pods of the group."""
        return self.before + self.workers

    def outgrown(self, size: int) -> bool:
        """Return whether a group of this size has more pods than its hosts were named for."""
        return self.planned is not None and self.planned < size


@dataclass(frozen=True, slots=True)
class Arrival:
    """A pod that is being created; the size of its group is read from the stored DaskWorkerGroup.

    Attributes:
        demand: For this pod alone.
    """

    demand: Demand


class NoHintReason(StrEnum):
    """Why there is no hint; each is a reason of rule `capacity-hint` too."""

    UNKNOWN = "capacity-unknown"  # capacity is not watched, or the first list is not complete
    FORBIDDEN = "capacity-forbidden"  # RBAC
    STALE = "capacity-stale"  # the watch has been silent for too long
    FULL = "capacity-full"  # not all pods fit
    GROUP_UNKNOWN = "worker-group-unknown"  # a pod whose worker group is not in the cache
    NO_WORKERS_ADDED = "no-workers-added"  # no pod starts that needs a new hint
    NO_GPU = "no-gpu-asked"  # the pods request no GPU, or more than one kind
    UNREADABLE = "malformed"  # a list in the object is longer than the webhook reads


@dataclass(frozen=True, slots=True)
class NoHint:
    """Reason for a missing hint.

    Attributes:
        reason: As a code.
        detail: For people: one line.
    """

    reason: NoHintReason
    detail: str


@dataclass(frozen=True, slots=True)
class Hosts:
    """Hosts to prefer.

    Attributes:
        names: Values of `kubernetes.io/hostname`, at most `MOST_HOSTS`, in the order in which they fill.
        size: Size of the group that these hosts are planned for.
        detail: For people: one line.
    """

    names: tuple[str, ...]
    size: int
    detail: str


Hint: TypeAlias = Hosts | NoHint
Question: TypeAlias = Demand | Arrival


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
    """Questions about one Dask object, by the role of its pods; a NoHint where there is nothing to ask."""

    worker: Question | NoHint
    scheduler: Question | NoHint

    @property
    def hints(self) -> Hints | None:
        """The hints where neither role has a question; else None."""
        if isinstance(self.worker, NoHint) and isinstance(self.scheduler, NoHint):
            return Hints(self.worker, self.scheduler)
        return None

    def without(self, reason: NoHint) -> Hints:
        """Return the hints where capacity is not known: `reason` for each role with a question."""
        return Hints(*(each if isinstance(each, NoHint) else reason for each in (self.worker, self.scheduler)))


_UNWATCHED = NoHint(NoHintReason.UNKNOWN, "this installation does not watch capacity")
UNWATCHED = Hints(_UNWATCHED, _UNWATCHED)
