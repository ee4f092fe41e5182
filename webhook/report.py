"""Reviewed objects as text: for a terminal, for `kubectl`, for programs."""

import difflib
import json
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from webhook.advice import advice
from webhook.manifests import dump
from webhook.mutation.model import Decision, Outcome
from webhook.raw import Raw
from webhook.review import Reviewed, explained

COLOURS = {Outcome.APPLIED: "green", Outcome.KEPT: "cyan", Outcome.SKIPPED: "dim", Outcome.REFUSED: "yellow"}


def show_diffs(console: Console, reviewed: Sequence[Reviewed], *, explain: bool = False) -> None:
    """Each object: its diff, the decisions, the warnings its user would get.

    Args:
        console: Where to.
        reviewed: The objects.
        explain: Also the decisions that are `skipped`, and what there is to gain.
    """
    for one in reviewed:
        console.rule(Text(title(one)), align="left", style="dim")
        for line in diff(one):
            console.print(line)
        if one.verdict.decisions:
            console.print(decisions(one, every=explain))
        else:
            console.print(Text(f"unchanged: {explained(one.verdict.status)}", style="dim"))
        for told in advised(one) if explain else ():
            console.print(Text(told))
        for warning in one.verdict.warnings:
            console.print(Text(f"Warning: {warning}", style="yellow"))


def advised(one: Reviewed) -> tuple[str, ...]:
    """What there is to gain beyond what was decided, a line each."""
    return tuple(f"{each.reason}: {line}" for each in one.verdict.decisions for line in advice(each.reason))


def title(one: Reviewed) -> str:
    """The object's kind, name, namespace and place."""
    where = f"{one.manifest.source}:{one.manifest.line}"
    return f"{one.review.kind}/{one.review.name} in namespace {one.review.namespace} ({where})"


def diff(one: Reviewed) -> Iterator[Text]:
    """The lines of a unified diff, coloured; none where nothing changes."""
    before, after = (dump(item).splitlines() for item in (one.review.item, one.result))
    for line in list(difflib.unified_diff(before, after, lineterm="", n=3))[2:]:
        yield Text(line, style=_line_style(line))


def _line_style(line: str) -> str:
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")


def decisions(one: Reviewed, *, every: bool = False) -> Table:
    """The decisions with their reasons; those of rules that have nothing to do only where `every` one is wanted."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("rule", "outcome", "reason", "detail"):
        table.add_column(column, overflow="fold")
    for decision in one.verdict.decisions:
        if every or decision.outcome is not Outcome.SKIPPED or decision.warnings:
            table.add_row(*_cells(decision))
    return table


def _cells(decision: Decision) -> tuple[str, ...]:
    colour = COLOURS[decision.outcome]
    return (
        decision.rule,
        f"[{colour}]{decision.outcome}[/]",
        decision.reason.value,
        escape(decision.detail),
    )


def as_yaml(reviewed: Sequence[Reviewed]) -> str:
    """The objects as they would be stored, as a YAML stream."""
    return "---\n".join(dump(one.result) for one in reviewed)


def as_patch(reviewed: Sequence[Reviewed]) -> str:
    """The JSON patch of each object, as a JSON list with the objects it is for."""
    return _json([{**_named(one), "patch": _operations(one)} for one in reviewed if one.changed])


def as_json(reviewed: Sequence[Reviewed]) -> str:
    """Everything, for programs."""
    return _json([_whole(one) for one in reviewed])


def _whole(one: Reviewed) -> Raw:
    return {
        **_named(one),
        "status": one.verdict.status,
        "decisions": [
            {
                "rule": decision.rule,
                "role": decision.role,
                "outcome": decision.outcome,
                "reason": decision.reason,
                "detail": decision.detail,
            }
            for decision in one.verdict.decisions
        ],
        "warnings": one.verdict.warnings,
        "patch": _operations(one),
    }


def _named(one: Reviewed) -> Raw:
    return {
        "source": one.manifest.source,
        "line": one.manifest.line,
        "kind": one.review.kind,
        "namespace": one.review.namespace,
        "name": one.review.name,
    }


def _operations(one: Reviewed) -> Raw:
    return [operation.as_json() for operation in one.verdict.operations]


def _json(document: Raw) -> str:
    return json.dumps(document, indent=2)
