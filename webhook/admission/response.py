"""AdmissionReview v1 responses: their content and their rendering as JSON.

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

WARNING_PREFIX = "dask-colocate: "
# Characters, with the prefix. The API server truncates longer warnings (API reference, AdmissionResponse).
MAX_WARNING_LENGTH = 256


class Status(StrEnum):
    """Last step that a request reached."""

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
    """Content of a response, which always allows the request.

    Attributes:
        status: Last step that the request reached.
        decisions: Decisions of every rule; empty unless `status` is decided.
        operations: The JSON patch; empty if nothing changes.
        warnings: Warnings for the user, which `kubectl` prints, without the prefix.
        audit: Audit annotations, to whose keys the API server prepends the webhook's name.
        worker: Classification of the worker pod template; None without one, and unless `status` is decided.
    """

    status: Status
    decisions: tuple[Decision, ...] = ()
    operations: tuple[Operation, ...] = ()
    warnings: tuple[str, ...] = ()
    audit: tuple[tuple[str, str], ...] = ()
    worker: Classification | None = None


def printable(text: str) -> str:
    """Truncate a text to the length of a warning, and replace control characters.

    The API server drops a warning that contains control characters.
    """
    limit = MAX_WARNING_LENGTH - len(WARNING_PREFIX)
    line = "".join(character if character.isprintable() else "?" for character in text)
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


@dataclass(slots=True, eq=False)
class RenderedResponse:
    """A response as JSON, for any request with the same content.

    Attributes:
        response: Content of the response.
        after_uid: Bytes of the AdmissionReview that follow the uid.
        sent: Number of requests answered with it; equal workers share a response.
    """

    response: AdmissionResponse
    after_uid: bytes
    sent: int = 0

    def to(self, uid: str) -> bytes:
        """Return the AdmissionReview for the request `uid`."""
        return _BEFORE_UID + orjson.dumps(uid) + self.after_uid


_BEFORE_UID = f'{{"apiVersion":"{API_VERSION}","kind":"AdmissionReview","response":{{"uid":'.encode()


def render(response: AdmissionResponse) -> RenderedResponse:
    """Render a response as JSON."""
    fields: dict[str, Unstructured] = {"allowed": True}
    if response.operations:
        patch = orjson.dumps([operation.as_json() for operation in response.operations])
        fields |= {"patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}
    if response.warnings:
        fields["warnings"] = [f"{WARNING_PREFIX}{warning}" for warning in response.warnings]
    if response.audit:
        fields["auditAnnotations"] = dict(response.audit)
    return RenderedResponse(response, b"," + orjson.dumps(fields)[1:] + b"}")


def parse_response(body: bytes) -> Mapping[str, Unstructured]:
    """Return the response in an AdmissionReview, with its patch decoded into a list of operations."""
    response = dict(mapping(orjson.loads(body), "response"))
    if encoded := response.pop("patch", None):
        response["patch"] = orjson.loads(base64.b64decode(encoded))
    return response
