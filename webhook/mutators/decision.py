"""Decisions of the rules, as data. Patches, warnings, audit annotations, logs and metrics are rendered from them."""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, Self, TypeAlias

from webhook.mutators.patch import Operation
from webhook.policy import Policy
from webhook.workloads.pod_templates import PodTemplate, Role


class Outcome(StrEnum):
    """Outcome of one rule on one pod template."""

    APPLIED = "applied"  # the rule changes the object
    KEPT = "kept"  # the user, or an earlier admission, already set the fields
    SKIPPED = "skipped"  # the rule does not apply
    REFUSED = "refused"  # the rule cannot decide safely: it changes nothing and warns


class Reason(StrEnum):
    """Stable code for the reason of a decision; dashboards, alerts and tests depend on these codes.

    Attributes:
        meaning: One line that explains the code to users.
    """

    meaning: str

    def __new__(cls, code: str, meaning: str) -> Self:
        """Create a member from its code and its meaning."""
        reason = str.__new__(cls, code)
        reason._value_, reason.meaning = code, meaning
        return reason

    # affinity
    AFFINITY_ADDED = "affinity-added", "workers prefer nodes that already run the cluster's workers"
    AFFINITY_PRESENT = "affinity-already-set", "the user or an earlier admission already set the affinity"
    ANTI_AFFINITY_PRESENT = "anti-affinity-already-set", "the manifest sets an anti-affinity between the workers"
    GUIDE_AFFINITY_PRESENT = "guide-affinity-already-set", "the manifest sets the RAPIDS guide's affinity"
    GUIDE_AFFINITY_UPGRADED = (
        "guide-affinity-upgraded",
        "the RAPIDS guide's affinity now selects the cluster by name (guide-affinity is upgrade)",
    )
    TOPOLOGY_NONE = "topology-none", "the namespace's topology is none, so workers are not co-located"
    CLUSTER_NAME_UNKNOWN = (
        "cluster-name-unknown",
        "the API server has not generated the cluster's name yet; the worker pods are patched instead",
    )
    CLUSTER_NAME_INVALID = "cluster-name-invalid", "the cluster's name is not a valid label value"
    # apart
    APART_ADDED = "apart-added", "workers prefer nodes without workers of other clusters"
    APART_OFF = "apart-off", "the namespace's apart is 0"
    # emptier
    EMPTIER_ADDED = "emptier-added", "a cluster's first worker prefers nodes with fewer workers of other clusters"
    EMPTIER_OFF = "emptier-off", "the namespace's emptier-first is false"
    REQUESTS_PRESENT = (
        "requests-already-set",
        "workers request CPU or memory, so kube-scheduler itself prefers emptier nodes",
    )
    SPREAD_PRESENT = "spread-already-set", "the manifest already sets spreading for this topology key"
    # scheduler-placement
    SCHEDULER_PLACEMENT_ADDED = (
        "scheduler-placement-added",
        "the Dask scheduler prefers nodes that run other Dask schedulers and none of its own workers",
    )
    SCHEDULER_PLACEMENT_PRESENT = (
        "scheduler-placement-already-set",
        "the user or an earlier admission already places Dask schedulers or workers by node",
    )
    SCHEDULER_PLACEMENT_KEEP = "scheduler-placement-keep", "the namespace's scheduler-placement is keep"
    SCHEDULER_WITHOUT_GPU = "scheduler-without-gpu", "the Dask scheduler requests no GPU"
    SCHEDULER_HINTED = "scheduler-hinted", "a capacity hint places the Dask scheduler"
    SCHEDULER_POD = (
        "scheduler-pod",
        "the Dask scheduler's pod copies the template of its DaskCluster or DaskJob, where the rule decides",
    )
    # gpu, scheduler-gpu
    GPU_SHARE_PRESENT = "gpu-share-already-set", "an annotation or label requests a share of a GPU for the pod"
    GPU_ELSEWHERE = "gpu-in-another-container", "another container of the pod requests an accelerator"
    GPU_LIMIT_ADDED = "gpu-limit-added", "the Dask container gets a GPU limit"
    GPU_LIMIT_COMPLETED = (
        "gpu-limit-completed",
        "the container's GPU request is copied to its limits, since Kubernetes rejects a request without a limit",
    )
    GPU_PRESENT = "gpu-already-set", "the container already requests this GPU resource"
    OTHER_DEVICE_PRESENT = "other-device-already-set", "the container requests another accelerator"
    RESOURCE_CLAIM_PRESENT = "resource-claim-already-set", "the container gets its devices from a resource claim"
    GPU_LIMIT_OFF = "gpu-limit-off", "the namespace adds no GPU limit to pods of this role"
    NO_CONTAINER = "no-container", "the pod spec has no container"
    CONTAINER_UNSURE = "container-unsure", "the container that runs Dask is unknown, or several containers run it"
    # command
    COMMAND_CONVERTED = "command-converted", "the command is converted to dask-cuda's worker"
    COMMAND_CUDA_ALREADY = "command-already-dask-cuda", "the command already starts dask-cuda's worker"
    COMMAND_FROM_IMAGE = "command-from-image", "the manifest sets no command, so the image's command runs"
    COMMAND_OF_USER = "command-not-dask-worker", "the command starts no Dask worker, or only prints help or a version"
    COMMAND_UNSURE = "command-unsure", "the command may start a Dask worker but cannot be converted safely"
    COMMAND_SHELL_UNSURE = "command-shell-unsure", "a shell script in the command cannot be converted safely"
    COMMAND_OPTION_UNSURE = "command-option-unsure", "an option of the command cannot be converted safely"
    COMMAND_OPTION_NEEDED = (
        "command-option-needed",
        "dask-cuda does not accept an option that the worker needs to be reachable",
    )
    COMMAND_NOT_IN_VERSION = (
        "command-not-in-version",
        "the image's version of dask-cuda does not accept an option that the worker needs; other versions do",
    )
    COMMAND_OFF = "command-off", "the namespace's worker-command is keep"
    NO_GPU_WANTED = "no-gpu-wanted", "the worker requests 0 GPUs, so its command is unmodified"
    NOT_A_CUDA_DEVICE = "not-a-cuda-device", "the worker's accelerator is not a known NVIDIA device"
    NO_CUDA_DEVICE = "no-cuda-device", "the container requests no device, and dask-cuda does not start without one"
    MIG_SLICE = "mig-slice", "dask-cuda fails at startup on a MIG slice; the plain Dask worker runs there"
    IMAGE_WITHOUT_DASK_CUDA = "image-without-dask-cuda", "the image is known to lack dask-cuda, and nothing adds it"
    # dask-cli
    DASK_CLI_OFF = "dask-cli-off", "the namespace's dask-cli is keep"
    DASK_CLI_REPLACED = (
        "dask-cli-replaced",
        "a script that distributed 2026.6 removed is replaced by the subcommand of dask",
    )
    DASK_CLI_NO_SCRIPT = "dask-cli-no-script", "the container starts neither dask-scheduler nor dask-worker"
    DASK_CLI_CONVERTED = "dask-cli-converted", "rule command converts the script to dask-cuda's worker"
    DASK_CLI_UNSURE = "dask-cli-unsure", "a Dask script in the command cannot be replaced safely"
    # capacity-hint
    CAPACITY_HINT_OFF = "capacity-hint-off", "the namespace's capacity-hint is false"
    HINT_ADDED = "hint-added", "pods prefer nodes on which the whole group fits"
    HINT_REPLACED = "hint-replaced", "the group grew, or no longer fits on its nodes; the new nodes are preferred"
    HINT_RESTORED = "hint-restored", "an update removed the preferred nodes; they are set again"
    HINT_PRESENT = "hint-already-set", "an earlier admission already set the preferred nodes"
    CAPACITY_UNKNOWN = (
        "capacity-unknown",
        "this installation does not watch capacity, or its informers have not completed their first list",
    )
    CAPACITY_FORBIDDEN = "capacity-forbidden", "RBAC forbids this installation to list nodes or pods"
    CAPACITY_STALE = "capacity-stale", "the cached capacity is stale: the API server has not responded for too long"
    CAPACITY_FULL = "capacity-full", "the free GPUs are too few for all workers, or for the Dask scheduler"
    GROUP_UNKNOWN = "worker-group-unknown", "the pod's worker group is not in the cache, so its size is unknown"
    NO_WORKERS_ADDED = "no-workers-added", "the change adds no workers, or the hint still covers the group's size"
    NO_GPU_ASKED = "no-gpu-asked", "the pods request no GPU, or several kinds of GPUs"
    # any rule
    CPU_WORKER = "cpu-worker", "the pod runs a CPU worker and is unmodified; the detail names the evidence"
    MALFORMED = "malformed", "a parent field has the wrong type, or a list is too long to read"
    WARN_MODE = "warn-mode", "the namespace's mode is warn: the change is reported but not applied"


class Decision(NamedTuple):
    """Decision of one rule on one pod template.

    Attributes:
        rule: Stable name of the rule.
        role: Role of the template's pods.
        pointer: JSON pointer of the template's pod spec.
        outcome: The outcome.
        reason: Code of the reason.
        detail: One line for people, with names and values. For an applied rule a verb phrase ("add ...").
        operations: The patch; empty unless applied.
        warnings: Lines for the user who sent the request.
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
"""Pure function: no clock, environment or I/O. Raises only `UnpatchableError` and `TooLargeError`."""


class DecisionBuilder(NamedTuple):
    """Builder of one rule's decision on one pod template, with a method for each outcome."""

    rule: str
    template: PodTemplate

    def applied(self, reason: Reason, detail: str, *operations: Operation, warnings: tuple[str, ...] = ()) -> Decision:
        """Return a decision that changes the object by `operations`."""
        return self._decision(Outcome.APPLIED, reason, detail)._replace(operations=operations, warnings=warnings)

    def kept(self, reason: Reason, detail: str, *warnings: str) -> Decision:
        """Return a decision that keeps the fields as they are."""
        return self._decision(Outcome.KEPT, reason, detail, warnings)

    def skipped(self, reason: Reason, detail: str) -> Decision:
        """Return a decision that the rule does not apply."""
        return self._decision(Outcome.SKIPPED, reason, detail)

    def refused(self, reason: Reason, detail: str) -> Decision:
        """Return a decision that changes nothing and warns, since the rule cannot decide safely."""
        return self._decision(Outcome.REFUSED, reason, detail, (detail,))

    def without_container(self) -> Decision:
        """Return the decision for a pod spec without a container that certainly runs Dask."""
        if self.template.container_problem:
            return self.refused(Reason.CONTAINER_UNSURE, self.template.container_problem)
        return self.skipped(Reason.NO_CONTAINER, "the pod spec has no container")

    def _decision(self, outcome: Outcome, reason: Reason, detail: str, warnings: tuple[str, ...] = ()) -> Decision:
        template = self.template
        return Decision(self.rule, template.role, template.pointer, outcome, reason, detail, warnings=warnings)
