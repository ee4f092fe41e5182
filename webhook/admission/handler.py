"""Bytes become a Review, a Review a Verdict, a Verdict bytes. The only file that knows the wire format.

Source: Kubernetes API reference, `admission.k8s.io/v1` AdmissionReview. What is answered when nothing can be
decided:

| situation | answer |
|---|---|
| the body is no AdmissionReview v1 | `MalformedReviewError`; the server answers 400 |
| nothing of ours in it, spec unchanged, being deleted, opted out, namespace not enabled | allowed, no patch |
| the namespace could not be read | allowed, no patch, audit annotation |
| a malformed annotation | allowed, the default used, warning |
| a rule cannot be sure | that rule is `refused` with a warning; the others still apply |
| an exception of our own | allowed, no patch, audit annotation |
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import orjson

from webhook.mutators import (
    OfContainer,
    Plan,
    capacity,
    of_container,
    plan,
)
from webhook.mutators.decision import Decision, Outcome, Reason
from webhook.mutators.gpu_workers import Classification
from webhook.mutators.patch import Operation
from webhook.placement.model import UNWATCHED, Hints, Questions
from webhook.policy import Policy, Problem, TargetGroup, object_problems, opted_out
from webhook.workloads import pod_templates
from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    text,
    to_text,
)

API_VERSION = "admission.k8s.io/v1"
LONGEST_WARNING = 256
LONGEST_UID = 253  # characters; an API server's have 36, and every answer says its request's again


class MalformedReviewError(ValueError):
    """The body is not an AdmissionReview v1 request; the message says what is missing."""


class Status(StrEnum):
    """How far a review got."""

    DECIDED = "decided"
    NO_TARGET = "no-target"
    SPEC_UNCHANGED = "spec-unchanged"
    BEING_DELETED = "being-deleted"
    OPTED_OUT = "opted-out"
    NOT_ENABLED = "not-enabled"
    NOT_TARGETED = "not-targeted"
    NAMESPACE_UNKNOWN = "namespace-unknown"
    INTERNAL_ERROR = "internal-error"


class AdmissionRequest(NamedTuple):
    """One request of the API server.

    Attributes:
        uid: Echoed in the answer.
        kind: Of the object, such as DaskCluster.
        operation: CREATE, UPDATE, DELETE or CONNECT.
        subresource: Such as `scale`; empty for the object itself.
        namespace: Where the object lives.
        name: Of the object; empty under `generateName`.
        item: The object as sent, None on DELETE. Never modified.
        old_item: Before an UPDATE, else None.
        dry_run: Whether nothing will be stored.
    """

    uid: str
    kind: str
    operation: str
    subresource: str
    namespace: str
    name: str
    item: Unstructured
    old_item: Unstructured
    dry_run: bool = False


class AdmissionResponse(NamedTuple):
    """What is answered. Always allowed: this webhook never stands in anyone's way.

    Attributes:
        status: How far the review got.
        decisions: Of every rule; empty unless `status` is decided.
        operations: The patch; empty when nothing changes.
        warnings: What the user reads, for example in the output of `kubectl`.
        audit: Audit annotations, without the webhook's name, which the API server puts before them.
        worker: What the object's worker pod template is, and why; None unless `status` is decided.
    """

    status: Status
    decisions: tuple[Decision, ...] = ()
    operations: tuple[Operation, ...] = ()
    warnings: tuple[str, ...] = ()
    audit: tuple[tuple[str, str], ...] = ()
    worker: Classification | None = None


# ---- bytes to Review ------------------------------------------------------------------------------


def parse(body: bytes) -> AdmissionRequest:
    """The request in an AdmissionReview.

    Raises:
        MalformedReviewError: `body` is no JSON, no AdmissionReview v1, or has no request with a uid of at most 253
            characters.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedReviewError(f"the body is not JSON: {error}") from None
    return review_of(document)


def review_of(document: Unstructured) -> AdmissionRequest:
    """The request in a parsed AdmissionReview. Raises like `parse`."""
    envelope = mapping(document)
    found = (envelope.get("apiVersion"), envelope.get("kind"))
    if found != (API_VERSION, "AdmissionReview"):
        got = " of ".join(ascii(to_text(each)) for each in reversed(found))
        raise MalformedReviewError(f"expected an AdmissionReview of {API_VERSION}, got {got}")
    request = mapping(envelope, "request")
    uid = text(request, "uid")
    if uid is None:
        raise MalformedReviewError("the AdmissionReview has no request with a uid")
    if len(uid) > LONGEST_UID:
        raise MalformedReviewError(f"the uid has more than {LONGEST_UID} characters")
    return AdmissionRequest(
        uid=uid,
        kind=text(request, "kind", "kind") or "",
        operation=text(request, "operation") or "",
        subresource=text(request, "subResource") or "",
        namespace=text(request, "namespace") or "",
        name=text(request, "name") or text(request, "object", "metadata", "name") or "",
        item=request.get("object"),
        old_item=request.get("oldObject"),
        dry_run=request.get("dryRun") is True,
    )


# ---- Review to Verdict ----------------------------------------------------------------------------


def consider(
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
        subject: From `consider`.
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
    return tuple(dict.fromkeys(map(_line, warnings)))


def _line(warning: str) -> str:
    """A warning as it survives the way to the user.

    The API server drops what holds control characters, and cuts at 256 (API reference, AdmissionResponse).
    """
    shown = warning if warning.isprintable() else "".join(each if each.isprintable() else "?" for each in warning)
    return shown if len(shown) <= LONGEST_WARNING else f"{shown[: LONGEST_WARNING - 3]}..."


# Asked for each decision: Python 3.11 takes 0.1 us to find a member of an enumeration by its name.
_SKIPPED, _WARN_MODE = Outcome.SKIPPED, Reason.WARN_MODE


def _audit(decided: Plan, policy: Policy) -> tuple[tuple[str, str], ...]:
    told = [
        f"{decision.role!s}/{decision.rule}={decision.outcome!s}:{decision.reason!s}"  # !s: half the time of none
        for decision in decided.decisions
        if decision.outcome is not _SKIPPED or decision.reason is _WARN_MODE
    ]
    worker = (("worker", _line(decided.worker.sentence)),) if decided.worker else ()
    return (("decisions", " ".join(told)), ("mode", str(policy.mode)), *worker)


# ---- Verdict to bytes -----------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class RenderedResponse:
    """A verdict as it goes out, but for the uid of the request it answers.

    Attributes:
        verdict: What is answered.
        behind_uid: The AdmissionReview's bytes that follow the uid.
        sent: How often it went out before: workers that are alike share one.
    """

    verdict: AdmissionResponse
    behind_uid: bytes
    sent: int = 0

    def to(self, uid: str) -> bytes:
        """The AdmissionReview that answers the request `uid`."""
        return _BEFORE_UID + orjson.dumps(uid) + self.behind_uid


_BEFORE_UID = f'{{"apiVersion":"{API_VERSION}","kind":"AdmissionReview","response":{{"uid":'.encode()


def answer(verdict: AdmissionResponse) -> RenderedResponse:
    """A verdict made ready to be sent, as often as it is asked for."""
    response: dict[str, Unstructured] = {"allowed": True}
    if verdict.operations:
        patch = orjson.dumps([operation.as_json() for operation in verdict.operations])
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}
    if verdict.warnings:
        response["warnings"] = verdict.warnings
    if verdict.audit:
        response["auditAnnotations"] = dict(verdict.audit)
    return RenderedResponse(verdict, b"," + orjson.dumps(response)[1:] + b"}")


def render(uid: str, verdict: AdmissionResponse) -> bytes:
    """The AdmissionReview that answers the request `uid`."""
    return answer(verdict).to(uid)


def answered(body: bytes) -> Mapping[str, Unstructured]:
    """The response in an AdmissionReview as `Answer.to` makes it, its patch decoded into a list of operations."""
    response = dict(mapping(orjson.loads(body), "response"))
    if encoded := response.pop("patch", None):
        response["patch"] = orjson.loads(base64.b64decode(encoded))
    return response
