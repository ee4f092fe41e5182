"""A Report for a terminal."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from webhook.status.model import Cluster, Finding, Installation, Namespace, Report, Spread, State

_COLOURS = {State.MISSED.value: "red", State.MUTATED.value: "green"}


def write(console: Console, report: Report) -> None:
    """Print the report; commands are longer than lines where they have to be."""
    console.print(show(report), crop=False)


def show(report: Report, *, cut: bool = False) -> Group:
    """The whole report.

    Args:
        report: What is shown.
        cut: Whether what is beyond the screen's last line is not seen: then what matters is above. Else it is below,
            where a screen that scrolls ends.
    """
    tables = (
        *_section("Webhook", _installation(report.installation)),
        *_section("Namespaces", _namespaces(report.namespaces)),
        *_section("Clusters", _clusters(report.clusters)),
    )
    if cut:
        return Group(_verdict(report), Text(""), *_findings(report), *tables)
    return Group(*tables, *_findings(report), _verdict(report))


def verdict(report: Report) -> str:
    """The one sentence that matters."""
    care, unread = len(report.care), len(report.unread)
    if care:
        return f"{care} {'thing needs' if care == 1 else 'things need'} care"
    return f"in order as far as could be read; {unread} could not" if unread else "all in order"


def spread(found: Spread) -> str:
    """Places used, and the fewest: `2/2`; `3/2+` where only a bound is known."""
    if not found.used:
        return "-"
    if found.fewest is None:
        return str(len(found.used))
    return f"{len(found.used)}/{found.fewest}{'' if found.exact else '+'}"


def states(cluster: Cluster) -> tuple[tuple[str, int], ...]:
    """How many workers are in each state, those that occur; then how many of them wait for a node."""
    counted = ((state.value, cluster.count(state)) for state in State)
    return tuple((word, count) for word, count in (*counted, ("waiting", cluster.waiting)) if count)


def installation_lines(one: Installation) -> Iterator[tuple[str, str]]:
    """What is known of the webhook itself: name and value."""
    yield "configuration", ", ".join(one.configurations) or "-"
    if one.since:
        yield "since", one.since
    if one.service:
        yield "service", one.service
    if one.desired is not None:
        yield "replicas", f"{one.ready} of {one.desired} ready"
    if one.endpoints is not None:
        yield "endpoints", str(one.endpoints)
    if one.expires:
        yield "certificate", f"until {one.expires}"


def _section(title: str, body: RenderableType) -> tuple[RenderableType, RenderableType]:
    return Text(title, style="bold"), Padding(body, (0, 0, 1, 2), expand=False)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in {"workers", "GPUs"} else "left")
    return table


def _installation(one: Installation) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in installation_lines(one):
        table.add_row(Text(name, style="dim"), Text(value))
    return table


def _namespaces(namespaces: Sequence[Namespace]) -> RenderableType:
    if not namespaces:
        return Text("none is served: kubectl annotate namespace NAMESPACE colocate.dask.org/enabled=true")
    table = _table("namespace", "served", "policy")
    for one in namespaces:
        table.add_row(Text(one.name), Text("yes" if one.enabled else "no"), Text(policy(one)))
    return table


def policy(one: Namespace) -> str:
    """What differs from the installation's policy in a namespace that is served."""
    differing = [f"{key}={one.policy[key]}" for key in one.changed if key != "enabled"]
    return ", ".join(differing) or "as installed" if one.enabled else "-"


def _clusters(clusters: Sequence[Cluster]) -> RenderableType:
    if not clusters:
        return Text("no Dask cluster")
    table = _table("cluster", "workers", "GPUs", "nodes/fewest", "racks/fewest", "state")
    for one in clusters:
        state = Text(", ").join(Text(f"{count} {state}", style=_COLOURS.get(state, "")) for state, count in states(one))
        counts = (str(len(one.workers)), str(one.gpus), spread(one.nodes), spread(one.racks))
        table.add_row(Text(one.title), *counts, state)
    return table


def _findings(report: Report) -> Iterator[RenderableType]:
    if report.findings or report.unread:
        yield Text("To see to" if report.care else "To know", style="bold")
    for finding in report.findings:
        yield from _finding(finding)
    for one in report.unread:
        where = " ".join(filter(None, (one.resource, one.where)))
        yield from _lines(Text("? ", style="yellow"), f"{where}: {one.why}", one.next)
    if report.findings or report.unread:
        yield Text("")


def _finding(finding: Finding) -> Iterator[RenderableType]:
    mark = Text("! ", style="bold red") if finding.care else Text("- ", style="dim")
    yield from _lines(mark, f"{finding.where}: {finding.text}", finding.mend, finding.details)


def _lines(mark: Text, line: str, command: str, details: Sequence[str] = ()) -> Iterator[RenderableType]:
    yield Padding(mark + Text(line), (0, 0, 0, 2), expand=False)
    yield from (Padding(Text(each), (0, 0, 0, 4), expand=False) for each in details)
    if command:
        # Not wrapped: a command is there to be copied.
        yield Text(f"    {command}", style="cyan", no_wrap=True, overflow="ignore")


def _verdict(report: Report) -> Text:
    colour = {0: "bold green", 1: "bold red", 2: "bold yellow"}[report.exit_status]
    return Text(f"{verdict(report)}  ", style=colour) + Text(report.at, style="not bold dim")
