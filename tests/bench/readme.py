"""The README's table of placement, from the benchmark's last record: `python -m tests.bench.readme`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.figures import Figure
from tests.bench.traces import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.raw import Raw

README = Path(__file__).parents[2] / "README.md"
RECORD = Path(__file__).with_name("results") / "placement.json"
BEGIN, END = "<!-- placement -->\n", "<!-- /placement -->\n"


def table(record: Mapping[str, Raw]) -> str:
    """A row for each load, a column for each strategy: nodes over fewest, and racks over fewest behind it."""
    found = [Figure(**each) for each in record["figures"]]
    strategies = list(dict.fromkeys(each.strategy for each in found))
    titles = [record["strategies"][name]["title"] for name in strategies]
    head = f"| load | {' | '.join(titles)} |\n|---|{'---|' * len(strategies)}\n"
    return head + "".join(_row(load, strategies, found) for load in dict.fromkeys(each.trace for each in found))


def _row(load: str, strategies: Sequence[str], found: Sequence[Figure]) -> str:
    cells = {each.strategy: _cell(each) for each in found if each.trace == load}
    return f"| {BY_NAME[load].title} | {' | '.join(cells[name] for name in strategies)} |\n"


def _cell(figure: Figure) -> str:
    return f"{figure.nodes_over_fewest:.2f} ({figure.least:.2f}-{figure.most:.2f}), {figure.racks_over_fewest:.2f}"


def with_table(readme: str, record: Mapping[str, Raw]) -> str:
    """The README with its table made anew."""
    before, _, rest = readme.partition(BEGIN)
    return f"{before}{BEGIN}\n{table(record)}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Write the table into the README."""
    README.write_text(with_table(README.read_text(), json.loads(RECORD.read_text())))


if __name__ == "__main__":
    main()
