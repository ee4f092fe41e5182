"""What a rule says: a Decision, as data. Everything the outside sees is a rendering of it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from webhook.dask import Role, Target
from webhook.mutation.patch import Operation
from webhook.policy import Policy


class Outcome(StrEnum):
    """What became of one rule on one target."""

    APPLIED = "applied"  # it changes the object
    KEPT = "kept"  # what the user, or an earlier pass, wrote stands
    SKIPPED = "skipped"  # it has nothing to do here
    REFUSED = "refused"  # it cannot be sure, changes nothing and warns


class Reason(StrEnum):
    """Why. Stable: dashboards, alerts and tests hold on to these codes."""

    # affinity
    AFFINITY_ADDED = "affinity-added"
    AFFINITY_PRESENT = "affinity-already-set"
    ANTI_AFFINITY_PRESENT = "anti-affinity-already-set"
    GUIDE_AFFINITY_PRESENT = "guide-affinity-already-set"
    GUIDE_AFFINITY_UPGRADED = "guide-affinity-upgraded"
    TOPOLOGY_NONE = "topology-none"
    CLUSTER_NAME_UNKNOWN = "cluster-name-unknown"
    CLUSTER_NAME_INVALID = "cluster-name-invalid"
    # apart
    APART_ADDED = "apart-added"
    APART_OFF = "apart-off"
    # emptier
    EMPTIER_ADDED = "emptier-added"
    EMPTIER_OFF = "emptier-off"
    REQUESTS_PRESENT = "requests-already-set"
    SPREAD_PRESENT = "spread-already-set"
    # gpu, scheduler-gpu
    GPU_LIMIT_ADDED = "gpu-limit-added"
    GPU_LIMIT_COMPLETED = "gpu-limit-completed"
    GPU_PRESENT = "gpu-already-set"
    OTHER_DEVICE_PRESENT = "other-device-already-set"
    RESOURCE_CLAIM_PRESENT = "resource-claim-already-set"
    GPU_LIMIT_OFF = "gpu-limit-off"
    NO_CONTAINER = "no-container"
    # command
    COMMAND_CONVERTED = "command-converted"
    COMMAND_CUDA_ALREADY = "command-already-dask-cuda"
    COMMAND_FROM_IMAGE = "command-from-image"
    COMMAND_OF_USER = "command-not-dask-worker"
    COMMAND_UNSURE = "command-unsure"
    COMMAND_SHELL_UNSURE = "command-shell-unsure"
    COMMAND_OPTION_UNSURE = "command-option-unsure"
    COMMAND_NOT_IN_VERSION = "command-not-in-version"
    COMMAND_OFF = "command-off"
    NO_GPU_WANTED = "no-gpu-wanted"
    NOT_A_CUDA_DEVICE = "not-a-cuda-device"
    # capacity-hint
    CAPACITY_HINT_OFF = "capacity-hint-off"
    CAPACITY_UNKNOWN = "capacity-unknown"
    # any rule
    MALFORMED = "malformed"
    WARN_MODE = "warn-mode"


# What the API reference of AdmissionResponse asks of a warning: "limit warnings to 120 characters if possible".
LONGEST_WARNING = 120


def told(text: str) -> str:
    """A text as a warning: cut where names or values of the user's made it too long."""
    return text if len(text) <= LONGEST_WARNING else f"{text[: LONGEST_WARNING - 3]}..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
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


Rule: TypeAlias = Callable[[Target, Policy], Decision]
"""Pure and synchronous: no clock, no environment, no I/O, no exception but `Unpatchable`."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """Makes the decisions of one rule on one target; the four outcomes are its four methods."""

    rule: str
    target: Target

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
            warnings=tuple(map(told, warnings)),
        )
