"""Certificate storage in a Kubernetes cluster: the ports of `certs.rotation`, implemented with the API."""

import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import urllib3

from certs.rotation.ports import BackendError, PublishedBundles, StaleVersionError, StoredMaterial
from certs.x509.material import Material, material_from_data, material_to_data
from webhook.kube.api import Api, ApiError, ConflictError, Json, Resource

_MIN_BACKOFF, _MAX_BACKOFF = 0.5, 30.0
"""Seconds before a broken watch is opened again, doubling. The rotation also resyncs without events."""


class ApiWatch:
    """Watch on one object, in a thread of its own. It reports that the object changed, not how."""

    def __init__(self, api: Api, resource: Resource) -> None:
        """Set the object to watch."""
        self._api, self._resource = api, resource
        self._stopped = threading.Event()
        self._backoff = _MIN_BACKOFF
        self._stream: urllib3.BaseHTTPResponse | None = None
        self._thread: threading.Thread | None = None

    def start(self, changed: Callable[[], None], failed: Callable[[str], None]) -> None:
        """Start to watch. Call `changed` after each change, and `failed` with the error when the watch breaks."""
        self._thread = threading.Thread(target=self._run, args=(changed, failed), name="certs watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the watch and wait for it."""
        self._stopped.set()
        if isinstance(self._stream, urllib3.HTTPResponse):
            self._stream.shutdown()
        if self._thread is not None:
            self._thread.join(timeout=2)

    def _run(self, changed: Callable[[], None], failed: Callable[[str], None]) -> None:
        while not self._stopped.is_set():
            try:
                self._watch_once(changed)
            except (ApiError, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                if not self._stopped.is_set():
                    failed(str(error) or type(error).__name__)
                self._backoff = min(self._backoff * 2, _MAX_BACKOFF)
            self._stopped.wait(self._backoff)

    def _watch_once(self, changed: Callable[[], None]) -> None:
        with self._api.changes(self._resource) as stream:
            self._stream, self._backoff = stream, _MIN_BACKOFF
            changed()  # the object may have changed between two watches
            try:
                for _ in stream.stream():
                    changed()
            finally:
                self._stream = None


class _ApiObject:
    _api: Api
    _resource: Resource

    @property
    def title(self) -> str:
        """Kind, name and namespace, for messages."""
        return self._resource.title

    def watch(self) -> ApiWatch:
        """Return a watch on the object."""
        return ApiWatch(self._api, self._resource)


class TLSSecretStore(_ApiObject):
    """Secret of type `kubernetes.io/tls`.

    Each change sends the resource version that was read. If two replicas renew at once, one gets a conflict.
    """

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        """Set the Secret, which need not exist."""
        self._api = api
        self._resource = Resource(group="", plural="secrets", name=name, namespace=namespace)

    def read(self) -> StoredMaterial:
        """Read the Secret. Invalid data is returned as missing parts."""
        with _backend_errors():
            secret = self._api.get(self._resource)
        return StoredMaterial(Material(), None) if secret is None else _stored_material(secret)

    def write(self, material: Material, version: str | None) -> StoredMaterial:
        """Create the Secret (no version), or update its data and keep all other fields."""
        data = {key: b64encode(value).decode() for key, value in material_to_data(material).items()}
        metadata = {"name": self._resource.name, "namespace": self._resource.namespace}
        manifest = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata}
        with _backend_errors():
            if version is None:
                return _stored_material(self._api.create(self._resource, {**manifest, "data": data}))
            patch: Json = {"metadata": {"resourceVersion": version}, "data": data}
            return _stored_material(self._api.patch(self._resource, patch, "application/merge-patch+json"))


class WebhookBundlePublisher(_ApiObject):
    """MutatingWebhookConfiguration, of which only the `caBundle` fields are changed."""

    def __init__(self, api: Api, name: str) -> None:
        """Set the configuration, which need not exist."""
        group, plural = "admissionregistration.k8s.io", "mutatingwebhookconfigurations"
        self._api, self._resource = api, Resource(group=group, plural=plural, name=name)

    def read(self) -> PublishedBundles:
        """Read the published bundles; none if the configuration does not exist."""
        with _backend_errors():
            return _published_bundles(self._api.get(self._resource) or {})

    def publish(self, bundle: bytes, published: PublishedBundles) -> PublishedBundles:
        """Write the bundle to every webhook that has another one; change no other field."""
        encoded = b64encode(bundle).decode()
        patch: list[Json] = [
            {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": encoded}
            for index, current in enumerate(published.bundles)
            if current != bundle
        ]
        if not patch:
            return published
        patch.append({"op": "replace", "path": "/metadata/resourceVersion", "value": published.version})
        with _backend_errors():
            return _published_bundles(self._api.patch(self._resource, patch, "application/json-patch+json"))


@contextmanager
def _backend_errors() -> Iterator[None]:
    try:
        yield
    except ConflictError as error:
        raise StaleVersionError(str(error)) from None
    except ApiError as error:
        raise BackendError(str(error)) from None


def _stored_material(secret: Json) -> StoredMaterial:
    data = {key: b64decode(value) for key, value in (secret.get("data") or {}).items()}
    return StoredMaterial(material_from_data(data), secret["metadata"]["resourceVersion"])


def _published_bundles(configuration: Json) -> PublishedBundles:
    webhooks = configuration.get("webhooks") or []
    return PublishedBundles(
        tuple(webhook["name"] for webhook in webhooks),
        tuple(b64decode(webhook["clientConfig"].get("caBundle") or "") for webhook in webhooks),
        configuration.get("metadata", {}).get("resourceVersion", ""),
    )
