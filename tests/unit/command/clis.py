"""The real command lines of `dask worker` and of dask-cuda's worker, without a GPU or its driver.

Each pair of releases is installed from PyPI once, into a folder of its own below the user's cache, and driven
through `parser.py`, a process that stays up: importing distributed takes two seconds, parsing a line none.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

_PARSER = Path(__file__).with_name("parser.py")
_STARTER = Path(__file__).with_name("starter.py")
_MINUTES = 5  # 45 MB for each pair; the first install took 20 s


@dataclass(frozen=True, slots=True)
class Release:
    """Packages that belong together, as rapids-dask-dependency pins them, or newer.

    Attributes:
        version: Of dask-cuda, as the annotation `dask-cuda-version` has it.
        dask_cuda: Its release; installed without what it depends on, which is CUDA.
        distributed: The release of distributed (and of dask).
        click: What parses.
    """

    version: tuple[int, int]
    dask_cuda: str
    distributed: str
    click: str

    @property
    def folder(self) -> Path:
        """Where it is installed."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        name = f"dask-cuda-{self.dask_cuda}-distributed-{self.distributed}-click-{self.click}-python-{python}"
        return cache / "dask-colocate" / "cli" / name


# The one place to raise. After that, the tests of the tables name every option that has come or gone.
OF_2024 = Release((24, 12), "24.12.0", "2024.11.2", "8.1.8")
NEWEST = Release((26, 10), "26.10.0", "2026.8.0", "8.5.1")
RELEASES = (OF_2024, NEWEST)


class UnavailableError(Exception):
    """The packages can neither be found nor installed."""

    def __init__(self, release: Release, said: str) -> None:
        """Say how a reader gets them, and what went wrong."""
        super().__init__(
            f"these tests parse with the real dask-cuda {release.dask_cuda} and distributed {release.distributed}, and "
            f"pip could not install them into {release.folder}. Run the tests once where PyPI, or a mirror that pip is "
            f"configured for, is reachable, or leave them out with -m 'not cli'. pip said: {said[-600:]}"
        )


class _Process:
    """A program that answers lines of JSON, in a process that lives until `close`."""

    def __init__(self, program: Path, release: Release, *arguments: str, cwd: Path | None = None) -> None:
        """Start the process; the release must be installed."""
        self.release = release
        command = [sys.executable, "-I", "-S", str(program), str(release.folder), *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=cwd
        )
        self._seen: dict[str, Any] = {}

    def close(self) -> None:
        """End the process."""
        self._stream(self._process.stdin).close()
        self._process.wait(10)
        self._stream(self._process.stdout).close()

    def _ask(self, request: dict[str, object]) -> Any:  # noqa: ANN401 - the program's own JSON
        line = json.dumps(request)
        if line not in self._seen:
            stdin = self._stream(self._process.stdin)
            stdin.write(f"{line}\n")
            stdin.flush()
            self._seen[line] = json.loads(self._stream(self._process.stdout).readline())
        return self._seen[line]

    @staticmethod
    def _stream(stream: Any) -> TextIO:  # noqa: ANN401 - Popen's own annotation is IO[Any] | None
        return stream  # type: ignore[no-any-return]  # both are pipes: it is never None


class Starter(_Process):
    """The start-up of one release's dask-cuda worker."""

    def __init__(self, release: Release, cwd: Path, driver: str = "1") -> None:
        """Start the process in a folder of its own, where the worker may write files, with this `driver` of NVML."""
        super().__init__(_STARTER, release, driver, cwd=cwd)

    def start(self, argv: Sequence[str], gpus: int | None) -> str:
        """Return `started` if a worker with these options and GPUs reaches its nannies, else the exception.

        Without `gpus` NVML counts the devices, and the result is `started N`, with the number of nannies.
        """
        result: str = self._ask({"argv": list(argv), "gpus": gpus})
        return result


class Cli(_Process):
    """The command lines of one release."""

    def __init__(self, release: Release) -> None:
        """Start the process; the release must be installed."""
        super().__init__(_PARSER, release)

    def parse(self, program: str, argv: Sequence[str]) -> dict[str, Any]:
        """`values` (parameter to value, for those given), `error` or `exit`; program is `dask` or `dask-cuda`."""
        parsed: dict[str, Any] = self._ask({"program": program, "argv": list(argv)})
        return parsed

    def described(self, program: str) -> dict[str, Any]:
        """`options`, each with its names and whether it is a flag, and the `scripts` of dask-cuda by group."""
        described: dict[str, Any] = self._ask({"program": program})
        return described


def install(release: Release) -> None:
    """Have a release in its folder.

    Raises:
        UnavailableError: It is not there yet and pip cannot get it.
    """
    folder = release.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return
        print(f"installing dask-cuda {release.dask_cuda} and distributed {release.distributed} into {folder} ...")  # noqa: T201 - a long wait wants a word
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        pins = (f"distributed=={release.distributed}", f"dask=={release.distributed}", f"click=={release.click}")
        _pip(release, unfinished, "--no-deps", f"dask-cuda=={release.dask_cuda}")
        _pip(release, unfinished, *pins)
        unfinished.rename(folder)


def _pip(release: Release, folder: Path, *wanted: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-warn-conflicts"]
    try:
        done = subprocess.run(
            [*command, "--target", str(folder), *wanted],
            capture_output=True,
            text=True,
            timeout=60 * _MINUTES,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(release, str(error)) from error
    if done.returncode:
        raise UnavailableError(release, done.stderr)
