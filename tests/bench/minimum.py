"""Minimum number of nodes or racks for the workers of a cluster: the measure of every placement.

A worker takes one GPU of any node with a free one. A place with `f` free GPUs holds up to `f` workers, so any `k`
places hold at most what the `k` places with the most free GPUs hold: the result is exact. The Dask scheduler does not
change it: one more free GPU, in the chosen places or elsewhere, is all that the scheduler takes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


class FullError(ValueError):
    """There are fewer free GPUs than workers."""


def minimum(free: Mapping[str, int], workers: int, used: Collection[str] = ()) -> int:
    """Return the minimum number of places for a cluster once `workers` more of its workers have started.

    Args:
        free: Free GPUs of each place before the workers start.
        workers: Number of workers that start, one GPU each.
        used: Places that run workers of the cluster already; they count.

    Raises:
        FullError: There are fewer free GPUs than workers.
    """
    left = workers - sum(free[place] for place in used)
    needed = len(set(used))
    for gpus in sorted((gpus for place, gpus in free.items() if place not in used), reverse=True):
        if left <= 0:
            break
        left -= gpus
        needed += 1
    if left > 0:
        raise FullError(f"{left} of {workers} workers find no free GPU")
    return needed
