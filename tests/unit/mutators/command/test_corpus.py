"""Conversion of a corpus of commands, checked with the real command-line parsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.mutators.command.cases import Case, converted, corpus, decided, vector, worker_options
from webhook.admission.response import WARNING_PREFIX
from webhook.mutators.command.options import BY_NAME, DASK_OPTIONS
from webhook.mutators.decision import Outcome, Reason

if TYPE_CHECKING:
    from tests.unit.mutators.command.clis import Cli

CORPUS = corpus()
APPLIED = [case for case in CORPUS if case.expect["outcome"] == "applied"]
# Options that the installed releases of distributed removed: their values cannot be compared.
LEGACY = {name for option in DASK_OPTIONS if option.dask.startswith("- ") for name in option.names}


def _releases(case: Case, clis: dict[tuple[int, int], Cli]) -> list[Cli]:
    """Return the parsers that must accept a case's conversion: that of its version, or all without a version."""
    named = case.policy.get("dask-cuda-version", "")
    return [cli for version, cli in clis.items() if not named or named < "23" or named[:2] == str(version[0])]


def test_corpus_is_complete() -> None:
    """The corpus has at least 150 distinct commands and every reason of the mutator."""
    labels = [(case.label, str(case.container)) for case in CORPUS]
    assert len(set(labels)) == len(labels) >= 150
    reasons = {case.expect["reason"] for case in CORPUS}
    known = {str(reason) for reason in Reason if reason.name.startswith("COMMAND_")}
    assert known <= reasons


def test_corpus_has_every_option_in_both_forms() -> None:
    """Each option of `dask worker` occurs as `--x v` and as `--x=v`, or as a flag in each of its names."""
    words = [word for case in CORPUS for word in case.container.get("args", ()) if isinstance(word, str)]
    for option in DASK_OPTIONS:
        for name in option.names:
            assert name in words, name
            assert option.flag or any(word.startswith(f"{name}=") for word in words), name


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.label)
def test_decision(case: Case) -> None:
    """The decision is the expected one, and each warning is one line of at most 120 characters."""
    decision = decided(case.container, case.policy)
    actual: dict[str, Any] = {"outcome": str(decision.outcome), "reason": str(decision.reason)}
    actual |= {operation.path.rpartition("/")[2]: operation.value for operation in decision.operations}
    if decision.warnings:
        actual["warnings"] = list(decision.warnings)
    assert actual == case.expect
    assert all(len(f"{WARNING_PREFIX}{line}") <= 120 and line.isprintable() for line in decision.warnings)
    assert bool(decision.operations) == (decision.outcome is Outcome.APPLIED)
    assert decision.warnings or decision.outcome is not Outcome.REFUSED


@pytest.mark.parametrize("case", APPLIED, ids=lambda case: case.label)
def test_converting_again_changes_nothing(case: Case) -> None:
    """A converted command is kept, and the conversion adds no `command` or `args`."""
    once = converted(case.container, decided(case.container, case.policy))
    again = decided(once, case.policy)
    assert (again.outcome, again.operations) == (Outcome.KEPT, ())
    assert again.reason is Reason.COMMAND_CUDA_ALREADY
    assert once.keys() == {"name", *case.container}


@pytest.mark.cli
@pytest.mark.parametrize("case", APPLIED, ids=lambda case: case.label)
def test_real_parsers_agree(case: Case, clis: dict[tuple[int, int], Cli]) -> None:
    """dask-cuda parses the result to the values of the original in distributed; a warning names each lost option."""
    decision = decided(case.container, case.policy)
    before = worker_options(vector(case.container), "dask")
    after = worker_options(vector(converted(case.container, decision)), "dask-cuda")
    for cli in _releases(case, clis):
        new = cli.parse("dask-cuda", after)
        assert "values" in new, (new, after)
        values = new["values"]
        assert not str(values.get("scheduler", "")).startswith("-")
        assert values.get("--nthreads", 1) >= 1
        if any(word.partition("=")[0] in LEGACY or not _of_dask(word) for word in before):
            continue
        old = cli.parse("dask", before)["values"]
        assert values.items() <= old.items()
        for name in old.keys() - values.keys():
            harmless = _effect(name, old[name]) in BY_NAME[name].harmless
            assert harmless or any(word in line for line in decision.warnings for word in BY_NAME[name].names)


def _of_dask(word: str) -> bool:
    option = BY_NAME.get(word.partition("=")[0])
    return option is None or bool(option.dask)


def _effect(name: str, value: object) -> str:
    names = BY_NAME[name].names
    return names[0 if value else -1] if BY_NAME[name].flag else str(value)
