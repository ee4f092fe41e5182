"""Minimum number of nodes or racks for the workers of a cluster, to which every placement is compared.

A worker uses one GPU of any node with a free GPU. A place (node or rack) with `f` free GPUs runs up to `f` workers, so
any `k` places run at most as many workers as the `k` places with the most free GPUs: the result is exact. The Dask
scheduler uses one more free GPU, in these places or elsewhere, and does not change the result.
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
        used: Places that already run workers of the cluster; they are included in the result.

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
        raise FullError(f"no free GPU for {left} of {workers} workers")
    return needed
