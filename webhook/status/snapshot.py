"""What was read of a cluster at one moment: raw objects, and what could not be read."""

from dataclasses import dataclass
from datetime import datetime

from webhook.workloads.unstructured import Unstructured, text


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of the cluster that could not be read.

    Attributes:
        resource: As `kubectl` names it, such as `secrets`.
        where: `in namespace X`, or empty.
        why: What the API server said.
        next: The command that shows or mends the reason.
    """

    resource: str
    where: str
    why: str
    next: str


@dataclass(frozen=True, slots=True)
class Replica:
    """What a replica says of itself.

    Attributes:
        deployment: The Deployment it belongs to, as `namespace/name`.
        pod: Its pod's name.
        metrics: Its metrics, in the text format of Prometheus.
    """

    deployment: str
    pod: str
    metrics: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Raw objects, each with its `apiVersion` and `kind`, which lists leave out.

    Attributes:
        at: When it was taken, with a time zone.
        namespace: The only one asked about; None for all.
        namespaces: Namespaces.
        nodes: All nodes.
        pods: Of all namespaces, or of the one asked about where no others may be read.
        device_classes: DeviceClasses that serve an extended resource.
        resource_slices: ResourceSlices; none where no DeviceClass does.
        resource_claims: ResourceClaims of all namespaces; none where no DeviceClass does.
        clusters: DaskClusters.
        configurations: MutatingWebhookConfigurations of dask-colocate; see `installation.is_ours`.
        services: Those that the configurations call.
        slices: EndpointSlices of the services' namespaces.
        deployments: Of the same namespaces.
        secrets: That hold serving certificates, without any key.
        replicas: Those that are to know the free capacity.
        unread: What is missing in all of the above.
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
    replicas: tuple[Replica, ...] = ()
    unread: tuple[Unread, ...] = ()

    @property
    def unread_resources(self) -> frozenset[str]:
        """The resources of which something is missing: of those nothing may be concluded."""
        return frozenset(one.resource for one in self.unread)


def name(item: Unstructured) -> str:
    """The object's name."""
    return text(item, "metadata", "name") or ""


def namespace(item: Unstructured) -> str:
    """The object's namespace; empty where it is in none."""
    return text(item, "metadata", "namespace") or ""


def created(item: Unstructured) -> str:
    """When the API server created the object, RFC 3339 in whole seconds of UTC, so that text compares as time."""
    return text(item, "metadata", "creationTimestamp") or ""
