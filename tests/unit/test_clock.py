"""Use of the wall clock: deadlines, ages and limits do not depend on it, because it may be set back."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
WALL = re.compile(r"\btime\.time\(|\btime_ns\(|datetime\.(now|today|utcnow)\(|\bsystem_clock\(\)")
ALLOWED = {
    "webhook/cli/wiring.py": "start of validity of the certificate of this run",
    "webhook/cli/namespace.py": "time of the snapshot",
    "webhook/telemetry/events.py": "time of an Event",
    "webhook/status/reading.py": "validity of a certificate",
    "webhook/cli/certs.py": "validity of a server's certificate",
    "certs/rotation/clock.py": "clock for the validity of certificates",
}
"""Files that read the wall clock, and what for."""


def test_wall_clock_is_read_for_dates_only() -> None:
    """Only certificates, Events and snapshots use the wall clock; everything else uses the monotonic clock."""
    files = [path for folder in ("webhook", "certs") for path in (ROOT / folder).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix() for path in files if WALL.search(path.read_text())}
    assert found == ALLOWED.keys()
