"""Targets and a Policy become a Plan: one Decision for each rule on each target.

After a plan's operations are applied, planning again gives only `kept`, `skipped` and what was `refused`: the law
that makes reinvocation, `kubectl apply` again and the operator's own copying safe.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from webhook.mutators.affinity import affinity
from webhook.mutators.anti_affinity import apart
from webhook.mutators.capacity import capacity_hint
from webhook.mutators.command import command
from webhook.mutators.decision import (
    Decision,
    DecisionBuilder,
    Outcome,
    Reason,
    Rule,
    told,
)
from webhook.mutators.gpu import gpu, scheduler_gpu
from webhook.mutators.patch import Operation, UnpatchableError, combine
from webhook.mutators.scheduler_placement import scheduler_placement
from webhook.mutators.spread import emptier
from webhook.placement.model import UNWATCHED, Hints
from webhook.policy import Mode, Policy, SchedulerPlacement
from webhook.workloads.pod_templates import PodTemplate, Role
from webhook.workloads.unstructured import TooLargeError

RULES: Mapping[Role, Mapping[str, Rule]] = {
    Role.WORKER: {
        "affinity": affinity,
        "apart": apart,
        "emptier": emptier,
        "gpu": gpu,
        "command": command,
        "capacity-hint": capacity_hint,
    },
    Role.SCHEDULER: {
        "scheduler-placement": scheduler_placement,
        "scheduler-gpu": scheduler_gpu,
        "capacity-hint": capacity_hint,
    },
}
# Rules that take the hint for their role as a further argument.
_HINTED: Mapping[str, Callable[..., Decision]] = {
    "scheduler-placement": scheduler_placement,
    "capacity-hint": capacity_hint,
}
# Under which policies a rule looks at no more of a target than its Dask container: some always, others when the
# namespace turned them off and they look at nothing. A rule that is not here sees every target whole.
_CONTAINED: Mapping[str, Callable[[Policy], bool]] = {
    "affinity": lambda policy: not policy.topology,
    "apart": lambda policy: not policy.apart,
    "emptier": lambda policy: not policy.emptier_first,
    "scheduler-placement": lambda policy: policy.scheduler_placement is SchedulerPlacement.KEEP or not policy.topology,
    "gpu": lambda _: True,
    "command": lambda _: True,
    "capacity-hint": lambda policy: not policy.capacity_hint,
    "scheduler-gpu": lambda _: True,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """All decisions on one object.

    Attributes:
        decisions: In the order of targets, then rules.
    """

    decisions: tuple[Decision, ...]

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The patch: empty when nothing changes."""
        return combine([each for decision in self.decisions if decision.operations for each in decision.operations])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user is told, each line once."""
        told = [line for decision in self.decisions if decision.warnings for line in decision.warnings]
        return tuple(dict.fromkeys(told))


OfContainer: TypeAlias = Callable[[PodTemplate, Policy], Mapping[str, Decision]]
"""What the rules that need no more of a target than its Dask container say of it, by their names."""


def of_container(target: PodTemplate, policy: Policy) -> Mapping[str, Decision]:
    """The decisions of the rules for which `dask.contained` leaves enough of a target, under this policy."""
    return {
        name: _decide(name, rule, target, policy)
        for name, rule in RULES[target.role].items()
        if name in _CONTAINED and _CONTAINED[name](policy)
    }


def plan(
    targets: Sequence[PodTemplate], policy: Policy, hints: Hints = UNWATCHED, contained: OfContainer = of_container
) -> Plan:
    """What happens to the targets under the policy. Pure; raises nothing for any parsed JSON.

    Args:
        targets: Of one object.
        policy: Of its namespace.
        hints: The hosts where its pods fit, or why none are named.
        contained: `of_container`, or the same with a memory.
    """
    decisions = (
        said.get(name) or _decide(name, rule, target, policy)
        for target in targets
        for said in (contained(target, policy),)
        for name, rule in _rules(target.role, hints).items()
    )
    return Plan(tuple(map(_only_told, decisions) if policy.mode is Mode.WARN else decisions))


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


def _only_told(decision: Decision) -> Decision:
    """In mode `warn` a change is told, not made; what the rule says of it as made is left out."""
    if decision.outcome is not Outcome.APPLIED:
        return decision
    text = f"mode is warn, not done: {decision.detail}"
    return decision._replace(
        outcome=Outcome.SKIPPED,
        reason=Reason.WARN_MODE,
        detail=text,
        operations=(),
        warnings=(told(text),),
    )
