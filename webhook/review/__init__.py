"""What the webhook would do to manifests, and why. No cluster; the decisions are the webhook's own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import jsonpatch

from webhook.admission import handler
from webhook.admission.handler import (
    AdmissionRequest,
    AdmissionResponse,
    MalformedReviewError,
    Status,
)
from webhook.kube.capacity import NOT_WATCHED, Capacity
from webhook.kube.manifests import Manifest, ManifestError
from webhook.kube.namespaces.static import Static
from webhook.mutators.patch import Operation
from webhook.placement.model import Hints
from webhook.policy import ENABLED, Annotations, Policy, resolve
from webhook.workloads.unstructured import Unstructured, text

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
    review: AdmissionRequest
    policy: Policy | None
    verdict: AdmissionResponse
    result: Unstructured

    @property
    def changed(self) -> bool:
        """Whether the webhook would change it."""
        return bool(self.verdict.operations)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Assumptions:
    """What is taken for granted about the cluster."""

    known: Static
    defaults: Policy
    tried: Mapping[str, str]
    capacity: Capacity

    @property
    def only(self) -> str:
        """Where an object lives that names no namespace."""
        return self.known.names[0] if len(self.known.names) == 1 else "default"

    def policy(self, namespace: str) -> Policy | None:
        """What holds in a namespace; None where it is not known."""
        annotations = self.known.find(namespace) if self.known.names else ASSUMED
        return None if annotations is None else resolve({**dict(annotations), **self.tried}, self.defaults)


def review(
    manifests: Sequence[Manifest],
    namespaces: Sequence[Manifest],
    defaults: Policy,
    tried: Mapping[str, str] = MappingProxyType({}),
    capacity: Capacity = NOT_WATCHED,
) -> tuple[Reviewed, ...]:
    """Review every object that is no Namespace.

    Args:
        manifests: What would be applied; Namespaces among them count as such.
        namespaces: Further Namespaces. Where there are none at all, every namespace is taken as enabled.
        defaults: The installation's.
        tried: Annotations that every namespace is taken to have as well.
        capacity: What is free; objects are planned one after another, as if they were applied so.

    Raises:
        ManifestError: An AdmissionReview among the manifests is malformed.
    """
    known = Static(manifest.item for manifest in (*namespaces, *manifests))
    assumptions = _Assumptions(known=known, defaults=defaults, tried=tried, capacity=capacity)
    return tuple(
        _reviewed(manifest, _request(manifest, assumptions.only), assumptions)
        for manifest in manifests
        if text(manifest.item, "kind") != "Namespace"
    )


def _request(manifest: Manifest, namespace: str) -> AdmissionRequest:
    if text(manifest.item, "kind") == "AdmissionReview":
        try:
            return handler.review_of(manifest.item)
        except MalformedReviewError as error:
            raise ManifestError(manifest.source, manifest.line, str(error)) from None
    return AdmissionRequest(
        uid="",
        kind=text(manifest.item, "kind") or "",
        operation="CREATE",
        subresource="",
        namespace=text(manifest.item, "metadata", "namespace") or namespace,
        name=text(manifest.item, "metadata", "name") or text(manifest.item, "metadata", "generateName") or "",
        item=manifest.item,
        old_item=None,
    )


def _reviewed(manifest: Manifest, request: AdmissionRequest, assumptions: _Assumptions) -> Reviewed:
    policy = assumptions.policy(request.namespace)
    subject = handler.consider(request)
    if isinstance(subject, AdmissionResponse):
        return Reviewed(manifest, request, policy, subject, request.item)
    asked = handler.questions(request, subject, policy)
    hints = asked if isinstance(asked, Hints) else assumptions.capacity.hints(asked)
    verdict = handler.decide(subject, policy, hints)
    return Reviewed(manifest, request, policy, verdict, applied(request.item, verdict.operations))


def applied(item: Unstructured, operations: Sequence[Operation]) -> Unstructured:
    """The object after a patch; itself where there is none."""
    return jsonpatch.apply_patch(item, [each.as_json() for each in operations]) if operations else item


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
