"""The figures as tables, ratios first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from tests.bench.load.contenders import GO, NOOP

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.bench.load.core import Alone
    from tests.bench.load.direct import Figure


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """The first column is a name, the others are numbers."""
    drawn = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        drawn.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        drawn.add_row(*map(str, row))
    return drawn


def alone(title: str, found: Sequence[Alone]) -> Table:
    """(a), and what grows."""
    rows = [(each.kind, each.size, each.core, each.counted) for each in found]
    return table(title, ("review", "bytes", "core us", "with namespace and metrics us"), rows)


def straight(found: Sequence[Figure]) -> Table:
    """(b)."""
    rows = [
        (
            each.load.title,
            each.server,
            each.over.get(NOOP, ""),
            each.over.get(GO, ""),
            each.rate,
            each.p50,
            each.p99,
            each.cpu,
            each.failed,
        )
        for each in found
    ]
    columns = ("connections, body", "server", "over no-op", "over Go", "requests/s", "p50 ms", "p99 ms", "CPU ms each")
    return table("(b) HTTPS direct, median (least-most)", (*columns, "failed"), rows)
