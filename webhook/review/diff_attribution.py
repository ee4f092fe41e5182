"""Which decision a line of the resulting YAML comes from.

The rules are applied one after the other; what is new after a rule is its own, as `git blame` finds it from commits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from webhook.kube.manifests import dump
from webhook.mutators.decision import Decision
from webhook.mutators.patch import combine
from webhook.review import Reviewed, applied

CONTEXT = 3  # lines around a change, as diff and git show


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a diff.

    Attributes:
        sign: As in a unified diff; `@` for what says where a part begins.
        text: The line itself.
        decision: What added it; None for all others.
    """

    sign: Literal["+", "-", " ", "@"]
    text: str
    decision: Decision | None = None


def diff(one: Reviewed) -> Iterator[Line]:
    """The lines of a unified diff from the object to its result; none where nothing changes."""
    if not one.changed:
        return
    before = dump(one.review.item).splitlines()
    after = _owned(one, before)
    for group in _matcher(before, [line.text for line in after]).get_grouped_opcodes(CONTEXT):
        (_, i, _, j, _), (_, _, to_i, _, to_j) = group[0], group[-1]
        yield Line("@", f"@@ -{i + 1},{to_i - i} +{j + 1},{to_j - j} @@")
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (Line(" ", text) for text in before[i1:i2])
                continue
            yield from (Line("-", text) for text in before[i1:i2])
            yield from after[j1:j2]


def _owned(one: Reviewed, before: Sequence[str]) -> Sequence[Line]:
    """The result's lines; those that a decision brought know it."""
    lines: Sequence[Line] = [Line("+", text) for text in before]
    decisions = one.verdict.decisions
    for done, decision in enumerate(decisions, 1):
        if decision.operations:
            patch = combine(each for earlier in decisions[:done] for each in earlier.operations)
            lines = _carried(lines, dump(applied(one.review.item, patch)).splitlines(), decision)
    return lines


def _carried(lines: Sequence[Line], after: Sequence[str], decision: Decision) -> Sequence[Line]:
    carried: list[Line] = []
    for tag, i1, i2, j1, j2 in _matcher([line.text for line in lines], after).get_opcodes():
        carried += lines[i1:i2] if tag == "equal" else [Line("+", text, decision) for text in after[j1:j2]]
    return carried


def _matcher(before: Sequence[str], after: Sequence[str]) -> SequenceMatcher[str]:
    # autojunk takes a line that is often there, such as `- name: x`, for noise in anything above 200 lines.
    return SequenceMatcher(None, before, after, autojunk=False)
