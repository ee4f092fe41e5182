"""The figures as a table: a row for each strategy, a column for each load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from tests.bench.traces import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.figures import Figure


TITLE = """nodes used over the fewest possible (lowest and highest seed)
clusters on the fewest nodes, racks over fewest"""


def table(found: Sequence[Figure], titles: Mapping[str, str]) -> Table:
    """Nodes over fewest with the spread of the seeds, the share on the fewest, racks over fewest.

    Args:
        found: The figures.
        titles: What to call each strategy.
    """
    loads = list(dict.fromkeys(each.trace for each in found))
    strategies = list(dict.fromkeys(each.strategy for each in found))
    cells = {(each.strategy, each.trace): _cell(each) for each in found}
    drawn = Table(title=TITLE, show_lines=True)
    drawn.add_column("workers get")
    for load in loads:
        drawn.add_column(BY_NAME[load].title, justify="right")
    for strategy in strategies:
        drawn.add_row(titles[strategy], *(cells.get((strategy, load), "") for load in loads))
    return drawn


def _cell(figure: Figure) -> str:
    spread = f"({figure.least:.2f}-{figure.most:.2f})"
    below = f"{figure.on_fewest:.0%}, racks {figure.racks_over_fewest:.2f}"
    return f"[bold]{figure.nodes_over_fewest:.2f}[/] {spread}\n{below}"
