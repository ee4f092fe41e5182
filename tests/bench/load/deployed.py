"""The Python that an image has: with the locked packages of `deploy/requirements.txt`, and none that only tests need.

Some packages load what they find: tenacity loads tornado, which Dask's own packages bring, for a MiB of memory.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.bed import binaries

ROOT = Path(__file__).parents[3]
REQUIREMENTS = ROOT / "deploy" / "requirements.txt"


def python() -> str:
    """The interpreter; the first time, and after each change of the lock file, its packages are installed."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = binaries.cache() / f"deployed-{digest}"
    if not folder.exists():
        print(f"[bench] installing {REQUIREMENTS.relative_to(ROOT)}, first time only, about 1 minute", flush=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            _install(Path(made, "venv"))
            Path(made, "venv").rename(folder)
    return str(folder / "bin" / "python")


def _install(folder: Path) -> None:
    """A virtual environment: its interpreter finds its packages wherever the folder is moved."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ]
    subprocess.run([*pip, "--require-hashes", "-r", str(REQUIREMENTS)], check=True)
    # For its metadata; the code that runs is the one of the working directory.
    subprocess.run([*pip, "-e", str(ROOT)], check=True)
