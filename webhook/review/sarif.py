"""SARIF 2.1.0 output of `review` for code scanners; the SARIF rules are the reasons of decisions.

| outcome | kind | level |
|---|---|---|
| applied | fail | note: the webhook would change the manifest |
| refused | fail | warning: the user should check the manifest |
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

Grade: TypeAlias = tuple[Literal["fail", "pass", "notApplicable"], Literal["note", "warning", "none"]]
GRADES: Mapping[Outcome, Grade] = {
    Outcome.APPLIED: ("fail", "note"),
    Outcome.REFUSED: ("fail", "warning"),
    Outcome.KEPT: ("pass", "none"),
    Outcome.SKIPPED: ("notApplicable", "none"),
}
_REASONS = tuple(Reason)


def sarif(reviewed: Sequence[Reviewed], version: str, *, include_skipped: bool = False) -> Unstructured:
    """Return a SARIF log with one run.

    Args:
        reviewed: Objects.
        version: Version of dask-colocate.
        include_skipped: Include skipped decisions.
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
                    _result(each, decision)
                    for each in reviewed
                    for decision in each.response.decisions
                    if include_skipped or decision.outcome is not Outcome.SKIPPED
                ],
            }
        ],
    }


def _result(reviewed: Reviewed, decision: Decision) -> Unstructured:
    kind, level = GRADES[decision.outcome]
    about = f"{reviewed.request.kind}/{reviewed.request.name}"
    return {
        "ruleId": decision.reason.value,
        "ruleIndex": _REASONS.index(decision.reason),
        "kind": kind,
        "level": level,
        "message": {"text": f"{about}: {decision.rule}: {decision.detail}"},
        "locations": [_location(reviewed, _pointer(decision))],
    }


def _pointer(decision: Decision) -> str:
    return decision.operations[0].path if decision.operations else decision.pointer


def _notifications(reviewed: Sequence[Reviewed]) -> Unstructured:
    """Return the warnings, which are not results because some of them concern the namespace."""
    return [
        {"level": "warning", "message": {"text": line}, "locations": [_location(each, "")]}
        for each in reviewed
        for line in each.warnings
    ]


def _location(reviewed: Reviewed, pointer: str) -> Unstructured:
    line = reviewed.manifest.line_of(pointer)
    region = {"region": {"startLine": line}} if line else {}
    named = f"{reviewed.request.namespace}/{reviewed.request.kind}/{reviewed.request.name}"
    return {
        "physicalLocation": {"artifactLocation": {"uri": _uri(reviewed.manifest.source)}, **region},
        "logicalLocations": [{"fullyQualifiedName": named, "kind": "object"}],
    }


def _uri(source: str) -> str:
    """Convert a file name to a URI; a relative name stays relative to the working directory."""
    path = Path(source)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
