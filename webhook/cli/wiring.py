"""How the parts of a running webhook are put together from its settings."""

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
from webhook.cli.options import NAME, ServeOptions
from webhook.cli.rotation import build_rotation
from webhook.http.app import (
    Listener,
    Webhook,
    create_app,
    ignore,
)
from webhook.http.graceful_shutdown import Closing, Draining, GracefulShutdown
from webhook.http.limits import ConnectionManager
from webhook.kube import manifests
from webhook.kube.api import Api, ApiError
from webhook.kube.capacity import NOT_WATCHED
from webhook.kube.kubeconfig import load_client
from webhook.kube.malloc import give_back
from webhook.kube.namespaces.static import Static
from webhook.kube.namespaces.watched import Watched
from webhook.policy import Policy, resolve
from webhook.policy.defaults import SettingsError, default_policy
from webhook.telemetry.recorder import Recorder

if TYPE_CHECKING:
    from webhook.kube.capacity.watched import Watched as Inventory

# A connection that asks nothing for this long is closed. The API server closes its own after 90 s
# (IdleConnTimeout of Go's http.DefaultTransport, which apimachinery's pkg/util/net/http.go takes over): with less
# here a POST could meet our close, and Go does not repeat it. Half a minute more, for timers that run late.
KEEP_ALIVE = 120
# The API server waits 5 s for an answer: what has not been answered by then, nobody waits for.
UNANSWERED = 5


class Part(Protocol):
    """Something that works in threads of its own behind the server."""

    @property
    def ready(self) -> bool:
        """Whether the server can rely on it."""

    def start(self) -> None:
        """Begin, and return."""

    def stop(self) -> None:
        """End."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """A webhook ready to run.

    Attributes:
        server: The HTTP server.
        parts: What works behind it.
        recorder: Counts what happens.
        authority: PEM of the CA that signed the certificate of this run; None where the certificate is kept.
    """

    server: uvicorn.Server
    parts: tuple[Part, ...]
    recorder: Recorder
    authority: bytes | None

    def start(self) -> None:
        """Start what works behind the server."""
        settle()
        for part in self.parts:
            part.start()

    def stop(self) -> None:
        """Stop it."""
        for part in self.parts:
            part.stop()


def settle() -> None:
    """Let the garbage collector stand in no request's way, and hold no memory that only imports needed.

    What was imported stays for ever: left to the collector it costs each full collection 100 ms. A parsed review
    has no cycles; with the default threshold of 700 objects one of 3 MB costs 70 ms of looking for them.
    """
    gc.collect()
    give_back()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


def assemble(settings: ServeOptions) -> Assembly:
    """Build everything and start nothing.

    Raises:
        SettingsError: A file cannot be used; the message says which and why.
    """
    recorder, serving, drain = Recorder(), _serving(settings.client_ca), GracefulShutdown()
    parts: dict[str, Part] = {}
    capacity, ca = None, None
    policy = default_policy(settings.defaults)
    if settings.namespaces_file:
        webhook = Webhook(Static(one.item for one in _manifests(settings.namespaces_file)), policy, recorder)
    else:
        parts["namespaces"] = watched = _watched(settings, recorder)
        capacity = _inventory(settings, recorder, Hinted(watched, policy))
        tell: Listener = ignore
        if settings.events:
            from webhook.telemetry.events import Events

            parts["events"] = events = Events(_client(settings.kubeconfig), recorder.event_dropped)
            tell = events.tell
        webhook = Webhook(watched, policy, recorder, tell, capacity or NOT_WATCHED)
    if settings.namespaces_file and settings.mode is Mode.SELF_MANAGED:
        ca = _fresh(settings, serving)
    else:
        parts["certificate"] = _kept(settings, serving, recorder)
    readiness: dict[str, Callable[[], bool]] = {name: partial(_is_ready, part) for name, part in parts.items()}
    readiness["not told to stop"] = lambda: not drain.begun
    if capacity:
        parts["capacity"] = capacity  # nobody waits for it: without capacity all else is decided
    app = Closing(create_app(webhook, recorder, readiness, certified=settings.client_ca is not None), drain)
    keeper = ConnectionManager(recorder.turned_away)
    server = Draining(_http(app, settings, serving, keeper), drain, settings.drain_seconds)
    return Assembly(server, tuple(parts.values()), recorder, ca)


def _serving(client_ca: Path | None) -> ReloadableContext:
    try:
        return ReloadableContext(_read(client_ca) if client_ca else None)
    except InvalidClientAuthorityError as error:
        raise SettingsError(f"{client_ca}: {error}") from None


def _is_ready(part: Part) -> bool:
    return part.ready


def _http(app: Closing, settings: ServeOptions, tls: ReloadableContext, keeper: ConnectionManager) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="webhook.http.limits:Loop",
        ws="none",  # 1.6 MiB of a protocol that nobody speaks here
        http=keeper.protocol,  # type: ignore[arg-type]  # a class, it says; all it does is to call it
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=UNANSWERED,
        ssl_context_factory=lambda _config, _default: tls.ssl_context,
    )


def _watched(settings: ServeOptions, recorder: Recorder) -> Watched:
    watched = Watched(_client(settings.kubeconfig), vouched=settings.vouched_seconds)
    recorder.gauge("dask_colocate_namespaces", "Namespaces known.", watched.__len__)
    recorder.gauge(
        "dask_colocate_namespaces_age_seconds", "Time since the API server was last heard of.", lambda: watched.age
    )
    return watched


@dataclass(frozen=True, slots=True)
class Hinted:
    """The namespaces that have capacity hints.

    Attributes:
        namespaces: All of them.
        defaults: The installation's.
    """

    namespaces: Watched
    defaults: Policy

    @property
    def ready(self) -> bool:
        """Whether all namespaces are known."""
        return self.namespaces.ready

    def __contains__(self, name: str) -> bool:
        """Whether the namespace is enabled and asks for hints."""
        annotations = self.namespaces.known(name)
        policy = None if annotations is None else resolve(dict(annotations), self.defaults)
        return policy is not None and policy.enabled and policy.capacity_hint


def _inventory(settings: ServeOptions, recorder: Recorder, hinted: Hinted) -> "Inventory | None":
    if not settings.capacity_hints:
        return None
    from webhook.kube.capacity import watched as inventory

    watched = inventory.Watched(_client(settings.kubeconfig), hinted)
    recorder.registry.register(inventory.Metrics(watched))
    return watched


def _manifests(path: Path) -> tuple[manifests.Manifest, ...]:
    try:
        return manifests.read(_read(path).decode(), str(path))
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _client(kubeconfig: Path | None) -> ApiClient:
    configuration = Configuration()
    try:
        if kubeconfig:
            return load_client(kubeconfig)
        config.load_incluster_config(client_configuration=configuration)
    except (ApiError, config.ConfigException) as error:
        raise SettingsError(f"no cluster to watch: {error}; give --kubeconfig or --namespaces-file") from None
    configuration.retries = False  # the watch has its own back-off, a live read its deadline
    return ApiClient(configuration)


# ---- the certificate ------------------------------------------------------------------------------


def _kept(settings: ServeOptions, serving: ReloadableContext, recorder: Recorder) -> Rotation:
    """What keeps the certificate good for as long as the process runs."""
    observe = Metrics(recorder.registry, system_clock)
    return build_rotation(settings, serving, observe, lambda: Api(_client(settings.kubeconfig)))


def _fresh(settings: ServeOptions, serving: ReloadableContext) -> bytes:
    """Serve a certificate made for this run alone; the PEM of the CA to trust."""
    now = system_clock()
    ca = issue_authority(NAME, now=now, entropy=Entropy.fresh())
    serving.load(issue_leaf(ca, _local_names(settings.host), now=now, entropy=Entropy.fresh()))
    return ca.certificate


def _local_names(host: str) -> list[str]:
    try:
        every = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        every = False
    return list(dict.fromkeys(["localhost", "127.0.0.1", "::1", *([] if every else [host])]))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
