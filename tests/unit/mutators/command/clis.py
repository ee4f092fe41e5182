"""Real command-line parsers of `dask worker` and of dask-cuda's worker, without a GPU or its driver.

Each pair of releases is installed from PyPI once, in its own folder of the user's cache. `parser.py` parses command
lines in a long-lived process, because importing distributed takes two seconds.
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
_TIMEOUT = 5 * 60  # seconds; a pair has 45 MB, and its installation took 20 s


@dataclass(frozen=True, slots=True)
class Release:
    """Set of compatible packages, as pinned by rapids-dask-dependency or newer.

    Attributes:
        version: Version of dask-cuda, as in the annotation `dask-cuda-version`.
        dask_cuda: Release of dask-cuda, installed without its dependencies, which need CUDA.
        distributed: Release of distributed and dask.
        click: Release of click, which parses the command line.
    """

    version: tuple[int, int]
    dask_cuda: str
    distributed: str
    click: str

    @property
    def folder(self) -> Path:
        """Folder of the installation."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        name = f"dask-cuda-{self.dask_cuda}-distributed-{self.distributed}-click-{self.click}-python-{python}"
        return cache / "dask-colocate" / "cli" / name


# To support a newer release, change this line: the tests of the tables then list added and removed options.
OF_2024 = Release((24, 12), "24.12.0", "2024.11.2", "8.1.8")
NEWEST = Release((26, 10), "26.10.0", "2026.8.0", "8.5.1")
RELEASES = (OF_2024, NEWEST)


class UnavailableError(Exception):
    """Error for packages that are not installed and cannot be installed."""

    def __init__(self, release: Release, output: str) -> None:
        """State the cause and how to install the packages."""
        super().__init__(
            f"these tests need dask-cuda {release.dask_cuda} and distributed {release.distributed}, but pip could not "
            f"install them into {release.folder}. Run the tests once with access to PyPI or to a mirror that "
            f"pip is configured for, or skip them with -m 'not cli'. Output of pip: {output[-600:]}"
        )


class _Process:
    """Process that responds to lines of JSON until `close` is called."""

    def __init__(self, program: Path, release: Release, *arguments: str, cwd: Path | None = None) -> None:
        """Start the process; the release must be installed."""
        self.release = release
        command = [sys.executable, "-I", "-S", str(program), str(release.folder), *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=cwd
        )
        self._responses: dict[str, Any] = {}

    def close(self) -> None:
        """Stop the process and wait for it."""
        self._stream(self._process.stdin).close()
        self._process.wait(10)
        self._stream(self._process.stdout).close()

    def _request(self, request: dict[str, object]) -> Any:  # noqa: ANN401 - the program's own JSON
        line = json.dumps(request)
        if line not in self._responses:
            stdin = self._stream(self._process.stdin)
            stdin.write(f"{line}\n")
            stdin.flush()
            self._responses[line] = json.loads(self._stream(self._process.stdout).readline())
        return self._responses[line]

    @staticmethod
    def _stream(stream: Any) -> TextIO:  # noqa: ANN401 - Popen's own annotation is IO[Any] | None
        return stream  # type: ignore[no-any-return]  # both are pipes: it is never None


class Starter(_Process):
    """Process that runs the start-up code of one release's dask-cuda worker."""

    def __init__(self, release: Release, cwd: Path, driver: str = "1") -> None:
        """Start the process in a folder of its own, where the worker may write files, with this `driver` of NVML."""
        super().__init__(_STARTER, release, driver, cwd=cwd)

    def start(self, argv: Sequence[str], gpus: int | None) -> str:
        """Return `started` if a worker with these options and GPUs reaches its nannies, else the exception.

        Without `gpus` NVML counts the devices, and the result is `started N`, with the number of nannies.
        """
        result: str = self._request({"argv": list(argv), "gpus": gpus})
        return result


class Cli(_Process):
    """Process that parses the command lines of one release."""

    def __init__(self, release: Release) -> None:
        """Start the process; the release must be installed."""
        super().__init__(_PARSER, release)

    def parse(self, program: str, argv: Sequence[str]) -> dict[str, Any]:
        """Return `values` (of explicit parameters), `error` or `exit`; `program` is `dask` or `dask-cuda`."""
        parsed: dict[str, Any] = self._request({"program": program, "argv": list(argv)})
        return parsed

    def described(self, program: str) -> dict[str, Any]:
        """Return `options`, each with `names` and `flag`, and the `scripts` of dask-cuda by group."""
        described: dict[str, Any] = self._request({"program": program})
        return described


def install(release: Release) -> None:
    """Install a release in its folder unless it is installed.

    Raises:
        UnavailableError: pip cannot install the packages.
    """
    folder = release.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return
        print(f"installing dask-cuda {release.dask_cuda} and distributed {release.distributed} into {folder} ...")  # noqa: T201 - the installation takes long
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
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(release, str(error)) from error
    if done.returncode:
        raise UnavailableError(release, done.stderr)
