"""What a process says about itself: its metrics, its processor time, its memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS = "dask_colocate_admission_seconds"
_TICKS = os.sysconf("SC_CLK_TCK")
# proc(5): utime and stime are fields 14 and 15; behind the name, which may hold blanks, they are 11 and 12.
_UTIME, _STIME = 11, 12


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads so far."""
    return ticks(Path(f"/proc/{pid}/stat").read_text()) / _TICKS


def ticks(stat: str) -> int:
    """User and system time in a line of `/proc/PID/stat`."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[_UTIME]) + int(fields[_STIME])


def resident_mib(pid: int) -> float:
    """VmRSS."""
    return resident(Path(f"/proc/{pid}/status").read_text())


def resident(status: str) -> float:
    """VmRSS in MiB in the text of `/proc/PID/status`, which gives kB."""
    (line,) = (each for each in status.splitlines() if each.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def total(metrics: str, counter: str, **labels: str) -> float:
    """The sum of a metric's samples that carry these labels; 0 where there is none."""
    return sum(value for found, value in _samples(metrics, counter) if labels.items() <= found.items())


def buckets(metrics: str, histogram: str = SECONDS, **labels: str) -> dict[float, float]:
    """The cumulative counts of a histogram by upper bound, summed over the series that carry these labels."""
    counts: dict[float, float] = {}
    for found, value in _samples(metrics, f"{histogram}_bucket"):
        if labels.items() <= found.items():
            counts[float(found["le"])] = counts.get(float(found["le"]), 0) + value
    return counts


def since(before: Mapping[float, float], after: Mapping[float, float]) -> dict[float, float]:
    """What a histogram counted between two scrapes."""
    return {bound: count - before.get(bound, 0) for bound, count in after.items()}


def _samples(metrics: str, name: str) -> list[tuple[dict[str, str], float]]:
    families = text_string_to_metric_families(metrics)
    return [(each.labels, each.value) for family in families for each in family.samples if each.name == name]
