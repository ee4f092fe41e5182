"""Review of manifests: the decisions of the webhook on objects that are read from files or a cluster."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import jsonpatch

from webhook.admission import handler
from webhook.admission.request import AdmissionRequest, MalformedReviewError, parse_document
from webhook.admission.response import AdmissionResponse, Status
from webhook.kube.capacity import NOT_WATCHED, Capacity
from webhook.kube.manifests import Manifest, ManifestError
from webhook.kube.namespaces.static import StaticNamespaces
from webhook.mutators.patch import Operation
from webhook.placement.model import Hints
from webhook.policy import ENABLED, Annotations, Policy, resolve
from webhook.workloads.unstructured import Unstructured, text

# Without any Namespace in the input, every namespace is assumed to be enabled.
ASSUMED: Annotations = frozenset({(ENABLED, "true")})


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Object with the webhook's response to its creation.

    Attributes:
        manifest: Object before mutation.
        request: Admission request for its creation.
        policy: Effective policy of its namespace; None if the namespace is unknown.
        response: Response of the webhook.
        result: Object after mutation; the same object if nothing changes.
    """

    manifest: Manifest
    request: AdmissionRequest
    policy: Policy | None
    response: AdmissionResponse
    result: Unstructured

    @property
    def changed(self) -> bool:
        """Return whether the webhook would change the object."""
        return bool(self.response.operations)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    """State of the cluster that the review assumes."""

    namespaces: StaticNamespaces
    defaults: Policy
    tried: Mapping[str, str]
    capacity: Capacity

    @property
    def default_namespace(self) -> str:
        """Return the namespace of objects without one."""
        names = self.namespaces.names
        return names[0] if len(names) == 1 else "default"

    def policy(self, namespace: str) -> Policy | None:
        """Return the effective policy of a namespace, or None if it is unknown."""
        annotations = self.namespaces.find(namespace) if self.namespaces.names else ASSUMED
        return None if annotations is None else resolve({**dict(annotations), **self.tried}, self.defaults)


def review(
    manifests: Sequence[Manifest],
    namespaces: Sequence[Manifest],
    defaults: Policy,
    tried: Mapping[str, str] = MappingProxyType({}),
    capacity: Capacity = NOT_WATCHED,
) -> tuple[Reviewed, ...]:
    """Review all objects except Namespaces.

    Args:
        manifests: Objects to review; the annotations of Namespaces among them apply.
        namespaces: Further Namespaces. Without any Namespace, every namespace is assumed to be enabled.
        defaults: Policy defaults.
        tried: Annotations to add to every namespace.
        capacity: Free capacity; objects reserve it in their order.

    Raises:
        ManifestError: An AdmissionReview is malformed.
    """
    known = StaticNamespaces(manifest.item for manifest in (*namespaces, *manifests))
    context = _Context(namespaces=known, defaults=defaults, tried=tried, capacity=capacity)
    return tuple(
        _review_object(manifest, _request(manifest, context.default_namespace), context)
        for manifest in manifests
        if text(manifest.item, "kind") != "Namespace"
    )


def _request(manifest: Manifest, namespace: str) -> AdmissionRequest:
    if text(manifest.item, "kind") == "AdmissionReview":
        try:
            return parse_document(manifest.item)
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


def _review_object(manifest: Manifest, request: AdmissionRequest, context: _Context) -> Reviewed:
    policy = context.policy(request.namespace)
    subject = handler.match(request)
    if isinstance(subject, AdmissionResponse):
        return Reviewed(manifest, request, policy, subject, request.item)
    questions = handler.questions(request, subject, policy)
    hints = questions if isinstance(questions, Hints) else context.capacity.hints(questions)
    response = handler.decide(subject, policy, hints)
    return Reviewed(manifest, request, policy, response, apply_patch(request.item, response.operations))


def apply_patch(item: Unstructured, operations: Sequence[Operation]) -> Unstructured:
    """Return the object after a patch; the same object if there are no operations."""
    return jsonpatch.apply_patch(item, [each.as_json() for each in operations]) if operations else item


def describe_status(status: Status) -> str:
    """Return the description of a status."""
    return _DESCRIPTIONS[status]


_DESCRIPTIONS = {
    Status.DECIDED: "decided",
    Status.NO_TARGET: "not a creation or update of a DaskCluster, DaskWorkerGroup, DaskJob or worker pod",
    Status.SPEC_UNCHANGED: "its spec is unchanged",
    Status.BEING_DELETED: "it is being deleted",
    Status.OPTED_OUT: f'it is opted out by its annotation {ENABLED}: "false"',
    Status.NOT_ENABLED: f'its namespace is not enabled: annotate it with {ENABLED}="true"',
    Status.NOT_TARGETED: "the annotation targets of its namespace excludes this kind",
    Status.NAMESPACE_UNKNOWN: "its namespace is unknown",
    Status.INTERNAL_ERROR: "internal error",
}


def any_changed(reviewed: Iterable[Reviewed]) -> bool:
    """Return whether the webhook would change any of the objects."""
    return any(each.changed for each in reviewed)
