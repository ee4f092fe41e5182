"""What must hold, as a line that says whether it does."""

from __future__ import annotations

import operator
from dataclasses import dataclass

from tests.bench.load.spread import short


@dataclass(frozen=True, kw_only=True)
class Must:
    """One line.

    Attributes:
        what: What is bounded.
        found: What was measured.
        relation: `>=`, `<=` or `<`.
        bound: What it must be.
    """

    what: str
    found: float
    relation: str
    bound: float

    @property
    def met(self) -> bool:
        """Whether it holds; what could not be measured does not."""
        compare = {">=": operator.ge, "<=": operator.le, "<": operator.lt}[self.relation]
        return bool(compare(self.found, self.bound))

    def __str__(self) -> str:
        """`met` or `NOT MET`, then the sentence."""
        return f"{'met    ' if self.met else 'NOT MET'} {self.what}: {short(self.found)} {self.relation} {self.bound:g}"
