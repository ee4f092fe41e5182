"""Clock of the machine. Imports nothing heavy."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Return the current time of this machine, in UTC."""
    return datetime.now(UTC)
