"""Figures of the placement records as text for the documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tests.bench.figures import Figure
from tests.bench.loads import BY_NAME
from webhook.workloads.unstructured import Unstructured


def table(record: Mapping[str, Unstructured]) -> str:
    """Return a row for each load and a column for each strategy: nodes over the minimum, then racks."""
    figures = _figures(record)
    strategies = list(dict.fromkeys(figure.strategy for figure in figures))
    titles = [record["strategies"][name]["title"] for name in strategies]
    head = f"| load | {' | '.join(titles)} |\n|---|{'---|' * len(strategies)}\n"
    return head + "".join(_row(load, strategies, figures) for load in dict.fromkeys(figure.load for figure in figures))


def _row(load: str, strategies: Sequence[str], figures: Sequence[Figure]) -> str:
    cells = {figure.strategy: _cell(figure) for figure in figures if figure.load == load}
    return f"| {BY_NAME[load].title} | {' | '.join(cells.get(name, '') for name in strategies)} |\n"


def _cell(figure: Figure) -> str:
    return f"{figure.nodes_over_minimum:.2f} ({figure.least:.2f}-{figure.most:.2f}), {figure.racks_over_minimum:.2f}"


def summary(record: Mapping[str, Unstructured]) -> str:
    """Return the paragraph that compares the guide's affinity with the webhook's rules over all loads."""
    guide, default, hints = (nodes_range(record, name) for name in ("guide", "default", "hints"))
    return (
        "The guide's selector matches every Dask worker of the namespace, so clusters attract each other: on a real\n"
        f"kube-scheduler their workers run on {guide} times the minimum number of nodes. dask-colocate also selects\n"
        f"by cluster name and takes the Dask scheduler into account: {default} times, with capacity hints {hints}\n"
        "times.\n"
    )


def guide_scenario(record: Mapping[str, Unstructured]) -> str:
    """Return the sentence about the guide's own cluster on three nodes of two GPUs."""
    ours, guides, hints = (_on_minimum(record, name) for name in ("default", "guide", "hints"))
    return (
        "Two workers run on one node and four workers on two nodes, the Dask scheduler with its GPU on another one:\n"
        f"in {ours} placements on a real kube-scheduler, with capacity hints in {hints}, with the guide's own\n"
        f"affinity in {guides}.\n"
    )


def _on_minimum(record: Mapping[str, Unstructured], strategy: str) -> str:
    (figure,) = (figure for figure in _figures(record) if (figure.load, figure.strategy) == ("guide", strategy))
    return f"{round(figure.on_minimum * figure.clusters)} of {figure.clusters}"


def nodes_range(record: Mapping[str, Unstructured], strategy: str, loads: Sequence[str] = ()) -> str:
    """Return the lowest and the highest mean of a strategy, over some loads or over all."""
    means = [
        figure.nodes_over_minimum
        for figure in _figures(record)
        if figure.strategy == strategy and (not loads or figure.load in loads)
    ]
    return f"{min(means):.2f}-{max(means):.2f}"


def constants(record: Mapping[str, Unstructured]) -> Iterator[tuple[str, str]]:
    """Yield the names and values of the figures that `review --explain` prints."""
    loads = ("steady-80", "bursts")
    yield "GUIDE_TERM_NODES", nodes_range(record, "guide", loads)
    yield "OWN_CLUSTER_NODES", nodes_range(record, "default", loads)


def _figures(record: Mapping[str, Unstructured]) -> list[Figure]:
    return [Figure(**figure) for figure in record["figures"]]
