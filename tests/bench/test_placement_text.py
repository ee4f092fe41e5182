from __future__ import annotations

from dataclasses import asdict

from tests.bench.figures import Figure, Judged, Run, figures
from tests.bench.placement_text import constants, guide_scenario, summary, table
from tests.bench.plans import RECORDS
from tests.bench.readme import with_block, with_constants

TWO_NODES = Judged(workers=4, nodes=2, minimum_nodes=2, racks=1, minimum_racks=1)
THREE_NODES = Judged(workers=4, nodes=3, minimum_nodes=2, racks=2, minimum_racks=1, beside_scheduler=1)


def run(load: str, strategy: str, repeat: int, *judged: Judged) -> Run:
    """Return a replay of the first seed."""
    return Run(load=load, strategy=strategy, seed=1, repeat=repeat, judged=judged, nodes=())


RUNS = [
    run("guide", "guide", 0, THREE_NODES, TWO_NODES),
    run("guide", "default", 0, TWO_NODES, TWO_NODES),
    run("guide", "default", 1, THREE_NODES, TWO_NODES),
    run("guide", "hints", 0, TWO_NODES, TWO_NODES),
    run("steady-80", "guide", 0, THREE_NODES),
    run("steady-80", "default", 0, TWO_NODES),
    run("bursts", "guide", 0, THREE_NODES),
    run("bursts", "default", 0, THREE_NODES),
]
RECORD = {
    "strategies": {strategy.name: {"title": strategy.title} for strategy in RECORDS["placement"].strategies},
    "figures": [asdict(figure) for figure in figures(RUNS)],
}


def test_figure_has_the_mean_and_the_spread_of_replays() -> None:
    """A figure has mean, minimum and maximum of all replays, also of one seed, and the shares of all placements."""
    (figure,) = (figure for figure in figures(RUNS) if (figure.load, figure.strategy) == ("guide", "default"))
    expected = Figure(
        load="guide",
        strategy="default",
        clusters=4,
        nodes_over_minimum=1.125,
        least=1.0,
        most=1.25,
        on_minimum=0.75,
        racks_over_minimum=1.25,
        beside_scheduler=0.25,
    )
    assert figure == expected


def test_table_has_a_row_for_each_load() -> None:
    """A cell shows nodes, their spread and racks, and is empty without a replay."""
    head, _, *rows = table(RECORD).splitlines()
    assert head == "| load | the guide's affinity | dask-colocate's default | with capacity hints |"
    assert rows[0].startswith("| the guide's 3 nodes | 1.25 (1.25-1.25), 1.50 | 1.12 (1.00-1.25), 1.25 |")
    assert rows[1].endswith("| 1.00 (1.00-1.00), 1.00 |  |")


def test_sentences_contain_the_figures() -> None:
    """Ranges include all loads, and the sentence about the guide's scenario counts placements."""
    assert "on 1.25-1.50 times the minimum" in summary(RECORD)
    assert "into account: 1.00-1.50 times" in summary(RECORD)
    assert "in 3 of 4 placements" in guide_scenario(RECORD)
    assert "affinity in 1 of 2." in guide_scenario(RECORD)


def test_block_is_replaced_between_its_comments() -> None:
    """Rendering a block keeps the text around it, and rendering again changes nothing."""
    text = "before\n<!-- placement-guide -->\nold\n<!-- /placement-guide -->\nafter\n"
    written = with_block(text, "placement-guide", RECORD)
    assert written.startswith("before\n<!-- placement-guide -->\n\nTwo workers run on one node")
    assert written.endswith(".\n\n<!-- /placement-guide -->\nafter\n")
    assert with_block(written, "placement-guide", RECORD) == written


def test_constants_are_replaced_in_place() -> None:
    """Only the values of the constants change, to ranges over the loads `steady-80` and `bursts`."""
    assert dict(constants(RECORD)) == {"GUIDE_TERM_NODES": "1.50-1.50", "OWN_CLUSTER_NODES": "1.00-1.50"}
    source = '# why\nGUIDE_TERM_NODES = "2.3-4.6"\nOTHER = "x"\n'
    assert with_constants(source, RECORD) == '# why\nGUIDE_TERM_NODES = "1.50-1.50"\nOTHER = "x"\n'
