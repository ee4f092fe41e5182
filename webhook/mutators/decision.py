"""What a rule says: a Decision, as data. Everything the outside sees is a rendering of it."""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, Self, TypeAlias

from webhook.mutators.patch import Operation
from webhook.policy import Policy
from webhook.workloads.pod_templates import PodTemplate, Role


class Outcome(StrEnum):
    """What became of one rule on one target."""

    APPLIED = "applied"  # it changes the object
    KEPT = "kept"  # what the user, or an earlier pass, wrote stands
    SKIPPED = "skipped"  # it has nothing to do here
    REFUSED = "refused"  # it cannot be sure, changes nothing and warns


class Reason(StrEnum):
    """Why. Stable: dashboards, alerts and tests hold on to these codes.

    Attributes:
        meaning: The code in one line, for people.
    """

    meaning: str

    def __new__(cls, code: str, meaning: str) -> Self:
        """A code with its meaning."""
        reason = str.__new__(cls, code)
        reason._value_, reason.meaning = code, meaning
        return reason

    # affinity
    AFFINITY_ADDED = "affinity-added", "workers are drawn to their cluster's other workers"
    AFFINITY_PRESENT = "affinity-already-set", "the term is there already, by the user's hand or by an earlier pass"
    ANTI_AFFINITY_PRESENT = "anti-affinity-already-set", "the manifest keeps workers apart itself; that stands"
    GUIDE_AFFINITY_PRESENT = (
        "guide-affinity-already-set",
        "the manifest carries the RAPIDS guide's own term; that stands",
    )
    GUIDE_AFFINITY_UPGRADED = (
        "guide-affinity-upgraded",
        "the guide's own term now names the cluster, as the namespace asks",
    )
    TOPOLOGY_NONE = "topology-none", "the namespace's topology is none: there is no level to keep workers together at"
    CLUSTER_NAME_UNKNOWN = (
        "cluster-name-unknown",
        "the API server has yet to make the name; the workers' pods are patched later",
    )
    CLUSTER_NAME_INVALID = "cluster-name-invalid", "the cluster's name is no label value, so no selector can name it"
    # apart
    APART_ADDED = "apart-added", "workers prefer hosts without other clusters' workers"
    APART_OFF = "apart-off", "the namespace's apart is 0"
    # emptier
    EMPTIER_ADDED = "emptier-added", "workers begin on the hosts with the fewest workers of other clusters"
    EMPTIER_OFF = "emptier-off", "the namespace's emptier-first is false"
    REQUESTS_PRESENT = (
        "requests-already-set",
        "workers ask for CPU or memory, so the scheduler itself sees which hosts are empty",
    )
    SPREAD_PRESENT = "spread-already-set", "the manifest says itself how workers stand at this level"
    # scheduler-placement
    SCHEDULER_PLACEMENT_ADDED = (
        "scheduler-placement-added",
        "the Dask scheduler prefers nodes that run other Dask schedulers and none of its own workers",
    )
    SCHEDULER_PLACEMENT_PRESENT = (
        "scheduler-placement-already-set",
        "the manifest or an earlier pass already places Dask schedulers or workers at the node",
    )
    SCHEDULER_PLACEMENT_KEEP = "scheduler-placement-keep", "the namespace's scheduler-placement is keep"
    SCHEDULER_WITHOUT_GPU = "scheduler-without-gpu", "the Dask scheduler holds no GPU"
    SCHEDULER_HINTED = "scheduler-hinted", "a capacity hint places the Dask scheduler"
    SCHEDULER_POD = "scheduler-pod", "the DaskCluster or DaskJob decides; the Dask scheduler's pod copies its template"
    # gpu, scheduler-gpu
    GPU_SHARE_PRESENT = "gpu-share-already-set", "an annotation or label requests a share of a GPU for the pod"
    GPU_ELSEWHERE = "gpu-in-another-container", "another container of the pod requests its accelerator"
    GPU_LIMIT_ADDED = "gpu-limit-added", "the Dask container gets a GPU limit"
    GPU_LIMIT_COMPLETED = (
        "gpu-limit-completed",
        "the container's GPU request becomes its limit too, without which it is invalid",
    )
    GPU_PRESENT = "gpu-already-set", "the container asks for this GPU resource itself"
    OTHER_DEVICE_PRESENT = "other-device-already-set", "the container asks for another accelerator"
    RESOURCE_CLAIM_PRESENT = "resource-claim-already-set", "the container gets its devices by a resource claim"
    GPU_LIMIT_OFF = "gpu-limit-off", "the namespace leaves the GPU resources of this role alone"
    NO_CONTAINER = "no-container", "the pod spec has no container"
    CONTAINER_UNSURE = "container-unsure", "the container that runs Dask is unknown or not the only one"
    # command
    COMMAND_CONVERTED = "command-converted", "the worker is started by dask-cuda"
    COMMAND_CUDA_ALREADY = "command-already-dask-cuda", "the worker is started by dask-cuda already"
    COMMAND_FROM_IMAGE = "command-from-image", "the command comes from the image and cannot be seen"
    COMMAND_OF_USER = "command-not-dask-worker", "the container starts no Dask worker, or only prints something"
    COMMAND_UNSURE = "command-unsure", "a Dask worker is started in a way that cannot be converted with certainty"
    COMMAND_SHELL_UNSURE = "command-shell-unsure", "a shell text cannot be converted with certainty"
    COMMAND_OPTION_UNSURE = "command-option-unsure", "an option of the command cannot be converted with certainty"
    COMMAND_OPTION_NEEDED = (
        "command-option-needed",
        "dask-cuda does not take an option without which the worker cannot be reached",
    )
    COMMAND_NOT_IN_VERSION = (
        "command-not-in-version",
        "the image's dask-cuda does not take an option that the worker needs; other versions do",
    )
    COMMAND_OFF = "command-off", "the namespace's worker-command is keep"
    NO_GPU_WANTED = "no-gpu-wanted", "the worker asks for 0 GPUs, so its plain command stands"
    NOT_A_CUDA_DEVICE = "not-a-cuda-device", "the worker's accelerator is not known to be one of NVIDIA's"
    NO_CUDA_DEVICE = "no-cuda-device", "the container has and gets no device, and dask-cuda does not start without one"
    MIG_SLICE = "mig-slice", "dask-cuda fails at start on a MIG slice, which the plain Dask worker uses"
    IMAGE_WITHOUT_DASK_CUDA = "image-without-dask-cuda", "the image is known to lack dask-cuda, and nothing adds it"
    # dask-cli
    DASK_CLI_OFF = "dask-cli-off", "the namespace's dask-cli is keep"
    DASK_CLI_REPLACED = "dask-cli-replaced", "a script that distributed 2026.6 removed is now a subcommand of dask"
    DASK_CLI_NO_SCRIPT = "dask-cli-no-script", "the container starts none of the scripts dask-scheduler and dask-worker"
    DASK_CLI_CONVERTED = "dask-cli-converted", "the worker is converted to dask-cuda's, so no script of Dask is left"
    DASK_CLI_UNSURE = "dask-cli-unsure", "a script of Dask is started in a way that cannot be rewritten with certainty"
    # capacity-hint
    CAPACITY_HINT_OFF = "capacity-hint-off", "the namespace's capacity-hint is false"
    HINT_ADDED = "hint-added", "the hosts where all pods of the group fit are preferred"
    HINT_REPLACED = "hint-replaced", "the group grew, or its hosts have no room: those where it fits now are preferred"
    HINT_RESTORED = "hint-restored", "a manifest without the preferred hosts was applied again; they stay"
    HINT_PRESENT = "hint-already-set", "the preferred hosts are there already, from an earlier pass"
    CAPACITY_UNKNOWN = "capacity-unknown", "this installation does not watch capacity, or has not seen all of it yet"
    CAPACITY_FORBIDDEN = "capacity-forbidden", "the installation may not list nodes or pods"
    CAPACITY_STALE = "capacity-stale", "the API server was not heard of for too long to trust what is known"
    CAPACITY_FULL = "capacity-full", "not all workers fit, or the Dask scheduler does not"
    GROUP_UNKNOWN = "worker-group-unknown", "the pod's worker group is not in the cache, so its size is not known"
    NO_WORKERS_ADDED = "no-workers-added", "no workers are added, or their group has not outgrown its hint"
    NO_GPU_ASKED = "no-gpu-asked", "the pods request no GPU, or several kinds of them"
    # any rule
    CPU_WORKER = "cpu-worker", "the pod runs a CPU worker, which stays unmodified; its evidence says why"
    MALFORMED = "malformed", "a field on the way is not of the type that Kubernetes gives it"
    WARN_MODE = "warn-mode", "the namespace's mode is warn: the change is told, not made"


# What the API reference of AdmissionResponse asks of a warning: "limit warnings to 120 characters if possible".
LONGEST_WARNING = 120


def told(text: str) -> str:
    """A text as a warning: cut where names or values of the user's made it too long."""
    return text if len(text) <= LONGEST_WARNING else f"{text[: LONGEST_WARNING - 3]}..."


class Decision(NamedTuple):
    """What one rule decided on one target.

    Attributes:
        rule: The rule's name, stable like the reason.
        role: The role of the target's pods.
        pointer: Where the target's pod spec stands in the object.
        outcome: What became of it.
        reason: Why, as a code.
        detail: Why, for people: one line, with names and values.
        operations: What it changes; empty unless applied.
        warnings: What the user is told at once, each at most 120 characters.
    """

    rule: str
    role: Role
    pointer: str
    outcome: Outcome
    reason: Reason
    detail: str
    operations: tuple[Operation, ...] = ()
    warnings: tuple[str, ...] = ()


Rule: TypeAlias = Callable[[PodTemplate, Policy], Decision]
"""Pure and synchronous: no clock, no environment, no I/O, no exception but `Unpatchable`."""


class DecisionBuilder(NamedTuple):
    """Makes the decisions of one rule on one target; the four outcomes are its four methods."""

    rule: str
    target: PodTemplate

    def applied(self, reason: Reason, detail: str, *operations: Operation, warnings: tuple[str, ...] = ()) -> Decision:
        """The object changes by `operations`."""
        return self._decision(Outcome.APPLIED, reason, detail, operations, warnings)

    def kept(self, reason: Reason, detail: str, *warnings: str) -> Decision:
        """What stands there stays."""
        return self._decision(Outcome.KEPT, reason, detail, (), warnings)

    def skipped(self, reason: Reason, detail: str) -> Decision:
        """Nothing to do here."""
        return self._decision(Outcome.SKIPPED, reason, detail, (), ())

    def refused(self, reason: Reason, detail: str) -> Decision:
        """Not sure enough to change anything; the user is told."""
        return self._decision(Outcome.REFUSED, reason, detail, (), (detail,))

    def without_container(self) -> Decision:
        """Return the decision for a pod spec in which no container is chosen."""
        if self.target.container_problem:
            return self.refused(Reason.CONTAINER_UNSURE, self.target.container_problem)
        return self.skipped(Reason.NO_CONTAINER, "the pod spec has no container")

    def _decision(
        self,
        outcome: Outcome,
        reason: Reason,
        detail: str,
        operations: tuple[Operation, ...],
        warnings: tuple[str, ...],
    ) -> Decision:
        return Decision(
            rule=self.rule,
            role=self.target.role,
            pointer=self.target.pointer,
            outcome=outcome,
            reason=reason,
            detail=detail,
            operations=operations,
            warnings=tuple(map(told, warnings)) if warnings else (),
        )
