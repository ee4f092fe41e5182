"""Pictures of the figures: nodes over the minimum for each load, and the GPUs of a pool coloured by cluster."""

from __future__ import annotations

from itertools import cycle
from textwrap import fill
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("svg")  # no display, and text stays text

from matplotlib import colormaps
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from tests.bench.loads import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from tests.bench.figures import Figure
    from tests.bench.replay import Run

# Palette of Okabe and Ito, for readers with colour blindness.
COLOURS = ("#b0b0b0", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#d55e00")
FREE = "#f2f2f2"


def bars(figures: Sequence[Figure], titles: Mapping[str, str], file: Path) -> None:
    """Draw nodes over the minimum: a group for each load, a bar for each strategy, a range of all replays."""
    canvas = Canvas(figsize=(13, 4.4), layout="constrained")
    axes = canvas.subplots()
    loads = list(dict.fromkeys(figure.load for figure in figures))
    strategies = list(dict.fromkeys(figure.strategy for figure in figures))
    width = 0.8 / len(strategies)
    for number, (strategy, colour) in enumerate(zip(strategies, cycle(COLOURS), strict=False)):
        shown = [figure for figure in figures if figure.strategy == strategy]
        places = [loads.index(figure.load) + (number - (len(strategies) - 1) / 2) * width for figure in shown]
        _bar(axes, shown, places, (width, colour, titles[strategy]))
    axes.axhline(1, color="black", lw=0.8)
    axes.set_xticks(range(len(loads)), [fill(BY_NAME[load].title, 12) for load in loads])
    axes.set_ylabel("nodes / minimum number of nodes")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=len(strategies), loc="upper center", bbox_to_anchor=(0.5, 1.12))
    _save(canvas, file)


def _bar(axes: Axes, figures: Sequence[Figure], places: Sequence[float], style: tuple[float, str, str]) -> None:
    width, colour, title = style
    means = [figure.nodes_over_minimum for figure in figures]
    spread = [
        [figure.nodes_over_minimum - figure.least for figure in figures],
        [figure.most - figure.nodes_over_minimum for figure in figures],
    ]
    axes.bar(places, means, width, yerr=spread, color=colour, label=title, error_kw={"lw": 0.8})
    for place, value in zip(places, means, strict=True):
        style = {"textcoords": "offset points", "ha": "center", "fontsize": 7, "rotation": 90}
        axes.annotate(f"{value:.2f}", (place, 0), (0, 3), **style)


def maps(runs: Sequence[Run], titles: Mapping[str, str], file: Path) -> None:
    """Draw the GPUs at the end of each run side by side: a row for each node, a gap between racks."""
    canvas = Canvas(figsize=(3.6 * len(runs), 4.4), layout="constrained")
    panels = canvas.subplots(1, len(runs), squeeze=False)[0]
    for axes, run in zip(panels, runs, strict=True):
        _map(axes, run)
        axes.set_title(titles[run.strategy], fontsize=10)
    load = BY_NAME[runs[0].load]
    canvas.suptitle(
        f"The same clusters, {load.title}: a row is a node, a square a GPU, a colour a cluster", fontsize=11
    )
    _save(canvas, file)


def _map(axes: Axes, run: Run) -> None:
    rack = len(run.nodes) // BY_NAME[run.load].pool.racks
    names = sorted({cluster for node in run.nodes for cluster in node if cluster})
    colours = {name: colormaps["tab20"](number % 20) for number, name in enumerate(names)}
    for row, node in enumerate(run.nodes):
        for column, cluster in enumerate(sorted(node, key=lambda name: (name is None, name or ""))):
            place = (column, -row - 0.6 * (row // rack))
            axes.add_patch(Rectangle(place, 0.92, 0.92, color=colours[cluster] if cluster else FREE))
    axes.set_xlim(-0.1, len(run.nodes[0]))
    axes.set_ylim(-len(run.nodes) - 1.2, 1.1)
    axes.set_aspect("equal")
    axes.set_axis_off()
    spread = sum(len({cluster for cluster in node if cluster}) for node in run.nodes)
    share = f"{len(names)} clusters, each on {spread / len(names):.1f} nodes in the mean"
    axes.text(0, -len(run.nodes) - 1.6, share, fontsize=9, va="top")


def _save(canvas: Canvas, file: Path) -> None:
    """Save without the date and with fixed ids, so that the same figures give the same file."""
    mpl.rcParams["svg.hashsalt"] = file.name
    canvas.savefig(file, metadata={"Date": None})
