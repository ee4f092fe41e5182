"""Requests of the API server: AdmissionReview v1 in.

Source: Kubernetes API reference, `admission.k8s.io/v1` AdmissionReview and AdmissionRequest.
"""

from typing import NamedTuple

import orjson

from webhook.workloads.unstructured import Unstructured, mapping, text, written

API_VERSION = "admission.k8s.io/v1"
LONGEST_UID = 253  # characters; an API server's have 36, and every answer says its request's again


class MalformedReviewError(ValueError):
    """The body is not an AdmissionReview v1 request; the message says what is missing."""


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
    return parse_document(document)


def parse_document(document: Unstructured) -> AdmissionRequest:
    """The request in a parsed AdmissionReview. Raises like `parse`."""
    envelope = mapping(document)
    found = (envelope.get("apiVersion"), envelope.get("kind"))
    if found != (API_VERSION, "AdmissionReview"):
        got = " of ".join(ascii(written(each)) for each in reversed(found))
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
