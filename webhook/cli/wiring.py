"""Wiring: builds a webhook server and its components from the options."""

import gc
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import uvicorn
from kubernetes import config
from kubernetes.client import ApiClient, Configuration

from certs.rotation.clock import system_clock
from certs.rotation.events import Metrics
from certs.rotation.loop import Rotation
from certs.rotation.modes import Mode
from certs.serving import InvalidClientAuthorityError, ReloadableContext
from certs.x509.issue import Entropy, issue_authority, issue_leaf
from webhook.cli.client_authority import ClientAuthorityFile
from webhook.cli.options import NAME, ServeOptions
from webhook.cli.rotation import build_rotation
from webhook.http.app import OnResponse, Webhook, create_app, ignore_response
from webhook.http.connections import ConnectionManager
from webhook.http.graceful_shutdown import ConnectionCloseMiddleware, DrainingServer, GracefulShutdown
from webhook.http.limits import raise_file_limit
from webhook.kube import manifests
from webhook.kube.api import Api, ApiError
from webhook.kube.capacity import NOT_WATCHED
from webhook.kube.kubeconfig import load_client
from webhook.kube.malloc import trim_heap
from webhook.kube.namespaces.static import StaticNamespaces
from webhook.kube.namespaces.watched import WatchedNamespaces
from webhook.policy import Policy, resolve
from webhook.policy.defaults import SettingsError, default_policy
from webhook.telemetry.recorder import Recorder

if TYPE_CHECKING:
    from webhook.kube.capacity.watched import WatchedCapacity

# Seconds after which an idle connection is closed. The API server closes its own after 90 s (IdleConnTimeout of Go's
# http.DefaultTransport, see apimachinery's pkg/util/net/http.go). With a shorter timeout a POST could meet the close,
# and Go does not repeat it. 30 s are a margin for late timers.
KEEP_ALIVE_SECONDS = 120
# Seconds to finish responses at the end: the API server waits no longer for a webhook.
SHUTDOWN_SECONDS = 5


class Component(Protocol):
    """Part of a server that runs in threads of its own."""

    @property
    def ready(self) -> bool:
        """Return whether the component is ready."""

    def start(self) -> None:
        """Start the threads."""

    def stop(self) -> None:
        """Stop the threads."""


@dataclass(frozen=True, slots=True)
class WebhookServer:
    """HTTP server with its components, ready to start.

    Attributes:
        http: HTTP server.
        components: Components to start before the HTTP server.
        recorder: Metrics and log.
        ca_certificate: PEM of the CA of a certificate created for this run; None if the certificate is stored.
    """

    http: uvicorn.Server
    components: tuple[Component, ...]
    recorder: Recorder
    ca_certificate: bytes | None

    def start_components(self) -> None:
        """Start all components."""
        tune_garbage_collector()
        for component in self.components:
            component.start()

    def stop_components(self) -> None:
        """Stop all components."""
        for component in self.components:
            component.stop()


def tune_garbage_collector() -> None:
    """Tune the garbage collector so that collections do not pause requests.

    Imported modules stay forever and would cost each full collection 100 ms, so they are frozen. A parsed request has
    no reference cycles; with the default threshold of 700 objects, a request of 3 MB would spend 70 ms in collections.
    """
    gc.collect()
    trim_heap()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


def build_server(options: ServeOptions) -> WebhookServer:
    """Build a server and its components without starting them.

    Raises:
        SettingsError: A file or the kubeconfig cannot be used.
    """
    recorder, shutdown = Recorder(), GracefulShutdown()
    components: dict[str, Component] = {}
    serving = _serving(options.client_ca, components)
    policy, capacity, ca_certificate = default_policy(options.defaults), None, None
    if options.namespaces_file:
        namespaces = StaticNamespaces(manifest.item for manifest in _read_manifests(options.namespaces_file))
        webhook = Webhook(namespaces, policy, recorder)
    else:
        components["namespaces"] = watched = _watched_namespaces(options, recorder)
        capacity = _watched_capacity(options, recorder, HintedNamespaces(watched, policy))
        on_response = _event_writer(options, recorder, components)
        webhook = Webhook(watched, policy, recorder, on_response, capacity or NOT_WATCHED)
    if options.namespaces_file and options.certificate_mode is Mode.SELF_MANAGED:
        ca_certificate = _serve_new_certificate(options, serving)
    else:
        components["certificate"] = _certificate_rotation(options, serving, recorder)
    readiness = {name: partial(_is_ready, component) for name, component in components.items()}
    checks: dict[str, Callable[[], bool]] = {**readiness, "shutting down": lambda: not shutdown.started}
    if capacity:
        components["capacity"] = capacity  # not a readiness check: only hints depend on it
    app = create_app(webhook, recorder, checks, require_client_certificate=options.client_ca is not None)
    configuration = _http_config(ConnectionCloseMiddleware(app, shutdown), options, serving, recorder)
    http = DrainingServer(configuration, shutdown, options.drain_seconds)
    return WebhookServer(http, tuple(components.values()), recorder, ca_certificate)


def _is_ready(component: Component) -> bool:
    return component.ready


def _http_config(
    app: ConnectionCloseMiddleware, options: ServeOptions, serving: ReloadableContext, recorder: Recorder
) -> uvicorn.Config:
    manager = ConnectionManager(recorder.record_rejection, max_connections=raise_file_limit())
    return uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        loop="webhook.http.connections:Loop",
        ws="none",  # saves 1.6 MiB
        http=manager.protocol,  # type: ignore[arg-type]  # declared as a class
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        ssl_context_factory=lambda _config, _default: serving.ssl_context,
    )


# ---- Kubernetes -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HintedNamespaces:
    """Namespaces whose effective policy enables capacity hints.

    Attributes:
        namespaces: All namespaces.
        defaults: Policy defaults.
    """

    namespaces: WatchedNamespaces
    defaults: Policy

    @property
    def ready(self) -> bool:
        """Return whether all namespaces are listed."""
        return self.namespaces.ready

    def __contains__(self, name: str) -> bool:
        """Return whether capacity hints are enabled for a namespace."""
        annotations = self.namespaces.cached(name)
        policy = None if annotations is None else resolve(dict(annotations), self.defaults)
        return policy is not None and policy.enabled and policy.capacity_hint


def _watched_namespaces(options: ServeOptions, recorder: Recorder) -> WatchedNamespaces:
    watched = WatchedNamespaces(_client(options.kubeconfig), cache_max_age=options.namespace_cache_max_age)
    recorder.add_gauge("dask_colocate_namespace_cache_size", "Namespaces in the cache.", watched.__len__)
    recorder.add_gauge(
        "dask_colocate_namespace_cache_age_seconds",
        "Time since the last contact with the API server.",
        lambda: watched.age,
    )
    return watched


def _watched_capacity(options: ServeOptions, recorder: Recorder, hinted: HintedNamespaces) -> "WatchedCapacity | None":
    if not options.capacity_hints:
        return None
    from webhook.kube.capacity import watched as capacity

    watched = capacity.WatchedCapacity(_client(options.kubeconfig), hinted)
    recorder.registry.register(capacity.CapacityMetrics(watched))
    return watched


def _event_writer(options: ServeOptions, recorder: Recorder, components: dict[str, Component]) -> OnResponse:
    if not options.events:
        return ignore_response
    from webhook.telemetry.events import EventWriter

    components["events"] = writer = EventWriter(_client(options.kubeconfig), recorder.record_dropped_event)
    return writer.enqueue


def _client(kubeconfig: Path | None) -> ApiClient:
    configuration = Configuration()
    try:
        if kubeconfig:
            return load_client(kubeconfig)
        config.load_incluster_config(client_configuration=configuration)
    except (ApiError, config.ConfigException) as error:
        raise SettingsError(f"no cluster to watch: {error}; use --kubeconfig or --namespaces-file") from None
    configuration.retries = False  # informers retry with back-off, live reads have a deadline
    return ApiClient(configuration)


# ---- certificate ----------------------------------------------------------------------------------


def _serving(client_ca: Path | None, components: dict[str, Component]) -> ReloadableContext:
    if client_ca is None:
        return ReloadableContext()
    authority = _read(client_ca)
    try:
        context = ReloadableContext(authority)
    except InvalidClientAuthorityError as error:
        raise SettingsError(f"{client_ca}: {error}") from None
    components["client CA"] = ClientAuthorityFile(client_ca, authority, context)
    return context


def _certificate_rotation(options: ServeOptions, serving: ReloadableContext, recorder: Recorder) -> Rotation:
    """Return the component that renews or reloads the certificate."""
    metrics = Metrics(recorder.registry, system_clock)
    return build_rotation(options, serving, metrics, lambda: Api(_client(options.kubeconfig)))


def _serve_new_certificate(options: ServeOptions, serving: ReloadableContext) -> bytes:
    """Create a certificate for this run and return the PEM of its CA."""
    now = system_clock()
    ca = issue_authority(NAME, now=now, entropy=Entropy.fresh())
    serving.load(issue_leaf(ca, _local_names(options.host), now=now, entropy=Entropy.fresh()))
    return ca.certificate


def _local_names(host: str) -> list[str]:
    try:
        any_address = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        any_address = False
    return list(dict.fromkeys(["localhost", "127.0.0.1", "::1", *([] if any_address else [host])]))


# ---- files ----------------------------------------------------------------------------------------


def _read_manifests(path: Path) -> tuple[manifests.Manifest, ...]:
    try:
        return manifests.read(_read(path).decode(), str(path))
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
