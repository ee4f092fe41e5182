"""Handler of admission requests: a request becomes a response, which is always `allowed`.

| situation | answer |
|---|---|
| the body is no AdmissionReview v1 | `MalformedReviewError`; the server answers 400 |
| nothing of ours in it, spec unchanged, being deleted, opted out, namespace not enabled | allowed, no patch |
| the namespace could not be read | allowed, no patch, audit annotation |
| a malformed annotation | allowed, the default used, warning |
| a rule cannot be sure | that rule is `refused` with a warning; the others still apply |
| an exception of our own | allowed, no patch, audit annotation |
"""

from collections.abc import Callable, Iterable

from webhook.admission.request import AdmissionRequest
from webhook.admission.response import AdmissionResponse, Status, printable
from webhook.mutators import (
    OfContainer,
    Plan,
    capacity,
    of_container,
    plan,
)
from webhook.mutators.decision import Outcome, Reason
from webhook.placement.model import UNWATCHED, Hints, Questions
from webhook.policy import Policy, Problem, TargetGroup, object_problems, opted_out
from webhook.workloads import pod_templates
from webhook.workloads.unstructured import Unstructured, mapping


def match(
    review: AdmissionRequest, read: Callable[[Unstructured], pod_templates.DaskObject | None] = pod_templates.read
) -> pod_templates.DaskObject | AdmissionResponse:
    """What concerns us in a review, or the verdict when nothing does. Needs no namespace.

    Pods are looked at when they are created, and never again: most of their spec is immutable. Custom resources
    are looked at whenever their spec changes, since `kubectl apply` puts back what its manifest says.

    Args:
        review: The request.
        read: `dask.read`, or the same with a memory.
    """
    if review.subresource or review.operation not in {"CREATE", "UPDATE"}:
        return AdmissionResponse(Status.NO_TARGET)
    subject = read(review.item)
    if subject is None or (review.operation == "UPDATE" and subject.kind == "Pod"):
        return AdmissionResponse(Status.NO_TARGET)
    if mapping(review.item, "metadata").get("deletionTimestamp"):
        return AdmissionResponse(Status.BEING_DELETED)
    if review.operation == "UPDATE" and _same_spec(review):
        return AdmissionResponse(Status.SPEC_UNCHANGED)
    if opted_out(subject.annotations):
        return _ended(Status.OPTED_OUT)
    return pod_templates.updated(subject, review.old_item) if review.operation == "UPDATE" else subject


def _same_spec(review: AdmissionRequest) -> bool:
    try:
        return mapping(review.item, "spec") == mapping(review.old_item, "spec")
    except RecursionError:  # two that are alike down to 1,000 levels, which no schema of ours allows
        return False


def questions(review: AdmissionRequest, subject: pod_templates.DaskObject, policy: Policy | None) -> Questions | Hints:
    """Return the questions about free capacity to ask before `decide`, or the hints where there is nothing to ask."""
    if policy is None or not (policy.enabled and policy.capacity_hint and _group(subject) in policy.targets):
        return UNWATCHED
    asked = capacity.questions(subject, policy, review.namespace, dry_run=review.dry_run)
    return asked.hints or asked


def decide(
    subject: pod_templates.DaskObject,
    policy: Policy | None,
    hints: Hints = UNWATCHED,
    contained: OfContainer = of_container,
) -> AdmissionResponse:
    """The verdict on a subject.

    Args:
        subject: From `match`.
        policy: Of its namespace; None when the namespace could not be read.
        hints: The answer to `questions`.
        contained: `of_container`, or the same with a memory.
    """
    if policy is None:
        return _ended(Status.NAMESPACE_UNKNOWN)
    if not policy.enabled:
        return _ended(Status.NOT_ENABLED, *policy.problems)
    problems = (*policy.problems, *object_problems(subject.annotations))
    if _group(subject) not in policy.targets:
        return _ended(Status.NOT_TARGETED, *problems)
    decided = plan(subject.targets, policy, hints, contained)
    return AdmissionResponse(
        Status.DECIDED,
        decisions=decided.decisions,
        operations=decided.operations,
        warnings=_lines((*(problem.text for problem in problems), *decided.warnings)),
        audit=_audit(decided, policy),
        worker=decided.worker,
    )


def _group(subject: pod_templates.DaskObject) -> TargetGroup:
    return TargetGroup.PODS if subject.kind == "Pod" else TargetGroup.RESOURCES


def failed() -> AdmissionResponse:
    """The verdict after an exception of our own: other people's work goes on."""
    return _ended(Status.INTERNAL_ERROR)


def _ended(status: Status, *problems: Problem) -> AdmissionResponse:
    """An object of ours that stays as it is; the audit log says why."""
    return AdmissionResponse(
        status, warnings=_lines(problem.text for problem in problems), audit=(("status", status.value),)
    )


def _lines(warnings: Iterable[str]) -> tuple[str, ...]:
    """Each warning once: a problem of an object is often its workers' too."""
    return tuple(dict.fromkeys(map(printable, warnings)))


# Asked for each decision: Python 3.11 takes 0.1 us to find a member of an enumeration by its name.
_SKIPPED, _WARN_MODE = Outcome.SKIPPED, Reason.WARN_MODE


def _audit(decided: Plan, policy: Policy) -> tuple[tuple[str, str], ...]:
    told = [
        f"{decision.role!s}/{decision.rule}={decision.outcome!s}:{decision.reason!s}"  # !s: half the time of none
        for decision in decided.decisions
        if decision.outcome is not _SKIPPED or decision.reason is _WARN_MODE
    ]
    worker = (("worker", printable(decided.worker.sentence)),) if decided.worker else ()
    return (("decisions", " ".join(told)), ("mode", str(policy.mode)), *worker)
