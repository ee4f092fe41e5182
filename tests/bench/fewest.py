"""The fewest nodes or racks that a cluster could stand on at one moment: what every placement is measured by.

A worker takes one GPU and goes anywhere with a free one, so a place with `f` free GPUs takes up to `f` workers
and the total is all that counts. The places with the most free GPUs are then an exact answer, not a guess:
any `k` places hold at most what the `k` largest hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class FullError(ValueError):
    """There is no room for the workers at all."""


def fewest(free: Mapping[str, int], workers: int, held: Collection[str] = ()) -> int:
    """The fewest places that hold a cluster once `workers` more of it have started.

    Args:
        free: Free GPUs of each place, by its name, before they start.
        workers: How many start, one GPU each.
        held: Places that hold workers of the cluster already; those stay where they are and are counted.

    Raises:
        FullError: There are fewer free GPUs than workers.
    """
    left = workers - sum(free[place] for place in held)
    needed = len(set(held))
    for room in sorted((room for place, room in free.items() if place not in held), reverse=True):
        if left <= 0:
            break
        left -= room
        needed += 1
    if left > 0:
        raise FullError(f"{left} of {workers} workers find no free GPU")
    return needed
