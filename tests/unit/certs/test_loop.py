"""Control loop of the rotation with certificate files: served certificates, readiness, logs and metrics."""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from certs.rotation.events import BundlePublished, Metrics, PartRenewed
from certs.rotation.files import CertificateDirectory, MountedFiles
from certs.rotation.loop import Intervals, Rotation
from certs.rotation.sources import FileSource, InvalidCandidateError
from certs.serving import ReloadableContext
from certs.x509.issue import KeyPair
from certs.x509.material import Material
from tests.unit.certs.factories import DAY, NAMES, NOW, make_material, rotate_authority

if TYPE_CHECKING:
    from pathlib import Path

OLD = make_material()
NEW = rotate_authority(OLD)
EXPIRED = make_material(NOW - 100 * DAY)


class FakeClock:
    """Clock that the test sets."""

    def __init__(self) -> None:
        """Start at `NOW`."""
        self.at = NOW

    def __call__(self) -> datetime:
        """Return the time."""
        return self.at


class Replica:
    """Rotation on the files of a directory, with its metrics."""

    def __init__(self, directory: Path) -> None:
        """Create the rotation; the directory may be empty."""
        self.directory, self.clock, self.registry = directory, FakeClock(), CollectorRegistry()
        paths = {part: directory / name for part, name in (("certificate", "tls.crt"), ("key", "tls.key"))}
        self.rotation = Rotation(
            context=ReloadableContext(),
            source=FileSource(files=MountedFiles(**paths, bundle=directory / "ca.crt"), names=NAMES),
            clock=self.clock,
            observe=Metrics(self.registry, self.clock),
            intervals=Intervals(resync=0.1, retry=0.1),
        )

    @property
    def served(self) -> KeyPair | None:
        """The served key pair."""
        return self.rotation.context.pair

    def update(self, material: Material) -> None:
        """Write material to the directory and run a pass."""
        CertificateDirectory(self.directory).write(material)
        self.rotation.reconcile()

    def failures(self, step: str) -> float:
        """Return the failure count of a step."""
        return self.registry.get_sample_value("certs_failures_total", {"step": step}) or 0


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    """A replica with an empty directory."""
    return Replica(tmp_path)


def test_files_are_loaded_and_reloaded(replica: Replica) -> None:
    """A replica is not ready without files, ready with files, and serves a new pair on the next pass."""
    with pytest.raises(FileNotFoundError):
        replica.rotation.reconcile()
    assert not replica.rotation.ready
    assert replica.rotation.problems == ("no certificate is served yet",)
    for material in (OLD, NEW):
        replica.update(material)
        assert replica.served == material.leaf
        assert replica.rotation.ready


@pytest.mark.parametrize(
    "invalid",
    [
        KeyPair(certificate=NEW.leaf.certificate, key=OLD.leaf.key),
        KeyPair(certificate=b"garbage", key=b"garbage"),
        EXPIRED.leaf,
    ],
)
def test_invalid_pair_is_not_served(replica: Replica, invalid: KeyPair, caplog: pytest.LogCaptureFixture) -> None:
    """A mismatched, unreadable or expired pair is not served; each pass counts it, and the log warns once."""
    replica.update(OLD)
    with caplog.at_level(logging.WARNING):
        replica.update(Material(leaf=invalid, bundle=OLD.bundle))
        replica.rotation.reconcile()
    assert replica.served == OLD.leaf
    assert replica.rotation.ready
    assert replica.failures("source") == 2
    assert len(caplog.records) == 1


def test_repeated_error_after_success_is_logged_again(replica: Replica, caplog: pytest.LogCaptureFixture) -> None:
    """After a valid pair, the same error is logged again."""
    expired = Material(leaf=EXPIRED.leaf, bundle=EXPIRED.bundle)
    for material in (OLD, expired, NEW, expired):
        replica.update(material)
    assert replica.served == NEW.leaf
    assert sum("expired on" in record.getMessage() for record in caplog.records) == 2


def test_expired_pair_at_start(replica: Replica) -> None:
    """Without a better pair an expired one is served, so that probes and metrics work; the replica is not ready."""
    replica.update(EXPIRED)
    assert replica.served == EXPIRED.leaf
    assert not replica.rotation.ready
    assert "expired" in replica.rotation.problems[0]


def test_leaf_of_another_authority_is_not_served(replica: Replica) -> None:
    """A pair that the bundle beside it does not trust is not served: every call would fail."""
    replica.update(OLD)
    replica.update(Material(leaf=NEW.leaf, bundle=OLD.bundle))
    assert replica.served == OLD.leaf
    with pytest.raises(InvalidCandidateError, match="no valid authority of the bundle"):
        replica.rotation.source.candidate((), replica.clock)


def test_expiry_between_two_passes(replica: Replica) -> None:
    """A replica is not ready once its certificate expires, without another pass."""
    replica.update(OLD)
    replica.clock.at = NOW + 90 * DAY + timedelta(seconds=1)
    assert not replica.rotation.ready


def test_clock_set_back(replica: Replica) -> None:
    """A certificate that was valid once stays ready if the clock is set back; one that never was valid is not."""
    replica.update(OLD)
    replica.clock.at = NOW - timedelta(hours=1)
    replica.rotation.reconcile()
    assert replica.rotation.ready
    other = Replica(replica.directory)
    other.clock.at = replica.clock.at
    other.rotation.reconcile()
    assert not other.rotation.ready
    assert "check the clocks" in other.rotation.problems[0]


def test_expiry_metric(replica: Replica) -> None:
    """The time to expiry is NaN before the first certificate, and then follows the clock."""
    name = "certs_expiry_seconds"
    assert str(replica.registry.get_sample_value(name)) == "nan"
    replica.update(OLD)
    replica.clock.at = NOW + 80 * DAY
    assert replica.registry.get_sample_value(name) == (10 * DAY).total_seconds()


def test_event_metrics() -> None:
    """Renewals are counted by part, and each publication of the CA bundle is counted."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, lambda: NOW)
    for event in (PartRenewed("leaf", ("requested",)), PartRenewed("leaf", ()), BundlePublished("hook")):
        metrics(event)
    assert registry.get_sample_value("certs_rotations_total", {"part": "leaf"}) == 2
    assert registry.get_sample_value("certs_injections_total") == 1


def test_no_key_in_logs_or_metrics(replica: Replica, caplog: pytest.LogCaptureFixture) -> None:
    """Logs and metrics contain no line of a private key, for valid and for invalid pairs."""
    with caplog.at_level(logging.DEBUG):
        for leaf in (OLD.leaf, KeyPair(certificate=OLD.leaf.key, key=OLD.leaf.certificate), NEW.leaf):
            replica.update(Material(leaf=leaf, authority=OLD.authority, bundle=OLD.bundle))
    output = caplog.text + generate_latest(replica.registry).decode()
    keys = OLD.leaf.key + NEW.leaf.key + OLD.authority.key
    assert not any(line in output for line in keys.decode().splitlines() if "PRIVATE" not in line)


def test_start_and_stop(replica: Replica) -> None:
    """The loop loads a change within its resync interval, and its thread ends after `stop`."""
    CertificateDirectory(replica.directory).write(OLD)
    replica.rotation.start()
    try:
        for material in (OLD, NEW):
            CertificateDirectory(replica.directory).write(material)
            _wait_until_served(replica, material.leaf)
    finally:
        replica.rotation.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "certs"]


def _wait_until_served(replica: Replica, pair: KeyPair) -> None:
    deadline = time.monotonic() + 5
    while replica.served != pair:
        assert time.monotonic() < deadline, replica.rotation.problems
        time.sleep(0.02)
