"""The fewest places that a cluster could stand on while everybody else stays where they are.

A place with room for `r` workers takes any number up to `r`, so the total is all that counts, and the places with the
most room are an exact answer: any `k` places hold at most what the `k` largest hold. For workers of one GPU each this
is the definition by which `tests/bench/minimum.py` judges placements.
"""

from collections import Counter


def fewest(rooms: Counter[int], workers: int) -> int | None:
    """The fewest places that take so many equal workers; None when all of them together do not.

    Args:
        rooms: How many workers a place takes, and how many such places there are.
        workers: How many stand somewhere.
    """
    places, left = 0, workers
    for room in sorted((room for room, count in rooms.items() if room > 0 and count > 0), reverse=True):
        taken = min(rooms[room], -(-left // room))
        places, left = places + taken, left - taken * room
        if left <= 0:
            break
    return places if left <= 0 else None
