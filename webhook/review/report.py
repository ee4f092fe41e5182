"""Output formats of `review`: diff, JSON and JSON patch."""

import json
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from webhook.admission.response import Status
from webhook.mutators.decision import Decision, Outcome
from webhook.mutators.gpu_workers import Classification
from webhook.review import Reviewed, describe_status, diff_attribution
from webhook.review.recommendations import recommendations
from webhook.workloads.unstructured import Unstructured

LINE_STYLES = {"+": "green", "-": "red", "@": "cyan"}
MAX_REASON_COLUMN = 48  # so that most lines with a reason fit into 80 columns
OUTCOME_STYLES = {Outcome.APPLIED: "green", Outcome.KEPT: "cyan", Outcome.SKIPPED: "dim", Outcome.REFUSED: "yellow"}


def print_diffs(
    console: Console, reviewed: Sequence[Reviewed], *, explain: bool = False, verbose: bool = False
) -> None:
    """Print the diff, the decisions and the warnings of each object, and the number of objects that would change.

    Args:
        console: Output.
        reviewed: Objects.
        explain: Also print unchanged Dask objects, skipped decisions and recommendations.
        verbose: Also print unchanged objects.
    """
    shown = [
        each
        for each in reviewed
        if verbose or each.changed or each.warnings or (explain and each.response.status is not Status.NO_TARGET)
    ]
    for each in shown:
        _print_object(console, each, explain=explain)
    changed = sum(each.changed for each in reviewed)
    advice = " (--verbose also shows the unchanged objects)" if len(shown) < len(reviewed) else ""
    console.print(Text(f"{changed} of {len(reviewed)} objects would change{advice}", style="bold"), soft_wrap=True)


def _print_object(console: Console, each: Reviewed, *, explain: bool) -> None:
    console.print(Text(title(each), style="bold"), soft_wrap=True)
    for line in diff(each):
        console.print(line, soft_wrap=True)
    if explain and each.response.worker:
        console.print(Text(printable(str(each.response.worker))))
    if each.response.decisions:
        console.print(decision_table(each, include_skipped=explain))
    else:
        status = each.response.status
        suffix = f" ({status})" if explain else ""
        console.print(Text(f"unchanged: {describe_status(status)}{suffix}", style="dim"))
    for recommendation in _recommendations(each) if explain else ():
        console.print(Text(recommendation))
    for warning in each.warnings:
        console.print(Text(f"Warning: {printable(warning)}", style="yellow"))


def _recommendations(reviewed: Reviewed) -> tuple[str, ...]:
    decisions = reviewed.response.decisions
    return tuple(f"{each.reason}: {line}" for each in decisions for line in recommendations(each.reason))


def title(reviewed: Reviewed) -> str:
    """Return the kind, name, namespace and file position of an object."""
    request = reviewed.request
    return printable(f"{request.kind}/{request.name} in namespace {request.namespace} ({reviewed.manifest.where})")


def printable(text: str) -> str:
    """Replace control and bidirectional characters, which a terminal would interpret."""
    return "".join(character if character.isprintable() else "?" for character in text)


def diff(reviewed: Reviewed) -> Iterator[Text]:
    """Yield the styled lines of a unified diff, with the reason on the first line of each change."""
    lines = tuple(diff_attribution.diff(reviewed))
    previous = (None, *(line.decision for line in lines))
    starts = tuple(
        line.decision if line.decision is not before else None for line, before in zip(lines, previous, strict=False)
    )
    width = max((len(line.text) for line, decision in zip(lines, starts, strict=True) if decision), default=0)
    for line, decision in zip(lines, starts, strict=True):
        text = printable(line.text if line.sign == "@" else f"{line.sign}{line.text}")
        styled = Text(text, style=LINE_STYLES.get(line.sign, ""))
        if decision:
            padding = " " * (min(width, MAX_REASON_COLUMN) - len(line.text))
            styled.append(f"{padding}  # {decision.rule}: {decision.reason}", style="not bold dim")
        yield styled


def decision_table(reviewed: Reviewed, *, include_skipped: bool = False) -> Table:
    """Return a table of the decisions with their reasons."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("rule", "outcome", "reason", "detail"):
        table.add_column(column, overflow="fold")
    for decision in reviewed.response.decisions:
        if include_skipped or decision.outcome is not Outcome.SKIPPED or decision.warnings:
            table.add_row(*_cells(decision))
    return table


def _cells(decision: Decision) -> tuple[str, ...]:
    colour = OUTCOME_STYLES[decision.outcome]
    return (
        decision.rule,
        f"[{colour}]{decision.outcome}[/]",
        decision.reason.value,
        escape(printable(decision.detail)),
    )


def as_patch(reviewed: Sequence[Reviewed]) -> str:
    """Return the JSON patches of the changed objects as a JSON list."""
    return to_json([{**_identity(each), "patch": _operations(each)} for each in reviewed if each.changed])


def as_json(reviewed: Sequence[Reviewed]) -> str:
    """Return the objects with their decisions, warnings and patches as a JSON list."""
    return to_json([_details(each) for each in reviewed])


def _details(reviewed: Reviewed) -> Unstructured:
    return {
        **_identity(reviewed),
        "status": reviewed.response.status,
        "worker": _worker(reviewed.response.worker),
        "decisions": [
            {
                "rule": decision.rule,
                "role": decision.role,
                "outcome": decision.outcome,
                "reason": decision.reason,
                "detail": decision.detail,
            }
            for decision in reviewed.response.decisions
        ],
        "warnings": reviewed.warnings,
        "recommendations": _recommendations(reviewed),
        "patch": _operations(reviewed),
    }


def _worker(classification: Classification | None) -> Unstructured:
    if classification is None:
        return None
    keys = ("kind", "container", "field", "value")
    evidence = [{key: getattr(each, key) for key in keys} for each in classification.evidence]
    return {"kind": classification.kind, "evidence": evidence}


def _identity(reviewed: Reviewed) -> Unstructured:
    return {
        "source": reviewed.manifest.source,
        "line": reviewed.manifest.line,
        "kind": reviewed.request.kind,
        "namespace": reviewed.request.namespace,
        "name": reviewed.request.name,
    }


def _operations(reviewed: Reviewed) -> Unstructured:
    return [operation.as_json() for operation in reviewed.response.operations]


def to_json(document: Unstructured) -> str:
    """Serialize a document as indented JSON."""
    return json.dumps(document, indent=2)
