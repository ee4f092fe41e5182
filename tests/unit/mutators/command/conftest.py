"""Fixtures of the tests of the mutator `command`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.mutators.command.clis import RELEASES, Cli, Release, Starter, install

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def clis(pytestconfig: pytest.Config) -> Iterator[dict[tuple[int, int], Cli]]:
    """Start the command-line parsers by version of dask-cuda; pip installs them first if necessary."""
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        for release in RELEASES:
            install(release)
    started = {release.version: Cli(release) for release in RELEASES}
    yield started
    for cli in started.values():
        cli.close()


@pytest.fixture(scope="session", params=RELEASES, ids=lambda release: release.dask_cuda)
def cli(request: pytest.FixtureRequest, clis: dict[tuple[int, int], Cli]) -> Cli:
    """Return the command-line parser of each release in turn."""
    release: Release = request.param
    return clis[release.version]


@pytest.fixture(scope="session")
def starters(
    clis: dict[tuple[int, int], Cli], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[int, int], Starter]]:
    """Start the start-up processes of dask-cuda's worker by version of dask-cuda."""
    del clis  # installs the releases
    started = {release.version: Starter(release, tmp_path_factory.mktemp("start")) for release in RELEASES}
    yield started
    for starter in started.values():
        starter.close()
