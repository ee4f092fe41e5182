"""Fixtures for the cluster of KUBECONFIG: real kubelets, and the image already loaded.

These tests install Helm releases and start Dask clusters, so KUBECONFIG alone does not start them: set TEST_IMAGE to
the image under test as well. With kind, for example:

    docker build -t dask-colocate:test . && kind load docker-image dask-colocate:test
    KUBECONFIG=~/.kube/config TEST_IMAGE=dask-colocate:test python -m pytest tests/e2e/node

TEST_DASK_IMAGE (scheduler, workers and a `dask-cuda-worker` of any kind) and TEST_OPERATOR_IMAGE (dask-kubernetes)
enable the tests that compute. No image is pulled.
"""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.node import measured
from tests.e2e.node.release import Cluster, Release

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
NAME = "dask-colocate"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker `node`."""
    config.addinivalue_line("markers", "node: needs a cluster with real kubelets: set KUBECONFIG and TEST_IMAGE")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add the marker `node` to the tests of this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.node)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the measurements."""
    for line in measured.LINES:
        terminalreporter.write_line(f"[node] {line}")


def named(variable: str) -> str:
    """Return the value of an environment variable; skip the test with instructions if it is not set."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"NOT RUN: {variable} is not set. These tests need a cluster with real kubelets; see {__file__}")
    return value


@dataclass(frozen=True, kw_only=True)
class Installed:
    """Installed chart, and the duration of `helm install --wait` in seconds."""

    release: Release
    seconds: float


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """Return the cluster of KUBECONFIG."""
    return Cluster(kubeconfig=Path(named("KUBECONFIG")).expanduser())


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Iterator[Installed]:
    """Install the chart in a namespace that admits only restricted pods; delete both afterwards."""
    repository, _, tag = named("TEST_IMAGE").rpartition(":")
    cluster.kubectl("create", "namespace", NAME)
    cluster.kubectl("label", "namespace", NAME, "pod-security.kubernetes.io/enforce=restricted")
    settings = (f"image.repository={repository}", f"image.tag={tag}")
    release = Release(cluster=cluster, name=NAME, namespace=NAME, settings=settings)
    started = time.monotonic()
    release.install("--wait", "--timeout=300s")
    try:
        yield Installed(release=release, seconds=time.monotonic() - started)
    finally:
        release.uninstall()
        cluster.kubectl("delete", "namespace", NAME)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Create a namespace with the annotation `enabled=true` only."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("annotate", "namespace", name, "colocate.dask.org/enabled=true")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
