"""Tables of options, compared with the real packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.mutators.command.clis import NEWEST
from webhook.mutators.command.options import (
    BY_NAME,
    CUDA_OPTIONS,
    DASK_OPTIONS,
    INFORMATION,
    OLDEST,
    Option,
    in_version,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.unit.mutators.command.clis import Cli

OPTIONS = (*DASK_OPTIONS, *CUDA_OPTIONS)


def _named(options: Iterable[Option]) -> dict[frozenset[str], bool]:
    return {frozenset(option.names): option.flag for option in options}


def _described(cli: Cli, program: str) -> dict[frozenset[str], bool]:
    options = cli.described(program)["options"]
    return {frozenset(option["names"]): option["flag"] for option in options if not {*INFORMATION} & {*option["names"]}}


def test_rows_are_consistent() -> None:
    """Names are unique, pairs are flags, and an option that dask-cuda lacks is either needed or has a loss."""
    assert len(BY_NAME) == sum(len(option.names) for option in OPTIONS)
    assert all(option.flag for option in OPTIONS if len(option.names) > 1)
    assert all(bool(option.lost) == (option.since is None and not option.needed) for option in OPTIONS)


def test_the_common_set_is_in_every_version() -> None:
    """Without a known version, only options that every version accepts are kept."""
    versions = [OLDEST, (22, 12), (23, 2), (24, 12), (26, 4), (26, 6), NEWEST.version]
    for option in OPTIONS:
        assert in_version(option, None) == all(in_version(option, version) for version in versions)


@pytest.mark.cli
def test_options_of_dask_cuda(cli: Cli) -> None:
    """The tables list exactly the options that each release of dask-cuda accepts."""
    accepted = (option for option in OPTIONS if in_version(option, cli.release.version))
    assert _described(cli, "dask-cuda") == _named(accepted)


@pytest.mark.cli
def test_options_of_dask_worker(cli: Cli) -> None:
    """The table lists exactly the options that `dask worker` accepts, apart from removed ones."""
    current = (option for option in DASK_OPTIONS if not option.dask.startswith("- "))
    assert _described(cli, "dask") == _named(current)


@pytest.mark.cli
def test_command_forms_exist(cli: Cli) -> None:
    """Each release has the entry points that commands are converted to."""
    scripts = cli.described("dask-cuda")["scripts"]
    assert "dask-cuda-worker" in scripts["console_scripts"]
    assert scripts["dask_cli"] == ["cuda"]
