"""Read a Snapshot from the API server with get and list requests.

A resource that is not readable is recorded, and reading continues. Private keys of Secrets are dropped here.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import quote

import orjson
import urllib3
from kubernetes.client import ApiClient

from webhook.kube.client import ApiReader, ResponseError
from webhook.kube.cluster import ClusterError
from webhook.placement import dra
from webhook.status import installation
from webhook.status.snapshot import ReplicaMetrics, Snapshot, Unreadable, name, namespace
from webhook.workloads.pod_templates import GROUP
from webhook.workloads.unstructured import Unstructured, mapping, sequence, text

PAGE_SIZE = 500  # kubectl's default chunk size
READ_TIMEOUT = 60.0  # seconds
METRICS_TIMEOUT = 3.0  # seconds; the API server waits 30 s for a pod that it cannot reach
_PUBLIC = frozenset({"tls.crt", "ca.crt"})

Progress: TypeAlias = Callable[[str], None]
"""Function that shows a progress message."""


_CONFIGURATIONS = "mutatingwebhookconfigurations"
_CLUSTERS = f"daskclusters.{GROUP}"
_DRA = ("deviceclasses.resource.k8s.io", "resourceslices.resource.k8s.io", "resourceclaims.resource.k8s.io")
_METRICS = "pods/proxy"
# Resource, as `kubectl auth can-i` takes it, to its API path. All others are in the core group.
_PATHS = {
    _CONFIGURATIONS: "/apis/admissionregistration.k8s.io/v1",
    _CLUSTERS: f"/apis/{GROUP}/v1",
    "deployments": "/apis/apps/v1",
    "endpointslices": "/apis/discovery.k8s.io/v1",
    **dict.fromkeys(_DRA, "/apis/resource.k8s.io/v1"),
}


class Reader:
    """Reader of one cluster, for all namespaces or one. Not thread-safe."""

    def __init__(self, client: ApiClient, only: str | None = None) -> None:
        """Read all namespaces, or `only` one."""
        self._host = client.configuration.host
        self._api = ApiReader(client)
        self._only = only
        self._progress: Progress = lambda _message: None
        self._unreadable: list[Unreadable] = []

    def read(self, progress: Progress) -> Snapshot:
        """Read the cluster.

        Raises:
            ClusterError: The API server cannot be reached, or authentication failed.
        """
        self._progress, self._unreadable = progress, []
        configurations = tuple(filter(installation.has_webhooks, self._list(_CONFIGURATIONS)))
        called = installation.called_services(configurations)
        namespaces = sorted({where for where, _ in called})
        services = tuple(item for where, service in called for item in self._get("services", service, where))
        deployments = tuple(item for where in namespaces for item in self._list("deployments", where))
        slices = tuple(item for where in namespaces for item in self._list("endpointslices", where))
        behind = [(service, installation.deployment_of(service, deployments)) for service in services]
        nodes = self._list("nodes")
        device_classes = tuple(filter(dra.device_class, self._list(_DRA[0]) if nodes else ()))
        return Snapshot(
            namespaces=self._namespaces(),
            nodes=nodes,
            device_classes=device_classes,
            resource_slices=self._list(_DRA[1]) if device_classes else (),
            resource_claims=self._list(_DRA[2]) if device_classes else (),
            clusters=self._list(_CLUSTERS, self._only or ""),
            pods=self._pods(),
            configurations=configurations,
            services=services,
            slices=slices,
            deployments=deployments,
            secrets=tuple(secret for _, deployment in behind if deployment for secret in self._secret(deployment)),
            replicas=tuple(metrics for pair in behind for metrics in self._replicas(*pair, slices)),
            namespace=self._only,
            unreadable=tuple(self._unreadable),
            at=datetime.now(UTC),
        )

    def _namespaces(self) -> tuple[Unstructured, ...]:
        if self._only is None:
            return self._list("namespaces")
        namespaces = self._get("namespaces", self._only)
        if not namespaces and self._is_readable("namespaces"):
            raise ClusterError(f"namespace {self._only!r} does not exist; list namespaces with: kubectl get namespaces")
        return namespaces

    def _pods(self) -> tuple[Unstructured, ...]:
        """Return the pods of all namespaces, because any pod can hold GPUs; if forbidden, those of one namespace."""
        pods = self._list("pods")
        return pods if self._only is None or self._is_readable("pods") else self._list("pods", self._only)

    def _secret(self, deployment: Unstructured) -> tuple[Unstructured, ...]:
        secret = installation.secret_of(deployment)
        items = self._get("secrets", secret, namespace(deployment)) if secret else ()
        return tuple(map(_without_private_key, items))

    def _replicas(
        self, service: Unstructured, deployment: Unstructured, slices: tuple[Unstructured, ...]
    ) -> Iterator[ReplicaMetrics]:
        """Return the metrics of replicas that watch capacity; of others none, because that takes one more right."""
        if not installation.watches_capacity(deployment):
            return
        where = namespace(service)
        for endpoint, port in installation.ready_endpoints((where, name(service)), slices):
            pod = text(endpoint, "targetRef", "name") or ""
            metrics = self._metrics(where, pod, port)
            if metrics is None:
                return
            yield ReplicaMetrics(f"{where}/{name(deployment)}", pod, metrics)

    def _metrics(self, where: str, pod: str, port: int) -> str | None:
        """Return the metrics of a replica through the API server; None if they are not readable."""
        self._progress("reading the replicas' metrics")
        path = f"{_path('pods', where, f'https:{pod}:{port}')}/proxy/metrics"
        try:
            return str(self._api.get(path, {}, "*/*", METRICS_TIMEOUT).data, "utf-8", "replace")
        except ResponseError as error:
            self._record(_METRICS, "get", where, error)
        except urllib3.exceptions.HTTPError:
            reason = f"no replica answered through the API server within {METRICS_TIMEOUT:.0f} s"
            self._unreadable.append(Unreadable(_METRICS, _scope(where), reason, f"kubectl get --raw {path}"))
        return None

    # ---- requests -------------------------------------------------------------------------------

    def _list(self, resource: str, where: str = "") -> tuple[Unstructured, ...]:
        """Return the objects of a collection; none if it is not readable or not served."""
        return self._read(resource, "list", where, partial(self._pages, resource, where))

    def _get(self, resource: str, name: str, where: str = "") -> tuple[Unstructured, ...]:
        """Return one object; none if it is not readable or does not exist."""
        path = _path(resource, where, name)
        return self._read(resource, "get", where, lambda: iter([self._request(resource, path, {})]))

    def _read(
        self, resource: str, verb: str, where: str, items: Callable[[], Iterator[Unstructured]]
    ) -> tuple[Unstructured, ...]:
        try:
            return tuple(items())
        except ResponseError as error:
            if error.status == HTTPStatus.UNAUTHORIZED:
                raise ClusterError("authentication failed (401); check it with: kubectl auth whoami") from None
            if error.status != HTTPStatus.NOT_FOUND:
                self._record(resource, verb, where, error)
            return ()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            message = f"{self._host} is not reachable ({error}); check it with: kubectl cluster-info"
            raise ClusterError(message) from None

    def _pages(self, resource: str, where: str) -> Iterator[Unstructured]:
        token: str | None = ""
        while token is not None:
            query: dict[str, str | int] = {"limit": PAGE_SIZE, **({"continue": token} if token else {})}
            page = self._request(resource, _path(resource, where), query)
            yield from sequence(page, "items")
            token = text(page, "metadata", "continue")

    def _request(self, resource: str, path: str, query: Mapping[str, str | int]) -> Unstructured:
        self._progress(f"reading {resource}")
        return mapping(orjson.loads(self._api.get(path, query, "application/json", READ_TIMEOUT).data))

    def _record(self, resource: str, verb: str, where: str, error: ResponseError) -> None:
        """Record a resource that is not readable."""
        reason = f"no permission to {verb}" if error.status == HTTPStatus.FORBIDDEN else str(error)
        scope = f"-n {where}" if where else "--all-namespaces"
        command = f"kubectl auth can-i {verb} {resource} {scope}"
        self._unreadable.append(Unreadable(resource, _scope(where), reason, command))

    def _is_readable(self, resource: str) -> bool:
        return all(unreadable.resource != resource for unreadable in self._unreadable)


def _path(resource: str, namespace: str = "", name: str = "") -> str:
    """Return the path of a collection, or of one object."""
    scope = ("namespaces", namespace) if namespace else ()
    parts = (*scope, resource.partition(".")[0], *((name,) if name else ()))
    return "/".join((_PATHS.get(resource, "/api/v1"), *(quote(part, safe=":") for part in parts)))


def _scope(where: str) -> str:
    return f"in namespace {where}" if where else ""


def _without_private_key(secret: Unstructured) -> Unstructured:
    data = {key: value for key, value in mapping(secret, "data").items() if key in _PUBLIC}
    return {**secret, "data": data}
