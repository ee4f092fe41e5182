from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from tests.bench.figures import Figure
from tests.bench.readme import README, TABLES, recorded, with_table
from tests.bench.scheduler_cost import WHOLE
from tests.bench.strategies import STRATEGIES
from tests.bench.traces import TRACES
from webhook.review.recommendations import GUIDE_TERM_NODES, OWN_CLUSTER_NODES


@pytest.mark.parametrize("name", TABLES)
def test_documents_show_the_last_record(name: str) -> None:
    """Each table of figures is the one that the recorded run gives, to the digit."""
    text = TABLES[name].document.read_text()
    assert f"<!-- {name} -->" in text
    assert with_table(text, name, recorded(name)) == text


def placements() -> dict[tuple[str, str], Figure]:
    """The recorded figures by load and strategy."""
    found = [Figure(**each) for each in recorded("placement")["figures"]]
    return {(each.trace, each.strategy): each for each in found}


def test_placement_is_recorded_for_all_that_is_measured() -> None:
    """No load and no strategy is added without a run that shows it."""
    assert placements().keys() == {(trace.name, strategy.name) for trace in TRACES for strategy in STRATEGIES}


def test_what_is_said_of_placement_is_what_was_measured() -> None:
    """The README's first figures, and those that `review --explain` tells, are the record's."""
    found = placements()
    guide, ours = (
        [each.nodes_over_fewest for (_, strategy), each in found.items() if strategy == name]
        for name in ("guide", "default")
    )
    said = f"{min(guide):.1f} to {max(guide):.1f} times the fewest nodes."
    assert f"{said} Here it also names the cluster: {min(ours):.2f} to {max(ours):.2f} times." in README.read_text()
    loads = ("steady-80", "bursts")
    for words, name in ((GUIDE_TERM_NODES, "guide"), (OWN_CLUSTER_NODES, "default")):
        assert words == "-".join(f"{found[load, name].nodes_over_fewest:.1f}" for load in loads)


@pytest.mark.parametrize(
    ("load", "strategy", "nodes", "racks"),
    [
        ("steady-80", "default", 1.05, 1.05),
        ("steady-95", "default", 1.14, None),
        ("bursts", "default", 1.28, None),
        ("small-nodes", "default", 1.08, None),
        ("steady-80", "hints", 1.03, None),
        ("steady-95", "hints", 1.06, None),
        ("bursts", "hints", 1.06, None),
        ("small-nodes", "hints", 1.05, None),
    ],
)
def test_placement_is_as_good_as_it_must_be(load: str, strategy: str, nodes: float, racks: float | None) -> None:
    """Nodes, and racks, over the fewest possible: the mean of the recorded seeds is within the bound."""
    found = placements()[load, strategy]
    assert found.nodes_over_fewest <= nodes
    assert racks is None or found.racks_over_fewest <= racks


def test_hints_never_hurt() -> None:
    """With hints no load needs more nodes than without, by more than the seeds differ."""
    found = placements()
    for (load, strategy), each in found.items():
        if strategy == "hints":
            without = found[load, "default"]
            spread = max(without.most - without.least, each.most - each.least)
            assert each.nodes_over_fewest <= without.nodes_over_fewest + spread, json.dumps([load, spread])


def test_scheduler_pays_less_than_for_the_guides_affinity() -> None:
    """What the default adds to the scheduler's work is recorded at the whole size, and is well below the guide's."""
    record = recorded("scheduler-cost")
    costs = {each["strategy"]: each for each in record["costs"]}
    assert record["size"] == asdict(WHOLE)
    assert costs["host"]["scheduler_of_the_guide"] <= costs["default"]["scheduler_of_the_guide"] <= 0.85
    assert costs["default, no CPU requests"]["scheduler_of_the_guide"] <= 1
