"""How the parts of a running webhook are put together from its settings."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from kubernetes import client, config

from certs.issue import Entropy, Pair, authority, leaf
from certs.serving import BadPairError, Serving
from webhook import manifests
from webhook.namespaces import Namespaces
from webhook.namespaces.static import Static
from webhook.namespaces.watched import Watched
from webhook.observe import Recorder
from webhook.server import Webhook, create_app
from webhook.settings import Settings, SettingsError, default_policy

# A connection that asks nothing for this long is closed; the API server keeps its own for 90 s and re-opens
# what was closed, so that load finds new replicas.
KEEP_ALIVE = 75
# The API server waits 5 s for an answer; what has not been answered by then nobody waits for.
DRAIN_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Assembly:
    """A webhook ready to run.

    Attributes:
        server: The configured HTTP server.
        start: Starts the threads behind it.
        stop: Stops them.
        recorder: Counts what happens.
        authority: PEM of the CA that signed the fresh certificate; None when files were given.
    """

    server: uvicorn.Config
    start: Callable[[], None]
    stop: Callable[[], None]
    recorder: Recorder
    authority: bytes | None


def assemble(settings: Settings) -> Assembly:
    """Build everything and start nothing.

    Raises:
        SettingsError: A file cannot be used; the message says which and why.
    """
    recorder = Recorder()
    serving = Serving()
    ca = _certify(serving, settings)
    namespaces, start, stop = _namespaces(settings, recorder)
    webhook = Webhook(namespaces, default_policy(settings.defaults), recorder)
    readiness: Mapping[str, Callable[[], bool]] = {
        "namespaces": lambda: namespaces.ready,
        "certificate": lambda: serving.pair is not None,
    }
    server = uvicorn.Config(
        create_app(webhook, recorder, readiness),
        host=settings.host,
        port=settings.port,
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        ssl_context_factory=lambda _config, _default: serving.context,
    )
    return Assembly(server, start, stop, recorder, ca)


def _namespaces(settings: Settings, recorder: Recorder) -> tuple[Namespaces, Callable[[], None], Callable[[], None]]:
    if settings.namespaces_file:
        return Static(one.item for one in _manifests(settings.namespaces_file)), _nothing, _nothing
    watched = Watched(_client(settings.kubeconfig))
    recorder.gauge("dask_colocate_namespaces", "Namespaces known.", watched.__len__)
    recorder.gauge(
        "dask_colocate_namespaces_age_seconds", "Time since the API server was last heard of.", lambda: watched.age
    )
    return watched, watched.start, watched.stop


def _nothing() -> None:
    """A fixed set of namespaces neither starts nor stops."""


def _manifests(path: Path) -> tuple[manifests.Manifest, ...]:
    try:
        return manifests.read(_read(path).decode(), str(path))
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _client(kubeconfig: Path | None) -> client.ApiClient:
    configuration = client.Configuration()
    try:
        if kubeconfig:
            config.load_kube_config(str(kubeconfig), client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException as error:
        raise SettingsError(f"no cluster to watch: {error}; give --kubeconfig or --namespaces-file") from None
    configuration.retries = False  # the watch has its own back-off, a live read its deadline
    return client.ApiClient(configuration)


# ---- the certificate ------------------------------------------------------------------------------


def _certify(serving: Serving, settings: Settings) -> bytes | None:
    if settings.tls_cert and settings.tls_key:
        pair = Pair(certificate=_read(settings.tls_cert), key=_read(settings.tls_key))
        try:
            serving.use(pair)
        except BadPairError as error:
            raise SettingsError(f"--tls-cert {settings.tls_cert}, --tls-key {settings.tls_key}: {error}") from None
        return None
    now = datetime.now(UTC)
    ca = authority("dask-colocate", now=now, entropy=Entropy.fresh())
    serving.use(leaf(ca, _local_names(settings.host), now=now, entropy=Entropy.fresh()))
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
