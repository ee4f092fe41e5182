"""Unified diff that attributes each added line to the decision that added it.

The decisions are applied one after the other. A line that is new after a decision belongs to it, as in `git blame`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from webhook.kube.manifests import dump
from webhook.mutators.decision import Decision
from webhook.mutators.patch import combine
from webhook.review import Reviewed, apply_patch

CONTEXT = 3  # lines around a change, the default of diff and git


@dataclass(frozen=True, slots=True)
class Line:
    """Line of a diff.

    Attributes:
        sign: Sign of a unified diff; `@` for a hunk header.
        text: Text of the line.
        decision: Decision that added the line; None for other lines.
    """

    sign: Literal["+", "-", " ", "@"]
    text: str
    decision: Decision | None = None


def diff(reviewed: Reviewed) -> Iterator[Line]:
    """Yield the lines of a unified diff from the object to its result."""
    if not reviewed.changed:
        return
    before = dump(reviewed.request.item).splitlines()
    after = _attributed(reviewed, before)
    for group in _matcher(before, [line.text for line in after]).get_grouped_opcodes(CONTEXT):
        (_, i, _, j, _), (_, _, to_i, _, to_j) = group[0], group[-1]
        yield Line("@", f"@@ -{i + 1},{to_i - i} +{j + 1},{to_j - j} @@")
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (Line(" ", text) for text in before[i1:i2])
                continue
            yield from (Line("-", text) for text in before[i1:i2])
            yield from after[j1:j2]


def _attributed(reviewed: Reviewed, before: Sequence[str]) -> Sequence[Line]:
    """Return the lines of the result with the decisions that added them."""
    lines: Sequence[Line] = [Line("+", text) for text in before]
    decisions = reviewed.response.decisions
    for count, decision in enumerate(decisions, 1):
        if decision.operations:
            patch = combine(each for earlier in decisions[:count] for each in earlier.operations)
            lines = _merge(lines, dump(apply_patch(reviewed.request.item, patch)).splitlines(), decision)
    return lines


def _merge(lines: Sequence[Line], after: Sequence[str], decision: Decision) -> Sequence[Line]:
    merged: list[Line] = []
    for tag, i1, i2, j1, j2 in _matcher([line.text for line in lines], after).get_opcodes():
        merged += lines[i1:i2] if tag == "equal" else [Line("+", text, decision) for text in after[j1:j2]]
    return merged


def _matcher(before: Sequence[str], after: Sequence[str]) -> SequenceMatcher[str]:
    # autojunk ignores frequent lines, such as `- name: x`, in texts above 200 lines.
    return SequenceMatcher(None, before, after, autojunk=False)
