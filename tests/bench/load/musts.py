"""What must hold of an admission."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.load import bodies, direct
from tests.bench.load.contenders import GO, NOOP, OURS
from tests.bench.must import Must

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.load.core import Alone
    from tests.bench.load.direct import Figure


def alone(found: Sequence[Alone]) -> list[Must]:
    """Of the core: for a worker like those before it, and for the first of a cluster, on which it has to decide."""
    kinds = (bodies.WORKER, bodies.FIRST)
    return [
        Must(what=f"core alone, {each.kind}, us", found=each.core.median, relation="<", bound=60)
        for each in found
        if each.kind in kinds
    ]


def straight(found: Sequence[Figure]) -> list[Must]:
    """Of HTTPS direct."""
    return [
        Must(
            what=f"requests/s over the {other}, {each.load.connections} connections",
            found=each.over[other].median,
            relation=">=",
            bound=bound,
        )
        for each in found
        if each.server == OURS and each.load in direct.MUST
        for other, bound in ((NOOP, 0.75), (GO, 1.3))
    ]
