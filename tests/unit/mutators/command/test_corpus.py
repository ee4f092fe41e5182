"""The rule `command` on a corpus of commands, checked against the real command lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.mutators.command.cases import Case, converted, corpus, decided, vector, worker_options
from webhook.mutators.command.options import BY_NAME, DASK_OPTIONS
from webhook.mutators.decision import LONGEST_WARNING, Outcome, Reason

if TYPE_CHECKING:
    from tests.unit.mutators.command.clis import Cli

CORPUS = corpus()
APPLIED = [case for case in CORPUS if case.expect["outcome"] == "applied"]
# Rows of the table that the parsed releases of distributed no longer have: there is no original to compare with.
LEGACY = {name for option in DASK_OPTIONS if option.dask.startswith("- ") for name in option.names}


def _releases(case: Case, clis: dict[tuple[int, int], Cli]) -> list[Cli]:
    """The command lines that a case's conversion must suit: those of its version, or all where none is named."""
    named = case.policy.get("dask-cuda-version", "")
    return [cli for version, cli in clis.items() if not named or named < "23" or named[:2] == str(version[0])]


def test_the_corpus_is_as_large_as_promised() -> None:
    """150 commands or more, none twice, and every reason of the rule among them."""
    labels = [(case.label, str(case.container)) for case in CORPUS]
    assert len(set(labels)) == len(labels) >= 150
    reasons = {case.expect["reason"] for case in CORPUS}
    rule = {str(reason) for reason in Reason if reason.name.startswith("COMMAND_")}
    assert rule <= reasons


def test_every_option_stands_in_the_corpus_in_both_forms() -> None:
    """Each option of `dask worker` occurs as `--x v` and as `--x=v`, or as a flag in each of its names."""
    words = [word for case in CORPUS for word in case.container.get("args", ()) if isinstance(word, str)]
    for option in DASK_OPTIONS:
        for name in option.names:
            assert name in words, name
            assert option.flag or any(word.startswith(f"{name}=") for word in words), name


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.label)
def test_decision(case: Case) -> None:
    """The decision is the one that is written down, and each warning is one line of at most 120 characters."""
    decision = decided(case.container, case.policy)
    found: dict[str, Any] = {"outcome": str(decision.outcome), "reason": str(decision.reason)}
    found |= {operation.path.rpartition("/")[2]: operation.value for operation in decision.operations}
    if decision.warnings:
        found["warnings"] = list(decision.warnings)
    assert found == case.expect
    assert all(len(line) <= LONGEST_WARNING and line.isprintable() for line in decision.warnings)
    assert bool(decision.operations) == (decision.outcome is Outcome.APPLIED)
    assert decision.warnings or decision.outcome is not Outcome.REFUSED


@pytest.mark.parametrize("case", APPLIED, ids=lambda case: case.label)
def test_converting_again_changes_nothing(case: Case) -> None:
    """What the rule has converted it keeps, and `command` is only there where it was."""
    once = converted(case.container, decided(case.container, case.policy))
    again = decided(once, case.policy)
    assert (again.outcome, again.operations) == (Outcome.KEPT, ())
    assert again.reason is Reason.COMMAND_CUDA_ALREADY
    assert once.keys() == {"name", *case.container}


@pytest.mark.cli
@pytest.mark.parametrize("case", APPLIED, ids=lambda case: case.label)
def test_real_command_lines_agree(case: Case, clis: dict[tuple[int, int], Cli]) -> None:
    """dask-cuda parses the result, with the values that distributed reads from the original; the rest was told."""
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
