"""Plan of an object: one Decision of each rule on each pod template, under a Policy.

After a plan's operations are applied, a second plan changes nothing: its decisions are `kept`, `skipped` or `refused`.
Reinvocation, a repeated `kubectl apply` and the operator's copies of a pod template are therefore safe.
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
from webhook.workloads import cache_keys
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
# Rules that take the hint for their role as another argument.
_HINTED: Mapping[str, Callable[..., Decision]] = {
    "scheduler-placement": scheduler_placement,
    "capacity-hint": capacity_hint,
}
# Policies under which a rule reads no other fields of a pod template than `contained` returns: all policies for some
# rules, for others the policies that turn them off. A rule that is not listed reads the whole pod template.
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
        decisions: In the order of pod templates, then rules.
        worker: Classification of its worker pod template; None where it has none.
    """

    decisions: tuple[Decision, ...]
    worker: Classification | None = None

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The patch: empty when nothing changes."""
        return combine([each for decision in self.decisions if decision.operations for each in decision.operations])

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings for the user, each line once."""
        lines = [line for decision in self.decisions if decision.warnings for line in decision.warnings]
        return tuple(dict.fromkeys(lines))


class Contained(NamedTuple):
    """Decisions on a pod template that depend on nothing but its classification and its Dask container.

    Attributes:
        worker: The classification; None for a Dask scheduler, and where the pod cannot be read.
        decisions: The decisions by rule; for a CPU worker those of all rules.
    """

    worker: Classification | None
    decisions: Mapping[str, Decision]


OfContainer: TypeAlias = Callable[[PodTemplate, Policy], Contained]
"""`of_container`, or the same function with a cache."""


def contained(template: PodTemplate, policy: Policy) -> Unstructured | None:
    """Return the fields that `of_container` reads under this policy, as JSON; None without a Dask container."""
    return cache_keys.contained(template, labelled=isinstance(policy.gpu_workers, LabelSelector))


def of_container(template: PodTemplate, policy: Policy) -> Contained:
    """Classify a pod template, and decide the rules that read no other fields than `contained` returns."""
    rules = RULES[template.role]
    if template.role is not Role.WORKER:
        return Contained(None, _decided(rules, template, policy))
    try:
        worker = classify(template, policy)
    except TooLargeError as error:
        refused = {name: DecisionBuilder(name, template).refused(Reason.MALFORMED, str(error)) for name in rules}
        return Contained(None, refused)
    if worker.gpu:
        classified = {"gpu": partial(gpu, worker=worker), "command": partial(command, worker=worker)}
        decisions = _one_command(_decided({**rules, **classified}, template, policy))
    else:
        decisions = {name: DecisionBuilder(name, template).skipped(Reason.CPU_WORKER, str(worker)) for name in rules}
        decisions[DASK_CLI] = _decide(DASK_CLI, dask_cli, template, policy)  # a plain worker starts by a script too
    if warning := _warning(worker, policy):
        decisions["gpu"] = decisions["gpu"]._replace(warnings=(*decisions["gpu"].warnings, warning))
    return Contained(worker, decisions)


def _decided(rules: Mapping[str, Rule], template: PodTemplate, policy: Policy) -> dict[str, Decision]:
    return {
        name: _decide(name, rule, template, policy)
        for name, rule in rules.items()
        if name in _CONTAINED and _CONTAINED[name](policy)
    }


def _one_command(decisions: dict[str, Decision]) -> dict[str, Decision]:
    """Return the decisions on a pod template in which at most one rule changes the container's command."""
    cli = decisions[DASK_CLI]
    if not decisions[COMMAND].operations or cli.reason is Reason.DASK_CLI_OFF:
        return decisions
    converted = cli._replace(
        outcome=Outcome.SKIPPED,
        reason=Reason.DASK_CLI_CONVERTED,
        detail="rule command starts dask-cuda's worker",
        operations=(),
        warnings=(),
    )
    return {**decisions, DASK_CLI: converted}


def _warning(worker: Classification, policy: Policy) -> str | None:
    """Return a warning about evidence that may be wrong, with the annotation to write in that case; None for other."""
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
    """Return the plan for the pod templates of one object. Raises nothing for any parsed JSON.

    Args:
        targets: The object's pod templates.
        policy: The effective policy of its namespace.
        hints: The nodes where its pods fit, or the reason for no hint.
        contained: `of_container`, or the same function with a cache.
    """
    worker, decisions = None, []
    for template in targets:
        cached = contained(template, policy)
        worker = worker or cached.worker
        decisions += [
            cached.decisions.get(name) or _decide(name, rule, template, policy)
            for name, rule in _rules(template.role, hints).items()
        ]
    return Plan(tuple(map(_report_only, decisions) if policy.mode is Mode.WARN else decisions), worker)


def _rules(role: Role, hints: Hints) -> Mapping[str, Rule]:
    if hints is UNWATCHED:
        return RULES[role]
    hinted = {name: partial(rule, hint=hints.of(role)) for name, rule in _HINTED.items() if name in RULES[role]}
    return {**RULES[role], **hinted}


def _decide(name: str, rule: Rule, template: PodTemplate, policy: Policy) -> Decision:
    try:
        return rule(template, policy)
    except (UnpatchableError, TooLargeError) as error:
        return DecisionBuilder(name, template).refused(Reason.MALFORMED, str(error))


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
