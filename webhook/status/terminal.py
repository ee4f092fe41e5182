"""Terminal output of a Report."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from webhook.status.model import ClusterReport, DomainUsage, Finding, NamespaceReport, Report, WorkerState

NOT_READABLE = "not readable"
CLUSTERS = "daskclusters.kubernetes.dask.org"
_COLOURS = {WorkerState.NOT_MUTATED.value: "red", WorkerState.MUTATED.value: "green"}


def print_report(console: Console, report: Report) -> None:
    """Print the report; commands can be longer than a line."""
    console.print(render(report), crop=False)


def render(report: Report, *, findings_first: bool = False) -> Group:
    """Return the report as a renderable.

    Args:
        report: The report.
        findings_first: Whether the screen shows only the first lines; then the findings come first, else last.
    """
    tables = (
        *_section("Webhook", _installation(report)),
        *_section("Namespaces", _namespaces(report)),
        *_section("Clusters", _clusters(report)),
    )
    if findings_first:
        return Group(_result(report), Text(""), *_findings(report), *tables)
    return Group(*tables, *_findings(report), _result(report))


def summary(report: Report) -> str:
    """Return the result in one line."""
    issues, unreadable = len(report.issues), len(report.unreadable)
    result = f"{issues or 'no'} issue{'' if issues == 1 else 's'} found"
    resources = f"{unreadable} resource{'' if unreadable == 1 else 's'}"
    return f"{result}; {resources} {NOT_READABLE}" if unreadable else result


def usage(report: Report, domains: DomainUsage) -> str:
    """Return the number of domains used and the minimum possible: `3 (2)`; `3 (2+)` if that is a lower bound."""
    if not domains.used:
        return absent(report, "-", "nodes", "pods")
    minimum = "?" if domains.minimum is None else domains.minimum
    return f"{len(domains.used)} ({minimum}{'' if domains.exact else '+'})"


def states(cluster: ClusterReport) -> tuple[tuple[str, int], ...]:
    """Return the number of workers in each state that occurs, and the number of pending workers."""
    counts = ((state.value, cluster.count(state)) for state in WorkerState)
    return tuple((state, count) for state, count in (*counts, ("pending", cluster.pending)) if count)


def policy(namespace: NamespaceReport) -> str:
    """Return the values that differ from the policy defaults, if the namespace is enabled."""
    overrides = [f"{key}={namespace.policy[key]}" for key in namespace.overrides if key != "enabled"]
    return ", ".join(overrides) or "defaults" if namespace.enabled else "-"


def absent(report: Report, otherwise: str, *resources: str) -> str:
    """Return `otherwise` if all these resources are readable, else "not readable"."""
    return otherwise if report.readable(*resources) else NOT_READABLE


def _section(title: str, body: RenderableType) -> tuple[RenderableType, RenderableType]:
    return Text(title, style="bold"), Padding(body, (0, 0, 1, 2), expand=False)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in {"workers", "GPUs"} else "left")
    return table


def _installation(report: Report) -> Table:
    status = report.installation
    configurations = ", ".join(status.configurations)
    replicas = f"{status.ready} of {status.desired} ready" if status.desired is not None else ""
    endpoints = str(status.endpoints) if status.endpoints is not None else ""
    rows = [("configuration", configurations or absent(report, "none", "mutatingwebhookconfigurations"))]
    if status.configurations:
        rows += [
            ("created", status.created or ""),
            ("service", status.service or ""),
            ("replicas", replicas or absent(report, "", "deployments")),
            ("endpoints", endpoints or absent(report, "", "endpointslices")),
            ("certificate", f"expires {status.expires}" if status.expires else absent(report, "", "secrets")),
        ]
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        if value:
            table.add_row(Text(name, style="dim"), Text(value))
    return table


def _namespaces(report: Report) -> RenderableType:
    if not report.namespaces:
        none = "none is enabled; enable one with: dask-colocate enable NAMESPACE"
        return Text(absent(report, none, "namespaces"))
    table = _table("namespace", "enabled", "policy")
    for namespace in report.namespaces:
        table.add_row(Text(namespace.name), Text("yes" if namespace.enabled else "no"), Text(policy(namespace)))
    return table


def _clusters(report: Report) -> RenderableType:
    if not report.clusters:
        return Text(absent(report, "no Dask clusters", CLUSTERS))
    table = _table("cluster", "workers", "GPUs", "nodes (min)", "racks (min)", "state")
    for cluster in report.clusters:
        texts = (Text(f"{count} {state}", style=_COLOURS.get(state, "")) for state, count in states(cluster))
        workers = str(len(cluster.workers) or absent(report, "0", "pods"))
        gpus = str(cluster.gpus) if cluster.workers else "-"
        domains = (usage(report, cluster.nodes), usage(report, cluster.racks))
        table.add_row(Text(cluster.title), workers, gpus, *domains, Text(", ").join(texts))
    return table


def _findings(report: Report) -> Iterator[RenderableType]:
    if report.findings or report.unreadable:
        yield Text("Action required" if report.issues else "Notices", style="bold")
    for finding in report.findings:
        yield from _finding(finding)
    for unreadable in report.unreadable:
        title = " ".join(filter(None, (unreadable.resource, unreadable.scope)))
        yield from _lines(Text("? ", style="yellow"), f"{title}: {NOT_READABLE}: {unreadable.reason}")
        yield _command(unreadable.command)
    if report.findings or report.unreadable:
        yield Text("")


def _finding(finding: Finding) -> Iterator[RenderableType]:
    mark = Text("! ", style="bold red") if finding.action_required else Text("- ", style="dim")
    yield from _lines(mark, f"{finding.object}: {finding.message}", finding.details)
    if finding.warning:
        yield Padding(Text(f"Warning: {finding.warning}", style="yellow"), (0, 0, 0, 4), expand=False)
    if finding.fix:
        yield _command(finding.fix)


def _lines(mark: Text, line: str, details: Sequence[str] = ()) -> Iterator[RenderableType]:
    yield Padding(mark + Text(line), (0, 0, 0, 2), expand=False)
    yield from (Padding(Text(detail), (0, 0, 0, 4), expand=False) for detail in details)


def _command(command: str) -> Text:
    """Return a command on one line, so that it can be copied."""
    return Text(f"    {command}", style="cyan", no_wrap=True, overflow="ignore")


def _result(report: Report) -> Text:
    colour = {0: "bold green", 1: "bold red", 2: "bold yellow"}[report.exit_status]
    return Text(f"{summary(report)}  ", style=colour) + Text(report.at, style="not bold dim")
