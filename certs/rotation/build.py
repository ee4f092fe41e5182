"""Build the rotation of a certificate mode from its settings."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from certs.rotation.clock import system_clock
from certs.rotation.events import Observer
from certs.rotation.files import MountedFiles
from certs.rotation.loop import Intervals, Rotation
from certs.rotation.modes import Mode
from certs.rotation.ports import Backend
from certs.rotation.sources import FileSource, SecretSource
from certs.serving import ReloadableContext
from certs.x509.issue import Entropy, service_names
from certs.x509.plan import CertificateSpec

_FILE_RESYNC = 1.0
"""Seconds between two reads of mounted files: three small reads. The kubelet takes about a minute to update them."""


@dataclass(frozen=True, kw_only=True)
class RotationSettings:
    """Settings of a rotation. Each mode needs some of them."""

    mode: Mode = Mode.SELF_MANAGED
    service: str = ""
    namespace: str = ""
    cluster_domain: str = "cluster.local"
    extra_names: tuple[str, ...] = ()
    secret: str = ""
    configuration: str = ""
    certificate: Path | None = None
    key: Path | None = None
    bundle: Path | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All names that clients may verify, the names of the Service first."""
        names = service_names(self.service, self.namespace, self.cluster_domain) if self.service else ()
        return (*names, *self.extra_names)

    @property
    def spec(self) -> CertificateSpec:
        """The certificates to issue in self-managed mode."""
        return CertificateSpec(names=self.names, authority_name=self.service or "certs")


def build_rotation(
    settings: RotationSettings,
    context: ReloadableContext,
    observe: Observer,
    connect: Callable[[], Backend],
    new_entropy: Callable[[], Entropy],
) -> Rotation:
    """Build a rotation. `connect` is called in the modes that need a cluster.

    Raises:
        ValueError: A setting is missing; the text names the mode and the setting.
    """
    match Mode(settings.mode):
        case Mode.SELF_MANAGED:
            _require(settings, "namespace", "secret", *(() if settings.extra_names else ("service",)))
            return _self_managed(settings, context, observe, connect(), new_entropy)
        case Mode.FILES:
            _require(settings, "certificate", "key")
            return _from_files(settings, context, observe, None)
        case Mode.INJECTED:
            _require(settings, "certificate", "key", "configuration")
            return _from_files(settings, context, observe, connect())


def _self_managed(
    settings: RotationSettings,
    context: ReloadableContext,
    observe: Observer,
    backend: Backend,
    new_entropy: Callable[[], Entropy],
) -> Rotation:
    store = backend.secret_store(settings.namespace, settings.secret)
    publisher = backend.bundle_publisher(settings.configuration) if settings.configuration else None
    jitter = random.random()  # noqa: S311 - spreads load; not a secret
    return Rotation(
        context=context,
        source=SecretSource(store=store, spec=settings.spec, jitter=jitter, new_entropy=new_entropy, observe=observe),
        clock=backend.now,
        observe=observe,
        publisher=publisher,
        publishes=True,
        watches=(store.watch(), *([publisher.watch()] if publisher else ())),
    )


def _from_files(
    settings: RotationSettings, context: ReloadableContext, observe: Observer, backend: Backend | None
) -> Rotation:
    if settings.certificate is None or settings.key is None:
        raise ValueError("the certificate file and the key file are both required")
    files = MountedFiles(certificate=settings.certificate, key=settings.key, bundle=settings.bundle)
    publisher = backend.bundle_publisher(settings.configuration) if backend else None
    return Rotation(
        context=context,
        source=FileSource(files=files, names=settings.names),
        clock=backend.now if backend else system_clock,
        observe=observe,
        publisher=publisher,
        watches=(publisher.watch(),) if publisher else (),
        intervals=Intervals(resync=_FILE_RESYNC),
    )


def _require(settings: RotationSettings, *fields: str) -> None:
    missing = [name for name in fields if not getattr(settings, name)]
    if missing:
        raise ValueError(f"mode {settings.mode} needs: {', '.join(missing)}")
