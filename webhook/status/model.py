"""What `status` says, as data. Terminal, JSON and page are renderings of one Report."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from webhook.policy import Problem
from webhook.status.snapshot import Unread


class State(StrEnum):
    """How a worker pod stands to what its namespace's rules would give it.

    Attributes:
        meaning: The state in one line, for people.
    """

    meaning: str

    def __new__(cls, code: str, meaning: str) -> Self:
        """A state with its meaning."""
        state = str.__new__(cls, code)
        state._value_ = code
        state.meaning = meaning
        return state

    MUTATED = "mutated", "nothing is left to apply: the webhook did, or the user wrote it"
    MISSED = "missed", "the rules would still apply something"
    CPU_WORKER = "cpu-worker", "a CPU worker: the rules leave it unmodified"
    OPTED_OUT = "opted-out", 'it, its cluster or its group says `enabled: "false"`'
    WARN_ONLY = "warn-only", "the namespace's mode is warn"
    NOT_SERVED = "not-served", "its namespace is not enabled"
    LEAVING = "leaving", "it is being deleted, and no longer judged"
    UNKNOWN = "unknown", "its namespace may not be read"


class Cause(StrEnum):
    """Why a worker was missed."""

    NOT_INSTALLED = "not-installed"
    BEFORE_INSTALLATION = "created-before-the-installation"
    BEFORE_ANNOTATION = "created-before-the-annotations"
    WEBHOOK_DOWN = "webhook-down"
    UNKNOWN = "unknown"  # the webhook configuration may not be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something to know.

    Attributes:
        where: The object, as `kind/name` or `namespace/cluster`.
        text: One line.
        details: Lines that say it in full: which workers were missed, and why.
        mend: The command that mends it; empty where there is none.
        care: Whether somebody has to see to it; else it is only said.
    """

    where: str
    text: str
    mend: str = ""
    details: tuple[str, ...] = ()
    care: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One worker pod that runs or waits; those that ended are left out.

    Attributes:
        name: Of the pod.
        node: Where it stands; empty while it waits for one.
        gpus: Devices it holds, or waits for.
        state: See `State`.
        cause: Why it was missed, else None.
        lacks: What the rules would still apply, in their words.
        refused: What a rule left alone since it could not be sure.
        lasting: Whether something creates the pod anew when it is deleted.
        evidence: Why it is a GPU worker or a CPU worker, as a sentence; empty where no rule was asked.
    """

    name: str
    node: str
    gpus: int
    state: State
    cause: Cause | None = None
    lacks: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    lasting: bool = True
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How many places a cluster's workers stand on.

    Attributes:
        used: Their names, sorted.
        fewest: The fewest they could stand on with everybody else where they are; None where that is not known.
        exact: Whether `fewest` is reached for certain; else no fewer will do, and perhaps more are needed.
    """

    used: tuple[str, ...] = ()
    fewest: int | None = None
    exact: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A Dask cluster.

    Attributes:
        namespace: Where it lives.
        name: Of the DaskCluster.
        label: A few letters that stand for it on the map, unique in the report.
        workers: Its worker pods, by name.
        nodes: The nodes of those that have one.
        racks: The same for racks, or zones.
    """

    namespace: str
    name: str
    label: str
    workers: tuple[Worker, ...]
    nodes: Spread
    racks: Spread

    @property
    def title(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def gpus(self) -> int:
        """Devices its workers hold or wait for."""
        return sum(worker.gpus for worker in self.workers)

    @property
    def waiting(self) -> int:
        """How many of its workers have no node yet."""
        return sum(not worker.node for worker in self.workers)

    def count(self, state: State) -> int:
        """How many workers are in a state."""
        return sum(worker.state is state for worker in self.workers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Devices of a node that one pod holds.

    Attributes:
        pod: `namespace/name`.
        cluster: The `title` of its Dask cluster; None for any other pod.
        gpus: How many.
        missed: Whether it is a worker that was missed.
    """

    pod: str
    cluster: str | None
    gpus: int
    missed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node with GPUs, or with Dask workers on it.

    Attributes:
        name: Of the node.
        rack: Value of its rack's or zone's label; empty without one.
        gpus: Devices that pods can be given.
        held: By whom; pods of a Dask cluster without any device included.
        closed: Whether it takes no new pods: cordoned, or not ready.
    """

    name: str
    rack: str
    gpus: int
    held: tuple[Held, ...] = ()
    closed: bool = False

    @property
    def free(self) -> int:
        """Devices that nobody holds."""
        return max(self.gpus - sum(one.gpus for one in self.held), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A namespace that is served, or that has Dask clusters or problems in its annotations.

    Attributes:
        name: Of the namespace.
        enabled: Whether it is served.
        policy: What holds in it: every annotation's name and value.
        changed: Those of them that differ from the installation's.
        problems: What is wrong with its annotations.
    """

    name: str
    enabled: bool
    policy: Mapping[str, str]
    changed: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """How the webhook itself is. None, or nothing, where it is not known.

    Attributes:
        configurations: Names of the MutatingWebhookConfigurations.
        since: When the first of them was created, RFC 3339.
        service: `namespace/name` of the Service that is called, or the URL.
        ready: Replicas that are ready.
        desired: Replicas that are wanted.
        endpoints: Addresses behind the Service that take calls.
        expires: When the serving certificate ends, RFC 3339.
    """

    configurations: tuple[str, ...] = ()
    since: str | None = None
    service: str | None = None
    ready: int | None = None
    desired: int | None = None
    endpoints: int | None = None
    expires: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that `status` says.

    Attributes:
        at: When the cluster was read, RFC 3339.
        installation: The webhook itself.
        namespaces: By name.
        clusters: By namespace and name.
        rack_key: The node label that the map groups by; empty where nodes have none.
        nodes: By rack and name.
        findings: What needs care first.
        unread: What could not be read.
    """

    at: str
    installation: Installation
    namespaces: tuple[Namespace, ...]
    clusters: tuple[Cluster, ...]
    rack_key: str
    nodes: tuple[Node, ...]
    findings: tuple[Finding, ...]
    unread: tuple[Unread, ...]

    @property
    def care(self) -> tuple[Finding, ...]:
        """What somebody has to see to."""
        return tuple(finding for finding in self.findings if finding.care)

    @property
    def exit_status(self) -> int:
        """For monitoring: 1 when something needs care, else 2 when something could not be read, else 0."""
        return 1 if self.care else 2 if self.unread else 0
