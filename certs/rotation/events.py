"""Events of a rotation, and the Prometheus metrics that count them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge


@dataclass(frozen=True)
class CertificateServed:
    """The server uses a new certificate."""

    serial: str
    expires: datetime


@dataclass(frozen=True)
class PartRenewed:
    """This process renewed and stored a part: `authority`, `leaf` or `bundle`."""

    part: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class BundlePublished:
    """This process published the CA bundle in a webhook configuration."""

    configuration: str


@dataclass(frozen=True)
class StepFailed:
    """A step failed and will be retried: `source`, `read-bundle`, `publish-bundle`, `load` or `watch`."""

    step: str
    text: str


Event = CertificateServed | PartRenewed | BundlePublished | StepFailed
Observer = Callable[[Event], None]


class Metrics:
    """Prometheus metrics of a rotation; an `Observer`."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], datetime]) -> None:
        """Register the metrics. `clock` gives the time at each scrape."""
        self._clock = clock
        self._expires: datetime | None = None
        self._renewals = Counter("certs_rotations", "Renewals stored by this replica", ["part"], registry=registry)
        self._published = Counter("certs_injections", "caBundle updates by this replica", registry=registry)
        self._failures = Counter("certs_failures", "Failed steps of the rotation", ["step"], registry=registry)
        expiry = Gauge("certs_expiry_seconds", "Time until the served certificate expires", registry=registry)
        expiry.set_function(self._seconds_to_expiry)

    def __call__(self, event: Event) -> None:
        """Count an event."""
        match event:
            case CertificateServed(expires=expires):
                self._expires = expires
            case PartRenewed(part=part):
                self._renewals.labels(part).inc()
            case BundlePublished():
                self._published.inc()
            case StepFailed(step=step):
                self._failures.labels(step).inc()

    def _seconds_to_expiry(self) -> float:
        return float("nan") if self._expires is None else (self._expires - self._clock()).total_seconds()
