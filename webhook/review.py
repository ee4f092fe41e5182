"""What the webhook would do to manifests, and why. No cluster; the decisions are the webhook's own."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jsonpatch

from webhook import admission
from webhook.admission import MalformedReviewError, Review, Status, Verdict
from webhook.manifests import Manifest, ManifestError
from webhook.namespaces import Annotations
from webhook.namespaces.static import Static
from webhook.policy import ENABLED, Policy, resolve
from webhook.raw import Raw, text

# Where the user names no namespace, the question is what an enabled one would do.
ASSUMED: Annotations = frozenset({(ENABLED, "true")})


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One object and what becomes of it.

    Attributes:
        manifest: As it was read.
        review: The request that creating it would be.
        policy: What holds in its namespace; None where that is not known.
        verdict: What the webhook answers.
        result: The object afterwards; the manifest's own where nothing changes.
    """

    manifest: Manifest
    review: Review
    policy: Policy | None
    verdict: Verdict
    result: Raw

    @property
    def changed(self) -> bool:
        """Whether the webhook would change it."""
        return bool(self.verdict.operations)


def review(manifests: Sequence[Manifest], namespaces: Sequence[Manifest], defaults: Policy) -> tuple[Reviewed, ...]:
    """Review every object that is no Namespace.

    Args:
        manifests: What would be applied; Namespaces among them count as such.
        namespaces: Further Namespaces. Where there are none at all, every namespace is taken as enabled.
        defaults: The installation's.

    Raises:
        ManifestError: An AdmissionReview among the manifests is malformed.
    """
    known = Static(manifest.item for manifest in (*namespaces, *manifests))
    return tuple(
        _reviewed(manifest, _request(manifest, known), known, defaults)
        for manifest in manifests
        if text(manifest.item, "kind") != "Namespace"
    )


def _request(manifest: Manifest, known: Static) -> Review:
    if text(manifest.item, "kind") == "AdmissionReview":
        try:
            return admission.review_of(manifest.item)
        except MalformedReviewError as error:
            raise ManifestError(manifest.source, manifest.line, str(error)) from None
    only = known.names[0] if len(known.names) == 1 else "default"
    return Review(
        uid="",
        kind=text(manifest.item, "kind") or "",
        operation="CREATE",
        subresource="",
        namespace=text(manifest.item, "metadata", "namespace") or only,
        name=text(manifest.item, "metadata", "name") or text(manifest.item, "metadata", "generateName") or "",
        item=manifest.item,
        old_item=None,
    )


def _reviewed(manifest: Manifest, request: Review, known: Static, defaults: Policy) -> Reviewed:
    annotations = known.find(request.namespace) if known.names else ASSUMED
    policy = None if annotations is None else resolve(dict(annotations), defaults)
    subject = admission.consider(request)
    verdict = subject if isinstance(subject, Verdict) else admission.decide(subject, policy)
    return Reviewed(manifest, request, policy, verdict, _applied(request.item, verdict))


def _applied(item: Raw, verdict: Verdict) -> Raw:
    if not verdict.operations:
        return item
    return jsonpatch.apply_patch(item, [operation.as_json() for operation in verdict.operations])


def explained(status: Status) -> str:
    """Why nothing was decided, for people."""
    return _EXPLAINED[status]


_EXPLAINED = {
    Status.DECIDED: "decided",
    Status.NO_TARGET: "no Dask cluster, worker group, job or worker pod being created or changed",
    Status.SPEC_UNCHANGED: "its spec is unchanged",
    Status.BEING_DELETED: "it is being deleted",
    Status.OPTED_OUT: f'it is opted out by its annotation {ENABLED}: "false"',
    Status.NOT_ENABLED: f'its namespace is not enabled: annotate it with {ENABLED}="true"',
    Status.NOT_TARGETED: "its namespace's annotation targets leaves this kind out",
    Status.NAMESPACE_UNKNOWN: "its namespace is not among the given ones",
    Status.INTERNAL_ERROR: "internal error",
}


def any_changed(reviewed: Iterable[Reviewed]) -> bool:
    """Whether the webhook would change any of them."""
    return any(one.changed for one in reviewed)
