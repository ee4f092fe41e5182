"""The figures as tables, ratios first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from tests.bench.load.contenders import GO, NOOP
from tests.bench.load.installed import POLICY
from tests.bench.load.spread import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.bench.load import through
    from tests.bench.load.burst import Burst, Quiet
    from tests.bench.load.churn import Churn
    from tests.bench.load.core import Alone
    from tests.bench.load.direct import Figure
    from tests.bench.load.spread import Spread


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
            *middles(each.p99, each.cpu),
            each.failed,
        )
        for each in found
    ]
    columns = ("connections, body", "server", "over no-op", "over Go", "requests/s", "p50 ms", "p99 ms", "CPU ms each")
    return table("(b) HTTPS direct, median (least-most)", (*columns, "failed"), rows)


def middles(*found: Spread) -> list[str]:
    """The medians alone: the file has the ends."""
    return [short(each.median) for each in found]


def through_api_server(found: Sequence[through.Figure]) -> Table:
    """(c)."""
    rows = [
        (
            f"{each.clients}: {each.name}",
            each.over.get(POLICY, ""),
            each.over.get(GO, ""),
            each.cpu_over_go or "",
            each.added,
            each.p50,
            *middles(each.p99, each.rate, each.cpu, each.server_cpu),
            each.resident or "",
            each.failed,
        )
        for each in found
    ]
    ratios = ("over policy", "over Go", "CPU over Go")
    columns = (
        "clients",
        *ratios,
        "added ms",
        "p50 ms",
        "p99 ms",
        "calls/s",
        "CPU ms",
        "server CPU ms",
        "MiB",
        "failed",
    )
    return table("(c) through the API server, POST pods?dryRun=All, median (least-most)", columns, rows)


def bursts(found: Iterable[Burst]) -> Table:
    """(d)."""
    rows = [
        (
            each.what,
            f"{each.pods} of {each.wanted}",
            each.seconds,
            each.calls,
            each.missed,
            each.failed_open,
            f"{each.p50:g}",
            f"{each.p99:g}",
            f"{each.seen_p99:g}",
            f"{short(each.api.p50)}, {short(each.api.p99)}" if each.api else "",
            each.cpu,
        )
        for each in found
    ]
    own = ("p50 <=", "p99 <=", "seen p99 <=", "call p50, p99", "CPU s")
    title = "(d) bursts: webhook's own durations, the API server's of calls to it, clients' of calls to that; ms"
    return table(title, ("", "pods", "s", "reviews", "not mutated", "failed open", *own), rows)


def churned(each: Churn) -> Table:
    """(e)."""
    memory = {"MiB at rest": each.at_rest}
    memory |= {f"quarter {number}": quarter.resident for number, quarter in enumerate(each.quarters, 1)}
    slowest = short(max(quarter.reviews.p99 for quarter in each.quarters))
    missed = sum(quarter.missed for quarter in each.quarters)
    row = (each.namespaces, each.ready, *memory.values(), slowest, missed, each.listed_anew, each.effect)
    rest = ("review p99 ms", "not mutated", "listed anew", "annotation to effect ms")
    title = f"(e) many namespaces, an hour in {each.hour.seconds:g} s, {each.hour.reviews:,} reviews"
    return table(title, ("namespaces", "start to ready s", *memory, *rest), [row])


def quiet(each: Quiet) -> Table:
    """(f)."""
    columns = ("other pods created", "metadata updates of a DaskCluster", "reviews that arrived")
    return table("(f) what does not concern us", columns, [(each.pods, each.metadata_updates, each.calls)])
