"""Puts a rotation together from its settings: one for each way to come by a certificate."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from certs.issue import Entropy, service_names
from certs.kube import Api, local_time
from certs.modes import Mode
from certs.observe import Observer
from certs.plan import Subject
from certs.rotate import Pace, Rotation
from certs.serving import Serving
from certs.sources import Mounted, SelfManaged
from certs.store import Files, SecretStore
from certs.trust import Configuration


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a mode needs to know; what it does not need stays unset."""

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
    pace: Pace | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every name clients may ask for; the service's first."""
        named = service_names(self.service, self.namespace, self.cluster_domain) if self.service else ()
        return (*named, *self.extra_names)

    @property
    def subject(self) -> Subject:
        """What our own certificates are for."""
        return Subject(names=self.names, authority=self.service or "certs")


POLLED = 1.0
"""Seconds between two looks at mounted files: three small reads. The kubelet takes a minute to bring a change."""


def rotation(
    settings: Settings, serving: Serving, observe: Observer, connect: Callable[[], Api], draw: Callable[[], Entropy]
) -> Rotation:
    """Put a rotation together. ``connect`` is called by the modes that need the API server.

    Raises:
        ValueError: a setting is missing; the text names the mode and the setting.
    """
    match Mode(settings.mode):
        case Mode.SELF_MANAGED:
            _need(settings, "namespace", "secret", *(() if settings.extra_names else ("service",)))
            return _self_managed(settings, serving, observe, connect(), draw)
        case Mode.FILES:
            _need(settings, "certificate", "key")
            return _files(settings, serving, observe)
        case Mode.INJECTED:
            _need(settings, "certificate", "key", "configuration")
            return _injected(settings, serving, observe, connect())


def _self_managed(
    settings: Settings, serving: Serving, observe: Observer, api: Api, draw: Callable[[], Entropy]
) -> Rotation:
    store = SecretStore(api, settings.namespace, settings.secret)
    configuration = Configuration(api, settings.configuration) if settings.configuration else None
    jitter = random.random()  # noqa: S311 - spreads load, keeps no secret
    watched = [store.resource, *([configuration.resource] if configuration else [])]
    return Rotation(
        serving=serving,
        source=SelfManaged(store=store, subject=settings.subject, jitter=jitter, draw=draw, observe=observe),
        clock=api.now,
        observe=observe,
        configuration=configuration,
        injects=True,
        watched=tuple(partial(api.changes, resource) for resource in watched),
        pace=settings.pace or Pace(),
    )


def _files(settings: Settings, serving: Serving, observe: Observer) -> Rotation:
    pace = settings.pace or Pace(resync=POLLED)
    return Rotation(serving=serving, source=_mounted(settings), clock=local_time, observe=observe, pace=pace)


def _injected(settings: Settings, serving: Serving, observe: Observer, api: Api) -> Rotation:
    configuration = Configuration(api, settings.configuration)
    return Rotation(
        serving=serving,
        source=_mounted(settings),
        clock=api.now,
        observe=observe,
        configuration=configuration,
        watched=(partial(api.changes, configuration.resource),),
        pace=settings.pace or Pace(resync=POLLED),
    )


def _mounted(settings: Settings) -> Mounted:
    if settings.certificate is None or settings.key is None:
        raise ValueError("both files of the pair are needed")
    files = Files(certificate=settings.certificate, key=settings.key, bundle=settings.bundle)
    return Mounted(files=files, names=settings.names)


def _need(settings: Settings, *fields: str) -> None:
    missing = [name for name in fields if not getattr(settings, name)]
    if missing:
        raise ValueError(f"mode {settings.mode} needs: {', '.join(missing)}")
