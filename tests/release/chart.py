"""Package of the Helm chart as a release publishes it.

`python -m tests.release.chart --image REPOSITORY [--digest DIGEST] DIRECTORY` writes the package and prints its path.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from pathlib import Path

from tests.unit.deploy.chart import CHART, run


class PackageError(Exception):
    """helm did not package the chart; the text is what it wrote."""


def package(directory: Path, image: str, digest: str = "") -> Path:
    """Package the chart so that it installs the given image without settings.

    Args:
        directory: Where the package goes.
        image: Repository of the image, without a tag.
        digest: Digest of the image; empty: the chart's version is the tag.

    Raises:
        PackageError: helm failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        chart = Path(folder) / CHART.name
        shutil.copytree(CHART, chart)
        values = chart / "values.yaml"
        values.write_text(with_image(values.read_text(), image, digest))
        done = run("package", str(chart), "--destination", str(directory))
    if done.returncode:
        raise PackageError(done.stderr)
    return Path(done.stdout.strip().rpartition(": ")[2])


def with_image(values: str, image: str, digest: str) -> str:
    """Return values.yaml with the repository and the digest of the image set; comments stay."""
    values, repositories = re.subn(r"^(  repository: )\S+", rf"\g<1>{image}", values, count=1, flags=re.MULTILINE)
    values, digests = re.subn(r'^(  digest: )""', rf'\g<1>"{digest}"', values, count=1, flags=re.MULTILINE)
    if (repositories, digests) != (1, 1):
        message = "deploy/chart/values.yaml has no image.repository or no empty image.digest"
        raise PackageError(message)
    return values


def main() -> None:
    """Package the chart and print the path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", required=True, help="repository of the image, such as ghcr.io/OWNER/dask-colocate")
    parser.add_argument("--digest", default="", help="digest of the image, sha256:...")
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    sys.stdout.write(f"{package(options.directory, options.image, options.digest)}\n")


if __name__ == "__main__":
    main()
