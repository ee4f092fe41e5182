"""Parsing of AdmissionReview v1 requests.

Source: Kubernetes API reference, `admission.k8s.io/v1` AdmissionReview and AdmissionRequest.
"""

from typing import NamedTuple

import orjson

from webhook.workloads.unstructured import Unstructured, mapping, text, to_text

API_VERSION = "admission.k8s.io/v1"
MAX_UID_LENGTH = 253  # characters; an API server's uid has 36, and every response repeats it


class MalformedReviewError(ValueError):
    """The body is not an AdmissionReview v1 request; the message names what is wrong."""


class AdmissionRequest(NamedTuple):
    """One request of the API server.

    Attributes:
        uid: Identifies the request; repeated in the response.
        kind: Kind of the object, such as DaskCluster.
        operation: CREATE, UPDATE, DELETE or CONNECT.
        subresource: Such as `scale`; empty for the object itself.
        namespace: Namespace of the object.
        name: Name of the object; empty under `generateName`.
        item: The object as sent, None on DELETE. Never modified.
        old_item: The object before an UPDATE, else None.
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
    """Parse the request in an AdmissionReview.

    Raises:
        MalformedReviewError: `body` is not JSON, not an AdmissionReview v1, or has no request with a uid of at most
            253 characters.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedReviewError(f"the body is not JSON: {error}") from None
    return parse_document(document)


def parse_document(document: Unstructured) -> AdmissionRequest:
    """Parse the request in a decoded AdmissionReview; raise like `parse`."""
    review = mapping(document)
    api_version, kind = review.get("apiVersion"), review.get("kind")
    if (api_version, kind) != (API_VERSION, "AdmissionReview"):
        actual = f"{to_text(kind)!a} of {to_text(api_version)!a}"
        raise MalformedReviewError(f"expected an AdmissionReview of {API_VERSION}, got {actual}")
    request = mapping(review, "request")
    uid = text(request, "uid")
    if uid is None:
        raise MalformedReviewError("the AdmissionReview has no request with a uid")
    if len(uid) > MAX_UID_LENGTH:
        raise MalformedReviewError(f"the uid has more than {MAX_UID_LENGTH} characters")
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
