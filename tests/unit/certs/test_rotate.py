"""The loop with files as its source: what it serves, says and counts."""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from certs.assembly import Settings, rotation
from certs.issue import Pair
from certs.modes import Mode
from certs.observe import Injected, Metrics, Rotated
from certs.plan import Material, Part, renew
from certs.rotate import Pace, Rotation
from certs.serving import Serving
from certs.sources import BadOfferError, Mounted
from certs.store import Directory, Files
from tests.unit.certs.material import DAY, NAMES, NOW, SUBJECT, entropy, installed, renewal

if TYPE_CHECKING:
    from pathlib import Path

    from certs.kube import Api

OLD = installed()
NEW = renew(OLD, Part.AUTHORITY, SUBJECT, renewal(seed=20))


class Clock:
    """An instant that the test moves."""

    def __init__(self) -> None:
        """Begin at `NOW`."""
        self.at = NOW

    def __call__(self) -> datetime:
        """The instant."""
        return self.at


class Replica:
    """A rotation on the files of a folder, its metrics, and passes by hand."""

    def __init__(self, folder: Path) -> None:
        """Nothing is in the folder yet."""
        self.folder, self.clock, self.registry = folder, Clock(), CollectorRegistry()
        self.serving = Serving()
        files = Files(certificate=folder / "tls.crt", key=folder / "tls.key", bundle=folder / "ca.crt")
        settings = Settings(mode=Mode.FILES, certificate=files.certificate, key=files.key, extra_names=NAMES)
        metrics = Metrics(self.registry, self.clock)
        self.rotation: Rotation = rotation(settings, self.serving, metrics, _no_cluster, lambda: entropy(1))
        self.rotation.pace = Pace(resync=0.1, retry=0.1)
        self.rotation.clock = self.clock
        self.rotation.source = Mounted(files=files, names=NAMES)

    def hold(self, held: Material) -> None:
        """Put material into the folder and pass."""
        Directory(self.folder).write(held)
        self.rotation.once()

    def failures(self, step: str) -> float:
        """How often a step failed."""
        return self.registry.get_sample_value("certs_failures_total", {"step": step}) or 0


def _no_cluster() -> Api:
    raise AssertionError("files need no cluster")


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    """A replica with an empty folder."""
    return Replica(tmp_path)


def test_files_are_served_when_they_come_and_when_they_change(replica: Replica) -> None:
    """Not ready without files, ready with them, and the next pair goes live on the next pass."""
    with pytest.raises(FileNotFoundError):
        replica.rotation.once()
    assert not replica.rotation.ready
    assert replica.rotation.wrong == ("no certificate is served yet",)
    for held in (OLD, NEW):
        replica.hold(held)
        assert replica.serving.pair == held.leaf
        assert replica.rotation.ready


@pytest.mark.parametrize(
    "bad",
    [
        Pair(certificate=NEW.leaf.certificate, key=OLD.leaf.key),
        Pair(certificate=b"garbage", key=b"garbage"),
        installed(NOW - 100 * DAY, seed=30).leaf,
    ],
)
def test_a_bad_pair_keeps_the_old_one_counts_and_warns(
    replica: Replica, bad: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """A mismatched, unreadable or expired pair is not served; it is counted each time and said once."""
    replica.hold(OLD)
    with caplog.at_level(logging.WARNING):
        replica.hold(Material(leaf=bad, bundle=OLD.bundle))
        replica.rotation.once()
    assert replica.serving.pair == OLD.leaf
    assert replica.rotation.ready
    assert replica.failures("source") == 2
    assert len(caplog.records) == 1


def test_a_leaf_of_another_authority_is_refused(replica: Replica) -> None:
    """A pair that the bundle beside it does not trust would fail every call: the old one stays."""
    replica.hold(OLD)
    replica.hold(Material(leaf=NEW.leaf, bundle=OLD.bundle))
    assert replica.serving.pair == OLD.leaf
    with pytest.raises(BadOfferError, match="no valid authority of the bundle"):
        replica.rotation.source.offer((), replica.clock)


def test_expired_while_serving_is_not_ready(replica: Replica) -> None:
    """Readiness ends with the certificate, without a pass in between."""
    replica.hold(OLD)
    replica.clock.at = NOW + 90 * DAY + timedelta(seconds=1)
    assert not replica.rotation.ready


def test_a_clock_that_is_set_back_makes_no_certificate_too_early(replica: Replica) -> None:
    """What was served in its time stays ready under an earlier clock; what never was in its time is not."""
    replica.hold(OLD)
    replica.clock.at = NOW - timedelta(hours=1)
    replica.rotation.once()
    assert replica.rotation.ready
    other = Replica(replica.folder)
    other.clock.at = replica.clock.at
    other.rotation.once()
    assert not other.rotation.ready
    assert "is a clock wrong?" in other.rotation.wrong[0]


def test_seconds_to_expiry_are_counted_down(replica: Replica) -> None:
    """The metric is unknown before the first certificate, and then follows the clock."""
    name = "certs_expiry_seconds"
    assert str(replica.registry.get_sample_value(name)) == "nan"
    replica.hold(OLD)
    replica.clock.at = NOW + 80 * DAY
    assert replica.registry.get_sample_value(name) == (10 * DAY).total_seconds()


def test_rotations_and_injections_are_counted() -> None:
    """What this replica renewed, by part, and each bundle it put in force."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, lambda: NOW)
    for observed in (Rotated("leaf", ("asked for",)), Rotated("leaf", ()), Injected("hook")):
        metrics(observed)
    assert registry.get_sample_value("certs_rotations_total", {"part": "leaf"}) == 2
    assert registry.get_sample_value("certs_injections_total") == 1


def test_no_key_in_logs_or_metrics(replica: Replica, caplog: pytest.LogCaptureFixture) -> None:
    """Good and broken pairs alike: not one line of a key is written anywhere."""
    with caplog.at_level(logging.DEBUG):
        for leaf in (OLD.leaf, Pair(certificate=OLD.leaf.key, key=OLD.leaf.certificate), NEW.leaf):
            replica.hold(Material(leaf=leaf, authority=OLD.authority, bundle=OLD.bundle))
    written = caplog.text + generate_latest(replica.registry).decode()
    keys = OLD.leaf.key + NEW.leaf.key + OLD.authority.key
    secret = [line for line in keys.decode().splitlines() if "PRIVATE" not in line]
    assert not any(line in written for line in secret)


def test_start_and_stop(replica: Replica) -> None:
    """The loop serves by itself, finds a change within its polling, and ends when told to."""
    Directory(replica.folder).write(OLD)
    replica.rotation.start()
    try:
        for held in (OLD, NEW):
            Directory(replica.folder).write(held)
            _await(replica, held.leaf)
    finally:
        replica.rotation.stop()
    assert not [each for each in threading.enumerate() if each.name == "certs"]


def _await(replica: Replica, pair: Pair) -> None:
    deadline = time.monotonic() + 5
    while replica.serving.pair != pair:
        assert time.monotonic() < deadline, replica.rotation.wrong
        time.sleep(0.02)
