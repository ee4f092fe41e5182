"""Reviewed objects for code scanners: SARIF 2.1.0, whose rules are the reasons.

| outcome | kind | level |
|---|---|---|
| applied | fail | note: the webhook writes what the manifest lacks |
| refused | fail | warning: somebody has to look |
| kept | pass | none |
| skipped | notApplicable | none |

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import quote

from webhook.mutators.decision import Decision, Outcome, Reason
from webhook.review import Reviewed
from webhook.workloads.unstructured import Unstructured

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
HOME = "https://docs.rapids.ai/deployment/stable/guides/colocate-workers/"

Graded: TypeAlias = tuple[Literal["fail", "pass", "notApplicable"], Literal["note", "warning", "none"]]
GRADES: Mapping[Outcome, Graded] = {
    Outcome.APPLIED: ("fail", "note"),
    Outcome.REFUSED: ("fail", "warning"),
    Outcome.KEPT: ("pass", "none"),
    Outcome.SKIPPED: ("notApplicable", "none"),
}
_REASONS = tuple(Reason)


def sarif(reviewed: Sequence[Reviewed], version: str, *, every: bool = False) -> Unstructured:
    """One run over all objects.

    Args:
        reviewed: The objects.
        version: Of this program.
        every: Also the decisions that are `skipped`.
    """
    driver = {
        "name": "dask-colocate",
        "version": version,
        "informationUri": HOME,
        "rules": [{"id": each.value, "shortDescription": {"text": each.meaning}} for each in _REASONS],
    }
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": _notifications(reviewed)}],
                "results": [
                    _result(one, decision)
                    for one in reviewed
                    for decision in one.verdict.decisions
                    if every or decision.outcome is not Outcome.SKIPPED
                ],
            }
        ],
    }


def _result(one: Reviewed, decision: Decision) -> Unstructured:
    kind, level = GRADES[decision.outcome]
    about = f"{one.review.kind}/{one.review.name}"
    return {
        "ruleId": decision.reason.value,
        "ruleIndex": _REASONS.index(decision.reason),
        "kind": kind,
        "level": level,
        "message": {"text": f"{about}: {decision.rule}: {decision.detail}"},
        "locations": [_location(one, _pointer(decision))],
    }


def _pointer(decision: Decision) -> str:
    return decision.operations[0].path if decision.operations else decision.pointer


def _notifications(reviewed: Sequence[Reviewed]) -> Unstructured:
    """What the user would be warned of, which is about a namespace as often as about a rule."""
    return [
        {"level": "warning", "message": {"text": line}, "locations": [_location(one, "")]}
        for one in reviewed
        for line in one.verdict.warnings
    ]


def _location(one: Reviewed, pointer: str) -> Unstructured:
    line = one.manifest.line_of(pointer)
    region = {"region": {"startLine": line}} if line else {}
    named = f"{one.review.namespace}/{one.review.kind}/{one.review.name}"
    return {
        "physicalLocation": {"artifactLocation": {"uri": _uri(one.manifest.source)}, **region},
        "logicalLocations": [{"fullyQualifiedName": named, "kind": "object"}],
    }


def _uri(source: str) -> str:
    """A file's name as a URI; one that is relative stays so, and is taken from where the program ran."""
    path = Path(source)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
