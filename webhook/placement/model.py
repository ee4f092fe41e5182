"""Nodes, pods that hold accelerators, what a cluster asks for, and what it is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from webhook.placement.constraints import Constraints, Taint

# A node that carries this label is named by no hint: the marker by which a hint's own term is known asks for its
# absence (`webhook.mutators.capacity`).
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
    """A worker group: the namespace, the Dask cluster, and the group's own name."""

    namespace: str
    cluster: str
    name: str


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
    """So many workers on one node."""

    node: str
    workers: int


Plan: TypeAlias = tuple[Share, ...]
"""Where the workers of a demand go, the fullest node first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Workers that are about to start.

    Attributes:
        group: Whose they are.
        workers: How many; at least one where a plan is wanted.
        before: How many the group wanted before, whether they run or not.
        gpus: What each of them takes, at least one.
        resource: Of this extended resource.
        constraints: What a node must be like.
        rack: The node label of a rack; "" where the namespace keeps workers together on nodes only.
        binding: Whether the answer will be used, so that what it names is promised: not so on a dry run.
        told: The hosts that the manifest names already, by an earlier answer of this webhook.
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

    @property
    def wanted(self) -> int:
        """All workers of the group."""
        return self.before + self.workers


@dataclass(frozen=True, slots=True)
class Recall:
    """A worker pod, whose group may have been planned.

    Attributes:
        group: Whose it is.
    """

    group: Group


Question: TypeAlias = Demand | Recall
"""What rule `capacity-hint` asks."""


class NoHintReason(StrEnum):
    """Why there is no hint; each is a reason of rule `capacity-hint` too."""

    UNKNOWN = "capacity-unknown"  # nobody watches, or the first list is not complete
    FORBIDDEN = "capacity-forbidden"  # RBAC
    STALE = "capacity-stale"  # the watch has not been heard of for too long
    FULL = "capacity-full"  # not all workers find room
    GROUP_UNKNOWN = "worker-group-unknown"  # one pod, and nothing says how many there will be
    NO_WORKERS_ADDED = "no-workers-added"  # an update that starts none
    NO_GPU = "no-gpu-asked"  # the workers take no GPU, or more than one kind
    UNREADABLE = "malformed"  # there is more of something than anyone writes


@dataclass(frozen=True, slots=True)
class NoHint:
    """No hosts, and why.

    Attributes:
        reason: As a code.
        detail: For people: one line.
    """

    reason: NoHintReason
    detail: str


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts to prefer.

    Attributes:
        names: Values of `kubernetes.io/hostname`, at most `MOST_HOSTS`, the ones that fill first before the others.
        detail: For people: one line.
    """

    names: tuple[str, ...]
    detail: str


Hint: TypeAlias = Hosts | NoHint
UNWATCHED = NoHint(NoHintReason.UNKNOWN, "this installation does not watch capacity")
