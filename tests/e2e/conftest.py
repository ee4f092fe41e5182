"""Fixtures of the test bed. All tests in this folder have the marker `bed`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.e2e.bed import binaries
from tests.e2e.bed.bed import Bed, Output, running
from tests.e2e.webhook_process import ENABLED, Served, installed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add the marker `bed` to the tests of this folder; `-m 'not bed'` deselects them."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.bed)


class NamespaceFactory(Protocol):
    """Factory of namespaces that are deleted after the test."""

    def __call__(self, annotations: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None) -> str:
        """Create a namespace with a random name and return the name."""


class Kubectl(Protocol):
    """Runner of kubectl."""

    def __call__(self, *arguments: str, stdin: str | None = None) -> Output:
        """Run kubectl and return its output; raise with its stderr if it fails."""


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """Start the bed for the whole run. pytest's temporary folder keeps the logs of the last three runs."""
    with running(tmp_path_factory.mktemp("bed"), binaries.locate()) as started:
        yield started


@pytest.fixture
def kubectl(bed: Bed) -> Kubectl:
    """Return a runner of the real kubectl with the credentials of the administrator."""
    return bed.kubectl


@pytest.fixture
def make_namespace(bed: Bed) -> Iterator[NamespaceFactory]:
    """Return a factory of namespaces with annotations and labels; delete them all after the test."""
    names: list[str] = []

    def make(annotations: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None) -> str:
        names.append(bed.create_namespace(annotations, labels))
        return names[-1]

    yield make
    for name in names:
        bed.delete_namespace(name)


@pytest.fixture
def namespace(make_namespace: NamespaceFactory) -> str:
    """Create a namespace without annotations."""
    return make_namespace()


@pytest.fixture
def gpu_nodes(bed: Bed) -> Iterator[list[str]]:
    """Create four nodes with two GPUs each for this test alone, and yield their names."""
    with bed.nodes(4, gpus=2) as names:
        yield names


@pytest.fixture(scope="module")
def webhook(bed: Bed) -> Iterator[Served]:
    """Run the webhook for the tests of a file, and register it with the API server."""
    with installed(bed) as served:
        yield served


@pytest.fixture
def enabled(webhook: Served, make_namespace: NamespaceFactory) -> str:
    """Create a namespace with the annotation `enabled=true` only."""
    assert webhook.client.get("/healthz").is_success
    return make_namespace(ENABLED)
