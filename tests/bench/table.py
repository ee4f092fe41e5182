"""Table of the figures for the terminal: a row for each strategy, a column for each load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from tests.bench.figures import Figure
from tests.bench.loads import BY_NAME

TITLE = """nodes over the minimum (least and most of all replays)
placements on the minimum, with a worker beside the own scheduler, racks over the minimum"""


def table(figures: Sequence[Figure], titles: Mapping[str, str]) -> Table:
    """Return the table.

    Args:
        figures: The figures.
        titles: Title of each strategy.
    """
    loads = list(dict.fromkeys(figure.load for figure in figures))
    strategies = list(dict.fromkeys(figure.strategy for figure in figures))
    cells = {(figure.strategy, figure.load): _cell(figure) for figure in figures}
    grid = Table(title=TITLE, show_lines=True)
    grid.add_column("workers get")
    for load in loads:
        grid.add_column(BY_NAME[load].title, justify="right")
    for strategy in strategies:
        grid.add_row(titles[strategy], *(cells.get((strategy, load), "") for load in loads))
    return grid


def _cell(figure: Figure) -> str:
    spread = f"({figure.least:.2f}-{figure.most:.2f})"
    shares = f"{figure.on_minimum:.0%}, {figure.beside_scheduler:.0%}, {figure.racks_over_minimum:.2f}"
    return f"[bold]{figure.nodes_over_minimum:.2f}[/] {spread}\n{shares}"
