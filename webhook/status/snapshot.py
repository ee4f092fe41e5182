"""Raw objects of a cluster at one moment, and the resources that are not readable."""

from dataclasses import dataclass
from datetime import datetime

from webhook.workloads.unstructured import Unstructured, text


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A resource that is not readable.

    Attributes:
        resource: Resource as `kubectl` names it, such as `secrets`.
        scope: `in namespace X`, or empty for all namespaces.
        reason: Error of the API server.
        command: Command that diagnoses the error.
    """

    resource: str
    scope: str
    reason: str
    command: str


@dataclass(frozen=True, slots=True)
class ReplicaMetrics:
    """Metrics of a replica of the webhook.

    Attributes:
        deployment: `namespace/name` of its Deployment.
        pod: Pod name.
        metrics: Metrics in Prometheus' text format.
    """

    deployment: str
    pod: str
    metrics: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Raw objects, as lists return them: without `apiVersion` and `kind`.

    Attributes:
        at: Time of the snapshot, with a time zone.
        namespace: The namespace to report on; None for all.
        pods: Pods of all namespaces, or of `namespace` if others are not readable.
        device_classes: DeviceClasses that serve an extended resource; without one, slices and claims are not read.
        configurations: MutatingWebhookConfigurations of dask-colocate.
        services: Services that the configurations call.
        slices: EndpointSlices in the namespaces of these Services.
        deployments: Deployments in the same namespaces.
        secrets: Secrets with serving certificates, without private keys.
        replicas: Metrics of the replicas that watch capacity.
        unreadable: Resources that are not readable.
    """

    at: datetime
    namespace: str | None = None
    namespaces: tuple[Unstructured, ...] = ()
    nodes: tuple[Unstructured, ...] = ()
    pods: tuple[Unstructured, ...] = ()
    device_classes: tuple[Unstructured, ...] = ()
    resource_slices: tuple[Unstructured, ...] = ()
    resource_claims: tuple[Unstructured, ...] = ()
    clusters: tuple[Unstructured, ...] = ()
    configurations: tuple[Unstructured, ...] = ()
    services: tuple[Unstructured, ...] = ()
    slices: tuple[Unstructured, ...] = ()
    deployments: tuple[Unstructured, ...] = ()
    secrets: tuple[Unstructured, ...] = ()
    replicas: tuple[ReplicaMetrics, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    def readable(self, resource: str) -> bool:
        """Return whether a resource is readable; else its absence proves nothing."""
        return all(unreadable.resource != resource for unreadable in self.unreadable)


def name(item: Unstructured) -> str:
    """Return the name of an object."""
    return text(item, "metadata", "name") or ""


def namespace(item: Unstructured) -> str:
    """Return the namespace of an object; empty for a cluster-scoped object."""
    return text(item, "metadata", "namespace") or ""


def created(item: Unstructured) -> str:
    """Return the creation time, RFC 3339 in UTC with whole seconds: comparable as text."""
    return text(item, "metadata", "creationTimestamp") or ""


def terminating(item: Unstructured) -> bool:
    """Return whether an object is being deleted."""
    return text(item, "metadata", "deletionTimestamp") is not None


def node_name(pod: Unstructured) -> str:
    """Return the node of a pod; empty if the pod is not scheduled."""
    return text(pod, "spec", "nodeName") or ""
