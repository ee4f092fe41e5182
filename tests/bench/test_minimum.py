from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.minimum import FullError, minimum

FREE = st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 8), min_size=1)


@given(FREE, st.integers(0, 20), st.sets(st.sampled_from("abcdefg"), max_size=3))
def test_no_smaller_set_of_nodes_holds_the_cluster(free: dict[str, int], workers: int, used: set[str]) -> None:
    """The result equals the smallest sufficient set of nodes that includes the nodes of the running workers."""
    used &= free.keys()
    sizes = [
        len(nodes)
        for count in range(len(free) + 1)
        for nodes in combinations(free, count)
        if used <= set(nodes) and sum(free[node] for node in nodes) >= workers
    ]
    if sizes:
        assert minimum(free, workers, used) == min(sizes)
    else:
        with pytest.raises(FullError):
            minimum(free, workers, used)


def test_scaling_up_fills_the_clusters_own_nodes_first() -> None:
    """Free GPUs on the nodes of a cluster's running workers are used before further nodes."""
    assert minimum({"a": 2, "b": 8}, 2, {"a"}) == 1
    assert minimum({"a": 2, "b": 8}, 3, {"a"}) == 2
