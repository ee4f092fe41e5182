"""Handler of admission requests: `match`, `questions` and `decide`, in this order.

Every response allows the request:

| situation | response |
|---|---|
| the body is not an AdmissionReview v1 | none: `MalformedReviewError`, and the server answers 400 |
| no Dask object, unchanged spec, deletion in progress, opted out, namespace not enabled | no patch |
| the namespace could not be read | no patch, audit annotation |
| a malformed annotation | the default applies, warning |
| a rule cannot apply safely | that rule is `refused` with a warning; the other rules apply |
| an internal error | no patch, audit annotation |
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
from webhook.workloads.pod_templates import DaskObject
from webhook.workloads.unstructured import Unstructured, mapping


def match(
    request: AdmissionRequest, read: Callable[[Unstructured], DaskObject | None] = pod_templates.read
) -> DaskObject | AdmissionResponse:
    """Return the Dask object of a request, or the response if there is nothing to decide. Needs no namespace.

    Pods match at CREATE only, as most of their spec is immutable. Custom resources match whenever their spec changes,
    because `kubectl apply` restores the fields of its manifest.

    Args:
        request: The request.
        read: `pod_templates.read`, or a cached version.
    """
    is_update = request.operation == "UPDATE"
    if request.subresource or not (is_update or request.operation == "CREATE"):
        return AdmissionResponse(Status.NO_TARGET)
    dask_object = read(request.item)
    if dask_object is None or (is_update and dask_object.kind == "Pod"):
        return AdmissionResponse(Status.NO_TARGET)
    if mapping(request.item, "metadata").get("deletionTimestamp"):
        return AdmissionResponse(Status.BEING_DELETED)
    if is_update and _is_spec_unchanged(request):
        return AdmissionResponse(Status.SPEC_UNCHANGED)
    if opted_out(dask_object.annotations):
        return _undecided(Status.OPTED_OUT)
    return pod_templates.updated(dask_object, request.old_item) if is_update else dask_object


def _is_spec_unchanged(request: AdmissionRequest) -> bool:
    try:
        return mapping(request.item, "spec") == mapping(request.old_item, "spec")
    except RecursionError:  # equal down to 1,000 levels, which no schema of these objects allows
        return False


def questions(request: AdmissionRequest, dask_object: DaskObject, policy: Policy | None) -> Questions | Hints:
    """Return the questions about free capacity to answer before `decide`, or the hints if there is no question."""
    if policy is None or not (policy.enabled and policy.capacity_hint and _target_group(dask_object) in policy.targets):
        return UNWATCHED
    asked = capacity.questions(dask_object, policy, request.namespace, dry_run=request.dry_run)
    return asked.hints or asked


def decide(
    dask_object: DaskObject,
    policy: Policy | None,
    hints: Hints = UNWATCHED,
    decide_container: OfContainer = of_container,
) -> AdmissionResponse:
    """Return the response for a Dask object.

    Args:
        dask_object: Result of `match`.
        policy: Effective policy of its namespace; None if the namespace could not be read.
        hints: Answer to `questions`.
        decide_container: `of_container`, or a cached version.
    """
    if policy is None:
        return _undecided(Status.NAMESPACE_UNKNOWN)
    if not policy.enabled:
        return _undecided(Status.NOT_ENABLED, *policy.problems)
    problems = (*policy.problems, *object_problems(dask_object.annotations))
    if _target_group(dask_object) not in policy.targets:
        return _undecided(Status.NOT_TARGETED, *problems)
    result = plan(dask_object.targets, policy, hints, decide_container)
    return AdmissionResponse(
        Status.DECIDED,
        decisions=result.decisions,
        operations=result.operations,
        warnings=_unique((*(problem.text for problem in problems), *result.warnings)),
        audit=_audit_annotations(result, policy),
        worker=result.worker,
    )


def failed() -> AdmissionResponse:
    """Return the response after an internal error."""
    return _undecided(Status.INTERNAL_ERROR)


def _target_group(dask_object: DaskObject) -> TargetGroup:
    return TargetGroup.PODS if dask_object.kind == "Pod" else TargetGroup.RESOURCES


def _undecided(status: Status, *problems: Problem) -> AdmissionResponse:
    """Return a response without a patch; the audit annotation has the status."""
    warnings = _unique(problem.text for problem in problems)
    return AdmissionResponse(status, warnings=warnings, audit=(("status", status.value),))


def _unique(warnings: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(printable, warnings)))


def _audit_annotations(result: Plan, policy: Policy) -> tuple[tuple[str, str], ...]:
    decisions = " ".join(
        f"{decision.role}/{decision.rule}={decision.outcome}:{decision.reason}"
        for decision in result.decisions
        if decision.outcome is not Outcome.SKIPPED or decision.reason is Reason.WARN_MODE
    )
    worker = (("worker", printable(result.worker.sentence)),) if result.worker else ()
    return (("decisions", decisions), ("mode", str(policy.mode)), *worker)
