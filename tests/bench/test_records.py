from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.placement import JUDGED, RESULTS, Plan, is_whole
from tests.bench.scheduler_cost import CASES, COLUMNS, WHOLE, folder
from tests.bench.strategies import STRATEGIES
from tests.bench.traces import TRACES

PLAN = Plan(traces=TRACES, strategies=STRATEGIES, seeds=range(1, 4), judged=JUDGED)


def test_everything_with_one_webhook_is_a_whole_run() -> None:
    """Every load and strategy, three seeds, all clusters judged, one replica."""
    assert is_whole(PLAN)


@pytest.mark.parametrize(
    "part",
    [
        replace(PLAN, traces=TRACES[1:]),
        replace(PLAN, strategies=STRATEGIES[1:]),
        replace(PLAN, seeds=range(1, 3)),
        replace(PLAN, judged=JUDGED - 1),
        replace(PLAN, replicas=2),
    ],
)
def test_anything_less_or_other_is_not_what_the_readme_shows(part: Plan) -> None:
    """A run that leaves something out, or has other replicas, is not kept beside the benchmark."""
    assert not is_whole(part)


def test_cost_of_another_size_is_kept_only_where_it_is_said() -> None:
    """A small run of the scheduler's cost never replaces the record of the whole one."""
    small, elsewhere = replace(WHOLE, pods=1600), Path("elsewhere")
    assert (folder(WHOLE, None), folder(small, None), folder(small, elsewhere)) == (RESULTS, None, elsewhere)


def test_cost_is_told_of_what_is_measured() -> None:
    """No row has hints, which pods without a worker group do not get, and no two rows or columns have one title."""
    assert not any(case.strategy.hinted for case in CASES)
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert len(set(COLUMNS)) == len(COLUMNS)
