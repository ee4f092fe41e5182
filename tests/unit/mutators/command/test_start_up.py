"""Converted commands in dask-cuda's start-up code, up to the start of its nannies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.mutators.command.cases import Case, converted, corpus, decided, vector, worker_options
from tests.unit.mutators.command.clis import RELEASES, Release, Starter
from webhook.mutators.decision import Outcome

if TYPE_CHECKING:
    from pathlib import Path

APPLIED = [case for case in corpus() if case.expect["outcome"] == Outcome.APPLIED]
# Options that name a file, device or class that exists only in the pod.
_POD_OPTIONS = frozenset({"--interface", "--scheduler-file", "--worker-class"})


def _gpus(case: Case) -> int:
    limits = (case.container.get("resources") or {}).get("limits") or {}
    return int(limits.get("nvidia.com/gpu") or case.policy.get("gpu-limit", 1))


def _suits(case: Case, version: tuple[int, int]) -> bool:
    named = case.policy.get("dask-cuda-version", "")
    return not named or named == f"{version[0]}.{version[1]:02}"


@pytest.mark.cli
@pytest.mark.parametrize("case", APPLIED, ids=lambda case: case.label)
def test_converted_commands_start(case: Case, starters: dict[tuple[int, int], Starter]) -> None:
    """The start-up code of each release accepts the options of a converted command, with the GPUs of its pod."""
    options = worker_options(vector(converted(case.container, decided(case.container, case.policy))), "dask-cuda")
    if any(word.partition("=")[0] in _POD_OPTIONS for word in options):
        pytest.skip("needs a file, device or class of the pod")
    for version, starter in starters.items():
        if _suits(case, version):
            assert starter.start(options, _gpus(case)) == "started", options


@pytest.mark.cli
@pytest.mark.parametrize(
    ("options", "gpus"),
    [
        (["--nthreads", "0"], 1),
        (["--no-nanny"], 1),
        (["--worker-port", "3000"], 2),
        (["--listen-address", "tcp://0.0.0.0:3000"], 2),
        (["--contact-address", "tcp://10.0.0.1:3000"], 1),
        (["--listen-address", "tcp://127.0.0.1:3000", "--host", "127.0.0.1"], 1),
    ],
)
def test_invalid_options_fail(options: list[str], gpus: int, starters: dict[tuple[int, int], Starter]) -> None:
    """The start-up code rejects options that the conversion rejects or drops, which shows that it is real."""
    assert all(starter.start(options, gpus) != "started" for starter in starters.values())
    assert starters[26, 10].start(options, gpus).startswith("ValueError")


@pytest.mark.cli
@pytest.mark.usefixtures("clis")
@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.dask_cuda)
@pytest.mark.parametrize(
    ("driver", "options", "result"),
    [
        ("none", [], "NVMLError_LibraryNotFound"),
        ("0", [], "ZeroDivisionError"),
        ("0", ["--memory-limit", "1GB"], "started 0"),
        ("1", [], "started 1"),
        ("4", [], "started 4"),
        ("slice", [], "NVMLError_NoPermission"),
    ],
)
def test_start_depends_on_the_devices(
    release: Release, driver: str, options: list[str], result: str, tmp_path: Path
) -> None:
    """A worker starts for each device; without a device none starts, and dask-cuda fails on a MIG slice."""
    starter = Starter(release, tmp_path, driver)
    try:
        assert starter.start(options, None).startswith(result)
    finally:
        starter.close()
