"""What a release uploads: a source distribution, and the wheel that is built from it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution beside it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_works_by_itself(wheel: Path, tmp_path: Path) -> None:
    """Installed away from the sources, it shows the main job with its own examples, and has the page of `status`."""
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), str(wheel)]
    subprocess.run(argv, check=True)
    shipped = {each.name for each in (tmp_path / "webhook" / "status").iterdir()}
    assert {"dask-colocate", "kubectl-dask_colocate"} <= {each.name for each in (tmp_path / "bin").iterdir()}
    assert {"page.css", "page.html.j2", "page.js"} <= shipped
    demo = subprocess.run(
        [sys.executable, "-P", "-m", "webhook", "demo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "allowed, no patch: the object already has all settings" in demo.stdout


def test_source_distribution_holds_what_builds_and_tests_it(wheel: Path) -> None:
    """Both packages, the licence, the chart and the tests are in it; no key material and no cache."""
    (sdist,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "webhook/cli/main.py",
        "certs/serving.py",
        "LICENSE",
        "deploy/chart/Chart.yaml",
        "tests/conftest.py",
    } <= names
    assert not [name for name in names if name.endswith((".pem", ".key", ".pyc"))]
