"""Reads a Snapshot from an API server. Only gets and lists; nothing is ever written.

What may not be read is noted and the rest goes on. Keys never leave this file: of a Secret only its certificates stay.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TypeAlias

import orjson
import urllib3
from kubernetes import client
from kubernetes.client import ApiClient, ApiException

from webhook.kube.cluster import ClusterError
from webhook.status import installation
from webhook.status.snapshot import Replica, Snapshot, Unread, name, namespace
from webhook.workloads.pod_templates import GROUP
from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    text,
)

PAGE = 500  # kubectl's own chunk size
TIMEOUT = (5.0, 60.0)  # seconds to connect, and for one page
# The same for a replica's metrics: an API server gives up on a pod that it can't reach after 30 s, nobody else has to.
METRICS_TIMEOUT = (5.0, 3.0)
_PUBLIC = frozenset({"tls.crt", "ca.crt"})

Tell: TypeAlias = Callable[[str], None]
"""Told what is being read, in a few words."""

_Call: TypeAlias = Callable[..., Unstructured]
"""One of the official client's methods, its path's arguments given."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of object.

    Attributes:
        resource: As `kubectl auth can-i` takes it.
        version: Its `apiVersion`.
        name: Its `kind`.
    """

    resource: str
    version: str
    name: str

    def complete(self, item: Unstructured) -> Unstructured:
        """The object with what lists leave out of their items."""
        return {**mapping(item), "apiVersion": self.version, "kind": self.name}


_CONFIGURATIONS = _Kind(
    "mutatingwebhookconfigurations", "admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"
)
_NAMESPACES = _Kind("namespaces", "v1", "Namespace")
_NODES = _Kind("nodes", "v1", "Node")
_CLUSTERS = _Kind(f"daskclusters.{GROUP}", f"{GROUP}/v1", "DaskCluster")
_PODS = _Kind("pods", "v1", "Pod")
_DEVICE_CLASSES = _Kind("deviceclasses.resource.k8s.io", "resource.k8s.io/v1", "DeviceClass")
_RESOURCE_SLICES = _Kind("resourceslices.resource.k8s.io", "resource.k8s.io/v1", "ResourceSlice")
_RESOURCE_CLAIMS = _Kind("resourceclaims.resource.k8s.io", "resource.k8s.io/v1", "ResourceClaim")
_SERVICES = _Kind("services", "v1", "Service")
_DEPLOYMENTS = _Kind("deployments", "apps/v1", "Deployment")
_SLICES = _Kind("endpointslices", "discovery.k8s.io/v1", "EndpointSlice")
_SECRETS = _Kind("secrets", "v1", "Secret")
_METRICS = _Kind("pods/proxy", "v1", "Pod")


class Reader:
    """Reads one cluster, as often as asked."""

    def __init__(self, connection: ApiClient, only: str | None = None) -> None:
        """Read all namespaces, or `only` one."""
        self._connection = connection
        self._only = only

    def read(self, tell: Tell) -> Snapshot:
        """The cluster now.

        Raises:
            ClusterError: Nothing answers, or it does not know us.
        """
        return _Reading(self._connection, self._only, tell).snapshot()


class _Reading:
    """One pass."""

    def __init__(self, connection: ApiClient, only: str | None, tell: Tell) -> None:
        self._core = client.CoreV1Api(connection)
        self._apps = client.AppsV1Api(connection)
        self._discovery = client.DiscoveryV1Api(connection)
        self._admission = client.AdmissionregistrationV1Api(connection)
        self._custom = client.CustomObjectsApi(connection)
        self._only = only
        self._tell = tell
        self._unread: list[Unread] = []

    def snapshot(self) -> Snapshot:
        configurations = self._configurations()
        called = installation.services(configurations)
        services = tuple(one for where, name in called for one in self._service(where, name))
        spaces = sorted({where for where, _ in called})
        deployments = tuple(one for where in spaces for one in self._deployments(where))
        behind = [installation.deployment_of(service, deployments) for service in services]
        slices = tuple(one for where in spaces for one in self._slices(where))
        watching = zip(services, behind, strict=True)
        nodes = self._all(_NODES, self._core.list_node)
        served = self._devices(_DEVICE_CLASSES) if nodes else ()  # without nodes no device can be shown
        classes = tuple(each for each in served if text(each, "spec", "extendedResourceName"))
        return Snapshot(
            namespaces=self._namespaces(),
            nodes=nodes,
            device_classes=classes,
            resource_slices=self._devices(_RESOURCE_SLICES) if classes else (),
            resource_claims=self._devices(_RESOURCE_CLAIMS) if classes else (),
            clusters=self._clusters(),
            pods=self._pods(),
            configurations=configurations,
            services=services,
            slices=slices,
            deployments=deployments,
            secrets=tuple(secret for one in behind if one for secret in self._secret(one)),
            replicas=tuple(one for service, owner in watching for one in self._replicas(service, owner, slices)),
            namespace=self._only,
            unread=tuple(self._unread),
            at=datetime.now(UTC),
        )

    # ---- one kind each --------------------------------------------------------------------------

    def _configurations(self) -> tuple[Unstructured, ...]:
        listed = self._all(_CONFIGURATIONS, self._admission.list_mutating_webhook_configuration)
        return tuple(filter(installation.is_ours, listed))

    def _namespaces(self) -> tuple[Unstructured, ...]:
        if self._only is None:
            return self._all(_NAMESPACES, self._core.list_namespace)
        found = self._one(_NAMESPACES, partial(self._core.read_namespace, name=self._only))
        if not found and not any(one.resource == _NAMESPACES.resource for one in self._unread):
            raise ClusterError(f"there is no namespace {self._only}; see: kubectl get namespaces")
        return found

    def _clusters(self) -> tuple[Unstructured, ...]:
        about = {"group": GROUP, "version": "v1", "plural": "daskclusters"}
        if self._only is None:
            return self._all(_CLUSTERS, partial(self._custom.list_cluster_custom_object, **about))
        call = partial(self._custom.list_namespaced_custom_object, **about, namespace=self._only)
        return self._all(_CLUSTERS, call, self._only)

    def _devices(self, kind: _Kind) -> tuple[Unstructured, ...]:
        """Return all objects of a kind of Dynamic Resource Allocation; none where the API is not served."""
        group, version = kind.version.split("/")
        about = {"group": group, "version": version, "plural": kind.resource.partition(".")[0]}
        return self._all(kind, partial(self._custom.list_cluster_custom_object, **about))

    def _pods(self) -> tuple[Unstructured, ...]:
        """All pods, since any of them may hold GPUs; where that is refused, those of the one namespace asked about."""
        found = self._all(_PODS, self._core.list_pod_for_all_namespaces)
        if self._only is None or not any(one.resource == _PODS.resource for one in self._unread):
            return found
        return self._all(_PODS, partial(self._core.list_namespaced_pod, namespace=self._only), self._only)

    def _service(self, where: str, name: str) -> tuple[Unstructured, ...]:
        return self._one(_SERVICES, partial(self._core.read_namespaced_service, name=name, namespace=where), where)

    def _deployments(self, where: str) -> tuple[Unstructured, ...]:
        return self._all(_DEPLOYMENTS, partial(self._apps.list_namespaced_deployment, namespace=where), where)

    def _slices(self, where: str) -> tuple[Unstructured, ...]:
        return self._all(_SLICES, partial(self._discovery.list_namespaced_endpoint_slice, namespace=where), where)

    def _secret(self, deployment: Unstructured) -> tuple[Unstructured, ...]:
        where, name = namespace(deployment), installation.secret_of(deployment)
        if not name:
            return ()
        call = partial(self._core.read_namespaced_secret, name=name, namespace=where)
        return tuple(map(_without_keys, self._one(_SECRETS, call, where)))

    def _replicas(
        self, service: Unstructured, deployment: Unstructured, slices: tuple[Unstructured, ...]
    ) -> Iterator[Replica]:
        """What the replicas say that are to know the free capacity; nobody else is asked, which takes a right more."""
        if not installation.watches_capacity(deployment):
            return
        where = namespace(service)
        for endpoint, port in installation.answering((where, name(service)), slices):
            pod = text(endpoint, "targetRef", "name") or ""
            metrics = self._metrics(where, pod, port)
            if metrics is None:
                return
            yield Replica(f"{where}/{name(deployment)}", pod, metrics)

    def _metrics(self, where: str, pod: str, port: int) -> str | None:
        """A replica's metrics, through the API server; None where that is refused, or takes long: once is enough."""
        self._tell("asking the replicas")
        proxy = self._core.connect_get_namespaced_pod_proxy_with_path
        about = {"name": f"https:{pod}:{port}", "namespace": where, "path": "metrics"}
        try:
            answer = proxy(**about, _preload_content=False, _request_timeout=METRICS_TIMEOUT)
        except ApiException as error:
            self._unread.append(_unread(_METRICS, "get", where, error))
        except urllib3.exceptions.HTTPError:
            said = "no replica answered through the API server within 3 s"
            next_ = f"kubectl get --raw /api/v1/namespaces/{where}/pods/https:{pod}:{port}/proxy/metrics"
            self._unread.append(Unread(_METRICS.resource, _within(where), said, next_))
        else:
            return str(answer.data, "utf-8", "replace")
        return None

    # ---- reading --------------------------------------------------------------------------------

    def _all(self, kind: _Kind, call: _Call, where: str = "") -> tuple[Unstructured, ...]:
        """The items of a list, as far as they may be read."""
        return self._some(kind, "list", where, partial(self._pages, kind, call))

    def _one(self, kind: _Kind, call: _Call, where: str = "") -> tuple[Unstructured, ...]:
        """One object, or none."""
        return self._some(kind, "get", where, lambda: iter([kind.complete(self._call(kind, call))]))

    def _some(
        self, kind: _Kind, verb: str, where: str, read: Callable[[], Iterator[Unstructured]]
    ) -> tuple[Unstructured, ...]:
        try:
            return tuple(read())
        except ApiException as error:
            if error.status == HTTPStatus.UNAUTHORIZED:
                raise ClusterError(f"the API server does not know us ({error.reason}); see: kubectl version") from None
            if error.status != HTTPStatus.NOT_FOUND:
                self._unread.append(_unread(kind, verb, where, error))
            return ()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            host = self._core.api_client.configuration.host
            raise ClusterError(f"{host} does not answer ({error}); see: kubectl cluster-info") from None

    def _pages(self, kind: _Kind, call: _Call) -> Iterator[Unstructured]:
        proceed: str | None = None
        while True:
            page = self._call(kind, partial(call, limit=PAGE, **({"_continue": proceed} if proceed else {})))
            yield from map(kind.complete, sequence(page, "items"))
            proceed = text(page, "metadata", "continue")
            if proceed is None:
                return

    def _call(self, kind: _Kind, call: _Call) -> Unstructured:
        self._tell(f"reading {kind.resource}")
        return mapping(orjson.loads(call(_preload_content=False, _request_timeout=TIMEOUT).data))


def _unread(kind: _Kind, verb: str, where: str, error: ApiException) -> Unread:
    refused = error.status == HTTPStatus.FORBIDDEN
    why = f"you may not {verb} them" if refused else f"the API server answered {error.status} {error.reason}"
    scope = f" -n {where}" if where else " --all-namespaces"
    return Unread(kind.resource, _within(where), why, f"kubectl auth can-i {verb} {kind.resource}{scope}")


def _within(where: str | None) -> str:
    return f"in namespace {where}" if where else ""


def _without_keys(secret: Unstructured) -> Unstructured:
    data = {key: value for key, value in mapping(secret, "data").items() if key in _PUBLIC}
    return {**secret, "data": data}
