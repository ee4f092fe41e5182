from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.fewest import FullError, fewest

FREE = st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 8), min_size=1)


@given(FREE, st.integers(0, 20), st.sets(st.sampled_from("abcdefg"), max_size=3))
def test_no_smaller_set_of_nodes_holds_the_cluster(free: dict[str, int], workers: int, held: set[str]) -> None:
    """The answer is that of trying every set of nodes which includes those the cluster holds already."""
    held &= free.keys()
    tried = [
        len(nodes)
        for count in range(len(free) + 1)
        for nodes in combinations(free, count)
        if held <= set(nodes) and sum(free[node] for node in nodes) >= workers
    ]
    if tried:
        assert fewest(free, workers, held) == min(tried)
    else:
        with pytest.raises(FullError):
            fewest(free, workers, held)


def test_growing_fills_its_own_nodes_first() -> None:
    """Free GPUs beside a cluster's running workers need no further node."""
    assert fewest({"a": 2, "b": 8}, 2, {"a"}) == 1
    assert fewest({"a": 2, "b": 8}, 3, {"a"}) == 2
