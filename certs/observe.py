"""What a rotation lets others see: observations as data, and one listener that makes Prometheus metrics of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge


@dataclass(frozen=True)
class Served:
    """Another certificate went live."""

    serial: str
    expires: datetime


@dataclass(frozen=True)
class Rotated:
    """A part was renewed and stored by this process: ``authority``, ``leaf`` or ``bundle``, and why."""

    part: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Injected:
    """This process put the bundle in force: the name of the configuration."""

    configuration: str


@dataclass(frozen=True)
class Failed:
    """A step failed: ``source``, ``trust``, ``inject``, ``load`` or ``watch``, and why; tried again by itself."""

    step: str
    text: str


Observation = Served | Rotated | Injected | Failed
Observer = Callable[[Observation], None]


class Metrics:
    """Prometheus metrics of observations; an ``Observer``."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], datetime]) -> None:
        """Register the metrics; seconds to expiry are counted down by ``clock`` at every scrape."""
        self._clock = clock
        self._expires: datetime | None = None
        self._rotations = Counter("certs_rotations", "Renewals stored by this replica", ["part"], registry=registry)
        self._injections = Counter("certs_injections", "caBundle patches by this replica", registry=registry)
        self._failures = Counter("certs_failures", "Failed steps of the rotation", ["step"], registry=registry)
        expiry = Gauge("certs_expiry_seconds", "Until the served certificate expires", registry=registry)
        expiry.set_function(self._left)

    def __call__(self, observation: Observation) -> None:
        """Take an observation in."""
        match observation:
            case Served(expires=expires):
                self._expires = expires
            case Rotated(part=part):
                self._rotations.labels(part).inc()
            case Injected():
                self._injections.inc()
            case Failed(step=step):
                self._failures.labels(step).inc()

    def _left(self) -> float:
        return float("nan") if self._expires is None else (self._expires - self._clock()).total_seconds()
