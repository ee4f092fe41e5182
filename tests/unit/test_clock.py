"""A wall clock that is stepped, by hand or by NTP: no deadline, age or limit may follow it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
WALL = re.compile(r"\btime\.time\(|\btime_ns\(|datetime\.(now|today|utcnow)\(|\bsystem_clock\(\)")
TOLD = {
    "webhook/cli/wiring.py": "from when on the certificate of this run is good",
    "webhook/cli/namespace.py": "when the installation was read",
    "webhook/telemetry/events.py": "when an Event was",
    "webhook/status/reading.py": "whether a certificate is good now",
    "webhook/cli/certs.py": "validity of a server's certificate",
    "certs/rotation/clock.py": "clock for the validity of certificates",
}
"""Where an instant of the calendar is asked for, and what for."""


def test_only_what_is_about_dates_reads_the_wall_clock() -> None:
    """What waits, ages or gives up uses the monotonic clock: an instant is read for certificates and Events alone."""
    files = [path for folder in ("webhook", "certs") for path in (ROOT / folder).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix() for path in files if WALL.search(path.read_text())}
    assert found == TOLD.keys()
