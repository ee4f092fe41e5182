"""Responses of the webhook: AdmissionReview v1 out.

Source: Kubernetes API reference, `admission.k8s.io/v1` AdmissionReview and AdmissionResponse.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import orjson

from webhook.admission.request import API_VERSION
from webhook.mutators.decision import Decision
from webhook.mutators.gpu_workers import Classification
from webhook.mutators.patch import Operation
from webhook.workloads.unstructured import Unstructured, mapping

LONGEST_WARNING = 256  # characters


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


def printable(warning: str) -> str:
    """A warning as it survives the way to the user.

    The API server drops what holds control characters, and cuts at 256 (API reference, AdmissionResponse).
    """
    shown = warning if warning.isprintable() else "".join(each if each.isprintable() else "?" for each in warning)
    return shown if len(shown) <= LONGEST_WARNING else f"{shown[: LONGEST_WARNING - 3]}..."


@dataclass(slots=True, eq=False)
class RenderedResponse:
    """A response as it goes out, but for the uid of the request it answers.

    Attributes:
        response: What is answered.
        after_uid: The AdmissionReview's bytes that follow the uid.
        sent: How often it went out before: workers that are alike share one.
    """

    response: AdmissionResponse
    after_uid: bytes
    sent: int = 0

    def to(self, uid: str) -> bytes:
        """The AdmissionReview that answers the request `uid`."""
        return _BEFORE_UID + orjson.dumps(uid) + self.after_uid


_BEFORE_UID = f'{{"apiVersion":"{API_VERSION}","kind":"AdmissionReview","response":{{"uid":'.encode()


def render(response: AdmissionResponse) -> RenderedResponse:
    """A response made ready to be sent, as often as it is asked for."""
    fields: dict[str, Unstructured] = {"allowed": True}
    if response.operations:
        patch = orjson.dumps([operation.as_json() for operation in response.operations])
        fields |= {"patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}
    if response.warnings:
        fields["warnings"] = response.warnings
    if response.audit:
        fields["auditAnnotations"] = dict(response.audit)
    return RenderedResponse(response, b"," + orjson.dumps(fields)[1:] + b"}")


def parse_response(body: bytes) -> Mapping[str, Unstructured]:
    """Return the response in an AdmissionReview, with its patch decoded into a list of operations."""
    response = dict(mapping(orjson.loads(body), "response"))
    if encoded := response.pop("patch", None):
        response["patch"] = orjson.loads(base64.b64decode(encoded))
    return response
