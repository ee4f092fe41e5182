"""Targets and a Policy become a Plan: one Decision for each rule on each target.

After a plan's operations are applied, planning again gives only `kept`, `skipped` and what was `refused`: the law
that makes reinvocation, `kubectl apply` again and the operator's own copying safe.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

from webhook.mutators.affinity import affinity
from webhook.mutators.anti_affinity import apart
from webhook.mutators.capacity import capacity_hint
from webhook.mutators.command import NAME as COMMAND
from webhook.mutators.command import command
from webhook.mutators.dask_cli import NAME as DASK_CLI
from webhook.mutators.dask_cli import dask_cli
from webhook.mutators.decision import (
    Decision,
    DecisionBuilder,
    Outcome,
    Reason,
    Rule,
)
from webhook.mutators.gpu import gpu, scheduler_gpu
from webhook.mutators.gpu_workers import Classification, Kind, classify
from webhook.mutators.patch import Operation, UnpatchableError, combine
from webhook.mutators.scheduler_placement import scheduler_placement
from webhook.mutators.spread import emptier
from webhook.placement.model import UNWATCHED, Hints
from webhook.policy import LabelSelector, Mode, Policy, SchedulerPlacement
from webhook.workloads import pod_templates
from webhook.workloads.accelerators import Device
from webhook.workloads.pod_templates import PodTemplate, Role
from webhook.workloads.unstructured import TooLargeError, Unstructured

RULES: Mapping[Role, Mapping[str, Rule]] = {
    Role.WORKER: {
        "affinity": affinity,
        "apart": apart,
        "emptier": emptier,
        "gpu": gpu,
        "command": command,
        "dask-cli": dask_cli,
        "capacity-hint": capacity_hint,
    },
    Role.SCHEDULER: {
        "scheduler-placement": scheduler_placement,
        "scheduler-gpu": scheduler_gpu,
        "dask-cli": dask_cli,
        "capacity-hint": capacity_hint,
    },
}
# Rules that take the hint for their role as a further argument.
_HINTED: Mapping[str, Callable[..., Decision]] = {
    "scheduler-placement": scheduler_placement,
    "capacity-hint": capacity_hint,
}
# Under which policies a rule looks at no more of a target than `contained` leaves: some always, others when the
# namespace turned them off and they look at nothing. A rule that is not here sees every target whole.
_CONTAINED: Mapping[str, Callable[[Policy], bool]] = {
    "affinity": lambda policy: not policy.topology,
    "apart": lambda policy: not policy.apart,
    "emptier": lambda policy: not policy.emptier_first,
    "scheduler-placement": lambda policy: policy.scheduler_placement is SchedulerPlacement.KEEP or not policy.topology,
    "gpu": lambda _: True,
    "command": lambda _: True,
    "dask-cli": lambda _: True,
    "capacity-hint": lambda policy: not policy.capacity_hint,
    "scheduler-gpu": lambda _: True,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """All decisions on one object.

    Attributes:
        decisions: In the order of targets, then rules.
        worker: What its worker pod template is; None where it has none.
    """

    decisions: tuple[Decision, ...]
    worker: Classification | None = None

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The patch: empty when nothing changes."""
        return combine([each for decision in self.decisions if decision.operations for each in decision.operations])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user is told, each line once."""
        told = [line for decision in self.decisions if decision.warnings for line in decision.warnings]
        return tuple(dict.fromkeys(told))


class Contained(NamedTuple):
    """What is decided on a target from its classification and its Dask container.

    Attributes:
        worker: The classification; None for a Dask scheduler, and where the pod cannot be read.
        decisions: By rule; of every rule for a CPU worker.
    """

    worker: Classification | None
    decisions: Mapping[str, Decision]


OfContainer: TypeAlias = Callable[[PodTemplate, Policy], Contained]
"""`of_container`, or the same with a memory."""


def contained(target: PodTemplate, policy: Policy) -> Unstructured | None:
    """Return what `of_container` looks at under this policy, as JSON; None where the target has no container."""
    return pod_templates.contained(target, labelled=isinstance(policy.gpu_workers, LabelSelector))


def of_container(target: PodTemplate, policy: Policy) -> Contained:
    """Classify a target, and decide the rules for which `contained` leaves enough of it under this policy."""
    rules = RULES[target.role]
    if target.role is not Role.WORKER:
        return Contained(None, _decided(rules, target, policy))
    try:
        worker = classify(target, policy)
    except TooLargeError as error:
        refused = {name: DecisionBuilder(name, target).refused(Reason.MALFORMED, str(error)) for name in rules}
        return Contained(None, refused)
    if worker.gpu:
        classified = {"gpu": partial(gpu, worker=worker), "command": partial(command, worker=worker)}
        decisions = _decided({**rules, **classified}, target, policy)
    else:
        decisions = {name: DecisionBuilder(name, target).skipped(Reason.CPU_WORKER, str(worker)) for name in rules}
        decisions[DASK_CLI] = _decide(DASK_CLI, dask_cli, target, policy)  # also plain workers start again
    if warning := _warning(worker, policy):
        decisions["gpu"] = decisions["gpu"]._replace(warnings=(*decisions["gpu"].warnings, warning))
    return Contained(worker, decisions)


def _decided(rules: Mapping[str, Rule], target: PodTemplate, policy: Policy) -> dict[str, Decision]:
    return {
        name: _decide(name, rule, target, policy)
        for name, rule in rules.items()
        if name in _CONTAINED and _CONTAINED[name](policy)
    }


def _warning(worker: Classification, policy: Policy) -> str | None:
    """Return what the user should know of a classification: evidence that may be wrong, and what to write then."""
    first = worker.evidence[0]
    if first.kind is Kind.IMAGE:
        return f"{first}: its workers are left as CPU workers"
    if any(each.device is not Device.UNKNOWN for each in worker.evidence):
        return None
    return (
        f"{first.field} of container {first.container} counts as a GPU; if it is none, write {policy.gpu_resource} too"
    )


def plan(
    targets: Sequence[PodTemplate], policy: Policy, hints: Hints = UNWATCHED, contained: OfContainer = of_container
) -> Plan:
    """Return what happens to the targets under the policy. Pure; raises nothing for any parsed JSON.

    Args:
        targets: Of one object.
        policy: Of its namespace.
        hints: The hosts where its pods fit, or why none are named.
        contained: `of_container`, or the same with a memory.
    """
    said = [(target, contained(target, policy)) for target in targets]
    decisions = (
        decision
        for target, of in said
        for decision in _one_command(
            [
                of.decisions.get(name) or _decide(name, rule, target, policy)
                for name, rule in _rules(target.role, hints).items()
            ]
        )
    )
    return Plan(
        tuple(map(_report_only, decisions) if policy.mode is Mode.WARN else decisions),
        next((of.worker for _, of in said if of.worker), None),
    )


def _one_command(decisions: list[Decision]) -> list[Decision]:
    """Return the decisions on a pod template in which at most one rule changes the container's command."""
    if not any(decision.operations and decision.rule == COMMAND for decision in decisions):
        return decisions
    return [_converted(decision) if decision.rule == DASK_CLI else decision for decision in decisions]


def _converted(decision: Decision) -> Decision:
    if decision.reason is Reason.DASK_CLI_OFF:
        return decision
    return decision._replace(
        outcome=Outcome.SKIPPED,
        reason=Reason.DASK_CLI_CONVERTED,
        detail="rule command starts dask-cuda's worker",
        operations=(),
        warnings=(),
    )


def _rules(role: Role, hints: Hints) -> Mapping[str, Rule]:
    if hints is UNWATCHED:
        return RULES[role]
    hinted = {name: partial(rule, hint=hints.of(role)) for name, rule in _HINTED.items() if name in RULES[role]}
    return {**RULES[role], **hinted}


def _decide(name: str, rule: Rule, target: PodTemplate, policy: Policy) -> Decision:
    try:
        return rule(target, policy)
    except (UnpatchableError, TooLargeError) as error:
        return DecisionBuilder(name, target).refused(Reason.MALFORMED, str(error))


def _report_only(decision: Decision) -> Decision:
    """Return the decision in mode `warn`: a warning that replaces the change and the warnings of the applied rule."""
    if decision.outcome is not Outcome.APPLIED:
        return decision
    text = f"not applied (mode is warn): would {decision.detail}"
    return decision._replace(
        outcome=Outcome.SKIPPED,
        reason=Reason.WARN_MODE,
        detail=text,
        operations=(),
        warnings=(text,),
    )
