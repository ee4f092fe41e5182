"""On what a benchmark ran: figures mean little without it."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.bed.bed import Bed

_PACKAGES = ("dask-colocate", "dask-kubernetes", "uvicorn", "fastapi")


def machine() -> dict[str, object]:
    """Processor, cores, memory, system and the load that others put on it when the benchmark began."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages * size / 2**30, 1),
        "system": platform.system(),
        "kernel": platform.release(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "date": datetime.now(UTC).date().isoformat(),
    }


def versions(bed: Bed) -> dict[str, str]:
    """What was in the path, from the programs themselves and from where they were built."""
    programs = {name: path.resolve().parts[-3] for name, path in bed.plane.programs.items() if name in {"etcd", "kwok"}}
    kubernetes = str(bed.api.get("/version")["gitVersion"])
    packages = {name: version(name) for name in _PACKAGES}
    return {"kubernetes": kubernetes, **programs, "python": platform.python_version(), **packages}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
