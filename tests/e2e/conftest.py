"""The test bed's fixtures. Everything under this folder carries the marker `bed`."""

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
    """Mark what is in this folder: `-m 'not bed'` leaves it out."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.bed)


class NamespaceFactory(Protocol):
    """Makes a namespace that is deleted after the test."""

    def __call__(self, annotations: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None) -> str:
        """The name of a new namespace with a random name."""


class Kubectl(Protocol):
    """Runs kubectl."""

    def __call__(self, *arguments: str, stdin: str | None = None) -> Output:
        """What it wrote; raises with its stderr where it failed."""


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """The bed for the whole run. Its logs stay in pytest's temporary folder for the last three runs."""
    with running(tmp_path_factory.mktemp("bed"), binaries.locate()) as started:
        yield started


@pytest.fixture
def kubectl(bed: Bed) -> Kubectl:
    """The real kubectl as the administrator."""
    return bed.kubectl


@pytest.fixture
def make_namespace(bed: Bed) -> Iterator[NamespaceFactory]:
    """A factory of namespaces with annotations and labels, all deleted after the test."""
    made: list[str] = []

    def make(annotations: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None) -> str:
        made.append(bed.create_namespace(annotations, labels))
        return made[-1]

    yield make
    for name in made:
        bed.delete_namespace(name)


@pytest.fixture
def namespace(make_namespace: NamespaceFactory) -> str:
    """A fresh namespace without annotations."""
    return make_namespace()


@pytest.fixture
def gpu_nodes(bed: Bed) -> Iterator[list[str]]:
    """Four nodes with two GPUs each, of this test alone; their names."""
    with bed.nodes(4, gpus=2) as names:
        yield names


@pytest.fixture(scope="module")
def webhook(bed: Bed) -> Iterator[Served]:
    """The webhook of a file's tests, called by the API server."""
    with installed(bed) as served:
        yield served


@pytest.fixture
def enabled(webhook: Served, make_namespace: NamespaceFactory) -> str:
    """A namespace that its admin has annotated, and nothing more."""
    assert webhook.client.get("/healthz").is_success
    return make_namespace(ENABLED)
