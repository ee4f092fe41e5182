"""Reviewed objects as text: for a terminal, for `kubectl`, for programs."""

import json
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from webhook.kube.manifests import dump
from webhook.mutators.decision import Decision, Outcome
from webhook.mutators.gpu_workers import Classification
from webhook.review import Reviewed, diff_attribution, explained
from webhook.review.recommendations import advice
from webhook.workloads.unstructured import Unstructured

LINE_STYLES = {"+": "green", "-": "red", "@": "cyan"}
BESIDE = 48  # a reason begins no farther right than this, so that most fit into 80 columns
COLOURS = {Outcome.APPLIED: "green", Outcome.KEPT: "cyan", Outcome.SKIPPED: "dim", Outcome.REFUSED: "yellow"}


def show_diffs(console: Console, reviewed: Sequence[Reviewed], *, explain: bool = False) -> None:
    """Each object: its diff, the decisions, the warnings its user would get.

    Args:
        console: Where to.
        reviewed: The objects.
        explain: Also the decisions that are `skipped`, and what there is to gain.
    """
    for one in reviewed:
        _show_title(console, one)
        for line in diff(one):
            console.print(line, soft_wrap=True)
        if explain and one.verdict.worker:
            console.print(Text(printable(str(one.verdict.worker))))
        if one.verdict.decisions:
            console.print(decisions(one, every=explain))
        else:
            status = one.verdict.status
            console.print(Text(f"unchanged: {explained(status)}" + (f" ({status})" if explain else ""), style="dim"))
        for told in advised(one) if explain else ():
            console.print(Text(told))
        for warning in one.verdict.warnings:
            console.print(Text(f"Warning: {warning}", style="yellow"))


def advised(one: Reviewed) -> tuple[str, ...]:
    """What there is to gain beyond what was decided, a line each."""
    return tuple(f"{each.reason}: {line}" for each in one.verdict.decisions for line in advice(each.reason))


def _show_title(console: Console, one: Reviewed) -> None:
    console.print(Text(title(one), style="bold"), soft_wrap=True)  # a rule would cut off the line's number


def title(one: Reviewed) -> str:
    """The object's kind, name, namespace and place."""
    manifest = one.manifest
    where = f"{manifest.source}:{manifest.line}" if manifest.line else manifest.source
    return printable(f"{one.review.kind}/{one.review.name} in namespace {one.review.namespace} ({where})")


def printable(text: str) -> str:
    """A text of somebody else's as a terminal may have it: nothing in it moves a cursor or changes a colour."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def diff(one: Reviewed) -> Iterator[Text]:
    """The lines of a unified diff, coloured, with the reason beside each change; none where nothing changes."""
    lines = tuple(diff_attribution.diff(one))
    before = (None, *(line.decision for line in lines))
    begun = tuple(
        line.decision if line.decision is not last else None for line, last in zip(lines, before, strict=False)
    )
    beside = max((len(line.text) for line, decision in zip(lines, begun, strict=True) if decision), default=0)
    for line, decision in zip(lines, begun, strict=True):
        text = line.text if line.sign == "@" else f"{line.sign}{line.text}"
        shown = Text(text, style=LINE_STYLES.get(line.sign, ""))
        if decision:
            pad = " " * (min(beside, BESIDE) - len(line.text))
            shown.append(f"{pad}  # {decision.rule}: {decision.reason}", style="not bold dim")
        yield shown


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
        escape(printable(decision.detail)),
    )


def as_yaml(reviewed: Sequence[Reviewed]) -> str:
    """The objects as they would be stored, as a YAML stream."""
    return "---\n".join(dump(one.result) for one in reviewed)


def as_patch(reviewed: Sequence[Reviewed]) -> str:
    """The JSON patch of each object, as a JSON list with the objects it is for."""
    return as_text([{**_named(one), "patch": _operations(one)} for one in reviewed if one.changed])


def as_json(reviewed: Sequence[Reviewed]) -> str:
    """Everything, for programs."""
    return as_text([_whole(one) for one in reviewed])


def _whole(one: Reviewed) -> Unstructured:
    return {
        **_named(one),
        "status": one.verdict.status,
        "worker": _worker(one.verdict.worker),
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
        "advice": advised(one),
        "patch": _operations(one),
    }


def _worker(found: Classification | None) -> Unstructured:
    if found is None:
        return None
    keys = ("kind", "container", "field", "value")
    evidence = [{key: getattr(each, key) for key in keys} for each in found.evidence]
    return {"kind": found.kind, "evidence": evidence}


def _named(one: Reviewed) -> Unstructured:
    return {
        "source": one.manifest.source,
        "line": one.manifest.line,
        "kind": one.review.kind,
        "namespace": one.review.namespace,
        "name": one.review.name,
    }


def _operations(one: Reviewed) -> Unstructured:
    return [operation.as_json() for operation in one.verdict.operations]


def as_text(document: Unstructured) -> str:
    """A document as JSON for people and programs."""
    return json.dumps(document, indent=2)
