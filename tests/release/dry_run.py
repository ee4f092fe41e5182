"""Dry run of a release: upload the built files to registries on this machine and read them back.

`python -m tests.release.dry_run DIRECTORY` takes the wheel, the source distribution and the chart package there.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.bed.binaries import RELEASE_TOOLS, locate
from tests.e2e.bed.process import free_ports, listening
from tests.unit.deploy.chart import helm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SECONDS = 30  # each server listens within 2 s on an idle machine


@contextmanager
def _server(argv: Sequence[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(argv)
    try:
        end = time.monotonic() + _SECONDS
        while not listening(port):
            if process.poll() is not None or time.monotonic() > end:
                message = f"server did not start: {argv[0]}"
                raise RuntimeError(message)
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def upload_chart(package: Path) -> None:
    """Push the chart package to an OCI registry, pull it and compare the two."""
    (port,) = free_ports(1)
    program = [each for each in RELEASE_TOOLS if each.name == "registry"]
    registry = str(locate(tuple(program))["registry"])
    name, _, version = package.stem.rpartition("-")
    with tempfile.TemporaryDirectory() as folder, _server([registry, f"-port={port}"], port):
        charts = f"oci://localhost:{port}/charts"
        _run(helm(), "push", str(package), charts, "--plain-http")
        _run(helm(), "pull", f"{charts}/{name}", f"--version={version}", f"--destination={folder}", "--plain-http")
        if (Path(folder) / package.name).read_bytes() != package.read_bytes():
            message = f"pulled chart differs from {package}"
            raise RuntimeError(message)


def upload_distributions(files: Sequence[Path]) -> None:
    """Upload wheel and source distribution with twine to a package index, and download the wheel again with pip."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        server = ["run", f"--port={port}", "--interface=127.0.0.1", "--authenticate=.", "--passwords=.", folder]
        with _server([sys.executable, "-m", "pypiserver", *server], port):
            credentials = ("--username=any", "--password=any", "--disable-progress-bar")
            _run(sys.executable, "-m", "twine", "upload", f"--repository-url={url}", *credentials, *map(str, files))
            index = (f"--index-url={url}/simple", "--no-deps", "--no-cache-dir")
            _run(sys.executable, "-m", "pip", "download", "dask-colocate", *index, f"--dest={folder}/back")
        (wheel,) = (file for file in files if file.suffix == ".whl")
        if (Path(folder) / "back" / wheel.name).read_bytes() != wheel.read_bytes():
            message = f"downloaded wheel differs from {wheel}"
            raise RuntimeError(message)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def main(directory: Path) -> None:
    """Upload everything and print what was uploaded.

    Raises:
        RuntimeError: A file that came back differs, or a server did not start.
    """
    (wheel,), (source,) = directory.glob("*.whl"), directory.glob("*.tar.gz")
    (chart,) = directory.glob("*.tgz")
    upload_distributions((wheel, source))
    upload_chart(chart)
    sys.stdout.write(f"dry run passed: {wheel.name}, {source.name}, {chart.name}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
