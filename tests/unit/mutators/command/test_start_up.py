"""Converted commands in dask-cuda's start-up code, up to the start of its nannies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.mutators.command.cases import Case, converted, corpus, decided, vector, worker_options
from webhook.mutators.decision import Outcome

if TYPE_CHECKING:
    from tests.unit.mutators.command.clis import Starter

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
