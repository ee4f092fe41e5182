from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.costs import CASES, COLUMNS, RESULTS, WHOLE, folder
from tests.bench.loads import LOADS
from tests.bench.plans import RECORDS, Plan, parsed, planned


def plan(*arguments: str) -> Plan:
    """Return the plan of a command line."""
    return planned(parsed(arguments))


@pytest.mark.parametrize("name", RECORDS)
def test_record_name_alone_selects_its_plan(name: str) -> None:
    """`--record NAME` without further options gives the complete plan of that record."""
    assert plan("--record", name) == RECORDS[name]


@pytest.mark.parametrize(
    "part",
    [("--load", "bursts"), ("--strategy", "hints"), ("--seeds", "2"), ("--judged", "47"), ("--replicas", "2")],
    ids="-".join,
)
def test_partial_run_replaces_no_record(part: tuple[str, str]) -> None:
    """A run with fewer loads, strategies, seeds or placements, or with more replicas, is not the plan of a record."""
    assert plan(*part) != RECORDS["placement"]
    assert plan("--once") != RECORDS["placement"] != plan("--quick")


def test_each_seed_is_replayed_twice() -> None:
    """The record contains two replays of each seed of the default and of capacity hints, to show their difference."""
    whole = RECORDS["placement"]
    jobs = [(job.load.name, job.strategy.name, job.seed) for job in whole.jobs]
    for strategy in ("default", "hints"):
        assert all(jobs.count((load.name, strategy, seed)) == 2 for load in LOADS for seed in whole.seeds)


def test_cost_of_another_size_is_written_only_to_a_named_folder() -> None:
    """A run of another size never replaces the record of the scheduler's cost."""
    small, elsewhere = replace(WHOLE, pods=1600), Path("elsewhere")
    assert (folder(WHOLE, None), folder(small, None), folder(small, elsewhere)) == (RESULTS, None, elsewhere)


def test_cost_cases_have_distinct_titles_and_no_hints() -> None:
    """No row has hints, which pods without a worker group do not get, and all rows and columns have distinct titles."""
    assert not any(case.strategy.hinted for case in CASES)
    names = [case.title for case in CASES]
    assert len(set(names)) == len(names)
    assert len(set(COLUMNS)) == len(COLUMNS)
