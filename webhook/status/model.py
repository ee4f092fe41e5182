"""Report of `status` as data, for the terminal, JSON and the page."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from webhook.policy import Problem
from webhook.status.snapshot import Unreadable


class _Code(StrEnum):
    """Code with its meaning in one line."""

    meaning: str

    def __new__(cls, code: str, meaning: str) -> Self:
        """Create a member with its meaning."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member


class WorkerState(_Code):
    """State of a worker pod, compared with the effective policy of its namespace."""

    MUTATED = "mutated", "no rule would change it: the webhook mutated it, or the user wrote the same"
    NOT_MUTATED = "not-mutated", "a rule would change it: the webhook did not mutate it"
    CPU_WORKER = "cpu-worker", "a CPU worker: no rule applies"
    OPTED_OUT = "opted-out", 'the pod, its cluster or its worker group has the annotation `enabled: "false"`'
    WARN_ONLY = "warn-only", "the namespace's mode is warn"
    NOT_ENABLED = "not-enabled", "its namespace is not enabled"
    TERMINATING = "terminating", "the pod or its namespace is being deleted"
    UNKNOWN = "unknown", "its namespace is not readable"


class Cause(_Code):
    """Cause of a worker that was not mutated."""

    NOT_INSTALLED = "not-installed", "there is no webhook configuration"
    BEFORE_INSTALLATION = "created-before-the-installation", "created before the webhook was installed"
    BEFORE_ANNOTATION = "created-before-the-annotations", "created before the namespace got its current annotations"
    WEBHOOK_DOWN = "webhook-down", "created while the webhook was unavailable or had other rules"
    UNKNOWN = "unknown", "the cause is unknown: the webhook configuration is not readable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An issue, or a notice.

    Attributes:
        object: The object, as `kind/name` or `namespace/cluster`.
        details: More lines, such as the names of pods.
        fix: Command that fixes the issue; empty if there is none.
        warning: Effect of the command on running work; empty if there is none.
        action_required: True for an issue, False for a notice.
    """

    object: str
    message: str
    details: tuple[str, ...] = ()
    fix: str = ""
    warning: str = ""
    action_required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """A worker pod that is pending (without a node) or running.

    Attributes:
        gpus: GPUs that the pod holds or requests.
        cause: Cause of `WorkerState.NOT_MUTATED`, else None.
        missing: Changes that rules would apply.
        refused: Changes that rules refused to apply.
        recreated: Whether a ReplicaSet creates the pod again after its deletion.
        evidence: Reason that it is a GPU worker or a CPU worker; empty if the rules do not apply.
    """

    name: str
    node: str
    gpus: int
    state: WorkerState
    cause: Cause | None = None
    missing: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    recreated: bool = True
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainUsage:
    """Topology domains (nodes or racks) that a cluster's workers use.

    Attributes:
        used: Names of the domains, sorted.
        minimum: Minimum possible number while all other pods stay where they are; None if unknown.
        exact: Whether `minimum` can be reached; else it is a lower bound.
    """

    used: tuple[str, ...] = ()
    minimum: int | None = None
    exact: bool = True

    @property
    def surplus(self) -> int:
        """Return how many more domains are used than necessary; 0 if unknown."""
        return 0 if self.minimum is None else len(self.used) - self.minimum


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterReport:
    """A Dask cluster.

    Attributes:
        label: Letters that identify the cluster on the map.
    """

    namespace: str
    name: str
    label: str
    workers: tuple[WorkerReport, ...]
    nodes: DomainUsage
    racks: DomainUsage

    @property
    def title(self) -> str:
        """Return `namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def gpus(self) -> int:
        """Return the GPUs that the workers hold or request."""
        return sum(worker.gpus for worker in self.workers)

    @property
    def pending(self) -> int:
        """Return the number of workers that are not scheduled."""
        return sum(not worker.node for worker in self.workers)

    def count(self, state: WorkerState) -> int:
        """Return the number of workers in a state."""
        return sum(worker.state is state for worker in self.workers)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodGpus:
    """GPUs of a node that one pod holds.

    Attributes:
        pod: `namespace/name`.
        cluster: Title of the pod's Dask cluster; None if it is not a worker.
        not_mutated: Whether the pod is a worker in state `not-mutated`.
    """

    pod: str
    cluster: str | None
    gpus: int
    not_mutated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """A node that has GPUs or Dask workers.

    Attributes:
        rack: Value of the node's rack or zone label; empty if it has none.
        gpus: Allocatable GPUs.
        pods: Pods that hold GPUs, and workers without GPUs.
        unschedulable: Whether the node is cordoned or not ready.
    """

    name: str
    rack: str
    gpus: int
    pods: tuple[PodGpus, ...] = ()
    unschedulable: bool = False

    @property
    def free(self) -> int:
        """Return the GPUs that no pod holds."""
        return max(self.gpus - sum(pod.gpus for pod in self.pods), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceReport:
    """A namespace that is enabled, has Dask clusters, or has problems in its annotations.

    Attributes:
        enabled: Whether the webhook mutates objects in it.
        policy: Effective policy: annotation name to value.
        overrides: Annotation names whose value differs from the policy defaults.
    """

    name: str
    enabled: bool
    policy: Mapping[str, str]
    overrides: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationReport:
    """The webhook's installation; a field is empty or None if its value is unknown.

    Attributes:
        created: Creation time of the first configuration, RFC 3339.
        service: `namespace/name` of the Service that the API server calls.
        endpoints: Ready addresses of the Service.
        expires: Expiry of the serving certificate, RFC 3339.
    """

    configurations: tuple[str, ...] = ()
    created: str | None = None
    service: str | None = None
    ready: int | None = None
    desired: int | None = None
    endpoints: int | None = None
    expires: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Complete report.

    Attributes:
        at: Time of the snapshot, RFC 3339.
        clusters: Dask clusters, by namespace and name.
        rack_key: Node label of a rack; empty if no node has one.
        nodes: Nodes, by rack and name.
        findings: Issues, then notices.
    """

    at: str
    installation: InstallationReport
    namespaces: tuple[NamespaceReport, ...]
    clusters: tuple[ClusterReport, ...]
    rack_key: str
    nodes: tuple[NodeReport, ...]
    findings: tuple[Finding, ...]
    unreadable: tuple[Unreadable, ...]

    @property
    def issues(self) -> tuple[Finding, ...]:
        """Return the findings that require action."""
        return tuple(finding for finding in self.findings if finding.action_required)

    @property
    def exit_status(self) -> int:
        """Return 1 if there are issues, else 2 if something is not readable, else 0."""
        return 1 if self.issues else 2 if self.unreadable else 0

    def readable(self, *resources: str) -> bool:
        """Return whether all of these resources are readable."""
        return not {unreadable.resource for unreadable in self.unreadable} & set(resources)
