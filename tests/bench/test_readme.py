from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from tests.bench.costs import WHOLE
from tests.bench.figures import Figure
from tests.bench.loads import LOADS
from tests.bench.placement_text import constants
from tests.bench.readme import BLOCKS, RECOMMENDATIONS, recorded, with_block, with_constants
from tests.bench.strategies import STRATEGIES

# The last record of this benchmark before the clusters had a Dask scheduler, with the distance between its seeds.
WITHOUT_SCHEDULER = {
    ("plain", "default"): (1.036, 0.066),
    ("plain", "hints"): (1.0, 0.0),
    ("plain-bursts", "default"): (1.162, 0.09),
    ("plain-bursts", "hints"): (1.0, 0.0),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_documents_show_the_last_record(name: str) -> None:
    """Each block of figures equals what its record gives, to the digit."""
    block = BLOCKS[name]
    text = block.document.read_text()
    assert f"<!-- {name} -->" in text
    assert with_block(text, name, recorded(block.record)) == text


def test_recommendations_show_the_last_record() -> None:
    """The figures that `review --explain` prints are those of the record."""
    source, record = RECOMMENDATIONS.read_text(), recorded("placement")
    assert with_constants(source, record) == source
    assert all(f'{name} = "{value}"' in source for name, value in constants(record))


def placements() -> dict[tuple[str, str], Figure]:
    """Return the recorded figures by load and strategy."""
    found = [Figure(**figure) for figure in recorded("placement")["figures"]]
    return {(figure.load, figure.strategy): figure for figure in found}


def test_placement_is_recorded_for_all_that_is_measured() -> None:
    """Each load and strategy has a recorded run."""
    assert placements().keys() == {(load.name, strategy.name) for load in LOADS for strategy in STRATEGIES}


@pytest.mark.parametrize(
    ("load", "default", "hints"),
    [
        ("steady-80", 1.09, 1.04),
        ("small-nodes", 1.09, 1.04),
        ("steady-95", 1.15, 1.04),
        ("bursts", 1.18, 1.04),
    ],
)
def test_placement_is_as_good_as_it_must_be(load: str, default: float, hints: float) -> None:
    """With a scheduler GPU in every cluster, nodes and racks over the minimum are within their bounds."""
    found = placements()
    assert found[load, "default"].nodes_over_minimum <= default
    assert found[load, "default"].racks_over_minimum <= 1.10
    assert found[load, "hints"].nodes_over_minimum <= hints
    assert found[load, "hints"].racks_over_minimum <= 1.04


def test_guides_cluster_runs_on_the_minimum() -> None:
    """On the guide's nodes, 2 workers use 1 node and 4 workers 2 nodes in at least 19 of 20 placements."""
    found = placements()
    assert found["guide", "default"].on_minimum >= 0.95
    assert found["guide", "hints"].on_minimum >= 0.95


@pytest.mark.parametrize(("load", "strategy"), WITHOUT_SCHEDULER)
def test_schedulers_without_a_gpu_change_nothing(load: str, strategy: str) -> None:
    """A Dask scheduler that holds no GPU costs no more nodes than none at all, beyond the distance between seeds."""
    before, spread = WITHOUT_SCHEDULER[load, strategy]
    figure = placements()[load, strategy]
    assert figure.nodes_over_minimum <= before + max(spread, figure.most - figure.least)


def test_hints_place_alike_on_dra_nodes() -> None:
    """With hints, GPUs in ResourceSlices are as good as GPUs of a device plugin, within 0.02."""
    found = placements()
    difference = found["dra", "hints"].nodes_over_minimum - found["steady-80", "hints"].nodes_over_minimum
    assert abs(difference) <= 0.02


def test_hints_never_hurt() -> None:
    """With hints no load uses more nodes than without, by more than the replays differ."""
    found = placements()
    for (load, strategy), figure in found.items():
        if strategy == "hints":
            without = found[load, "default"]
            spread = max(without.most - without.least, figure.most - figure.least)
            assert figure.nodes_over_minimum <= without.nodes_over_minimum + spread, json.dumps([load, spread])


def test_two_replicas_place_as_well_as_one() -> None:
    """Two webhook replicas plan the clusters of a burst on at most 1.05 times the minimum number of nodes."""
    record = recorded("placement-replicas")
    (figure,) = (Figure(**each) for each in record["figures"])
    assert (record["replicas"], figure.load, figure.strategy) == (2, "bursts", "hints")
    assert figure.nodes_over_minimum <= 1.05


def test_scheduler_pays_less_than_for_the_guides_affinity() -> None:
    """The default costs kube-scheduler less than the guide, and at most a tenth more than without scheduler terms."""
    record = recorded("scheduler-cost")
    costs = {cost["strategy"]: cost for cost in record["costs"]}
    assert record["size"] == asdict(WHOLE)
    for shape in ("", ", no CPU requests"):
        default, before = costs[f"default{shape}"], costs[f"keep{shape}"]
        assert default["scheduler_ms"] <= 1.10 * before["scheduler_ms"]
        assert default["scheduler_ms"] < costs["guide"]["scheduler_ms"]
