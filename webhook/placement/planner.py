"""Planner: chooses nodes from a pool for the workers or the Dask scheduler of one cluster.

Criteria for workers, the strongest first:

1. nodes that already run workers of the cluster and have free GPUs;
2. the minimum number of further nodes;
3. nodes in one rack;
4. the least free GPUs left over on these nodes, preferably in a rack that already runs workers of the cluster;
5. a hash of the cluster's name, so that two replicas that do not know each other's reservations rarely choose alike.

The second criterion is exact. The others hold for clusters of up to `EXACT_NODES` nodes, among the `MAX_CHOICES`
tightest choices and as many others, within `MAX_STEPS`. For a larger cluster all but the last `EXACT_NODES` nodes are
the ones with the most free GPUs.

One rack comes before a tight fit because of the preferred pod affinity to the rack: when a cluster's first node is
full, that affinity weighs as much as the hint and attracts workers to other nodes of the rack, which may be reserved
for another cluster. In replays at 95 % load and in bursts, 2 of 144 clusters then left their nodes, otherwise 8.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TypeAlias

from webhook.placement.model import Plan, Share
from webhook.placement.pool import Pool

# The number of choices among nodes with 8 or 16 different amounts of free GPUs grows exponentially with this number,
# and a plan has one millisecond (`tests.bench.capacity`). Three nodes of 8 GPUs run 24 workers.
EXACT_NODES = 3
MAX_CHOICES = 16
# Steps of one search, about 1 us each; a plan makes two searches. Up to 8 amounts took at most 100 steps, 16 amounts
# 250. With more amounts a search may end early with the best choice so far.
MAX_STEPS = 300

Choice: TypeAlias = tuple[int, ...]
"""Free GPUs of each chosen node, descending."""


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """Pods to place.

    Attributes:
        workers: Number of pods.
        gpus: GPUs of each pod.
        seed: 32 bits that decide between equal choices, the lower half for racks and the upper half for nodes.
        nodes: Nodes with workers of the same cluster; those with free GPUs are used first.
    """

    workers: int
    gpus: int
    seed: int
    nodes: Collection[str] = ()


def plan(pool: Pool, request: PlacementRequest) -> Plan | None:
    """Return nodes for all workers; None if some do not fit. The pool is not changed."""
    own_nodes = sorted(
        (node for node in request.nodes if pool.free.get(node, 0) >= request.gpus),
        key=lambda node: (-pool.free[node], node),
    )
    shares, left = _fill(pool, own_nodes, request.workers, request.gpus)
    if not left:
        return tuple(shares)
    search = _FurtherNodes(pool, request.gpus, left, request.seed, frozenset(own_nodes))
    nodes = search.choose({pool.racks[node] for node in request.nodes if node in pool.racks})
    return None if nodes is None else (*shares, *_fill(pool, nodes, left, request.gpus)[0])


def best_fit(pool: Pool, request: PlacementRequest) -> str | None:
    """Return the node with the least free GPUs that fits one pod, so that emptier nodes stay whole.

    Of equally full nodes, one without workers of the cluster comes first, so that the cluster can grow on its nodes.
    Nodes in the racks of the cluster's workers come before other nodes.
    """
    free = min((free for free in pool.counts if free >= request.gpus), default=None)
    if free is None:
        return None
    own_racks = dict.fromkeys(sorted({pool.racks[node] for node in request.nodes if node in pool.racks}))
    other_racks = (rack for rack in rotate(pool.racks_with(free, 1), request.seed) if rack not in own_racks)
    racks = chain(own_racks, other_racks)
    nodes = (node for rack in racks for node in rotate(pool.nodes_with(free, rack), request.seed >> 16))
    first = next(nodes)
    return next((node for node in chain((first,), nodes) if node not in request.nodes), first)


def _fill(pool: Pool, nodes: Sequence[str], workers: int, gpus: int) -> tuple[list[Share], int]:
    """Fill nodes one after another; return the shares and the number of workers that did not fit."""
    shares = []
    for node in nodes:
        if not workers:
            break
        shares.append(Share(node, min(workers, pool.free[node] // gpus)))
        workers -= shares[-1].workers
    return shares, workers


@dataclass(frozen=True, slots=True)
class _FurtherNodes:
    """Choice of nodes for the workers that do not fit on the cluster's own nodes."""

    pool: Pool
    gpus: int
    workers: int
    seed: int
    excluded: frozenset[str]
    excluded_counts: Counter[tuple[int, str]] = field(init=False)
    counts: tuple[tuple[int, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Count the nodes by free GPUs, without the excluded ones."""
        excluded_counts = Counter((self.pool.free[node], self.pool.racks[node]) for node in self.excluded)
        excluded = Counter(self.pool.free[node] for node in self.excluded)
        counts = ((free, self.pool.counts[free] - excluded[free]) for free in sorted(self.pool.counts, reverse=True))
        object.__setattr__(self, "excluded_counts", excluded_counts)
        object.__setattr__(
            self, "counts", tuple((free, count) for free, count in counts if free >= self.gpus and count)
        )

    def choose(self, own_racks: set[str]) -> list[str] | None:
        """Return nodes, the emptiest first, preferably in `own_racks`; None if the workers do not fit."""
        choices = tightest(self.counts, self.gpus, self.workers)
        if not choices:
            return None
        for choice in chain(choices, looser(self.counts, self.gpus, self.workers, choices[0])):
            rack = self._rack_with(Counter(choice), own_racks)
            if rack is not None:
                return self._nodes(Counter(choice), (rack,))
        sizes = Counter(choices[0])
        return self._nodes(sizes, self._racks_by_coverage(sizes, own_racks))

    def _rack_with(self, sizes: Mapping[int, int], own_racks: set[str]) -> str | None:
        """Return a rack that has all nodes of a choice."""
        for rack in sorted(own_racks):
            if all(self._available(free, rack) >= count for free, count in sizes.items()):
                return rack
        rarest, *others = sorted((self.pool.racks_with(*size) for size in sizes.items()), key=len)
        for rack in rotate(rarest, self.seed):
            if rack not in own_racks and all(rack in racks for racks in others):
                return rack
        return None

    def _racks_by_coverage(self, sizes: Mapping[int, int], own_racks: set[str]) -> Sequence[str]:
        """Return the racks that have most nodes of a choice first, to use close to the minimum number of racks."""
        coverage = Counter(sorted(own_racks))
        for free, count in sizes.items():
            for nodes in range(1, count + 1):
                racks = self.pool.racks_with(free, nodes)
                if not racks:
                    break
                coverage.update(rotate(racks, self.seed))
        return [rack for rack, _ in coverage.most_common(sum(sizes.values()) + len(own_racks))]

    def _available(self, free: int, rack: str) -> int:
        return len(self.pool.nodes_with(free, rack)) - self.excluded_counts[free, rack]

    def _nodes(self, sizes: Mapping[int, int], racks: Iterable[str]) -> list[str]:
        """Return nodes for a choice, the emptiest first: from these racks, then from any rack."""
        left = Counter(sizes)
        nodes: list[tuple[int, str]] = []
        for rack in chain(racks, *(self.pool.racks_with(free, 1) for free in sizes)):
            for free in [free for free, count in left.items() if count]:
                in_rack = rotate(self.pool.nodes_with(free, rack), self.seed >> 16)
                chosen = dict.fromkeys(islice((node for node in in_rack if node not in self.excluded), left[free]))
                left[free] -= len(chosen)
                nodes += ((free, node) for node in chosen)
            if not left.total():
                break
        return [node for _, node in sorted(nodes, key=lambda free_and_node: -free_and_node[0])]


def rotate(items: Mapping[str, object], seed: int) -> Iterator[str]:
    """Return all keys, starting at a position given by the seed."""
    start = seed % len(items) if items else 0
    return chain(islice(items, start, None), islice(items, start))


def tightest(counts: Sequence[tuple[int, int]], gpus: int, workers: int) -> list[Choice]:
    """Return the equally tight choices with the minimum number of nodes; none if the workers do not fit.

    Args:
        counts: Free GPUs and the number of nodes with so many, in descending order.
        gpus: GPUs of each worker.
        workers: Number of workers.
    """
    largest: list[int] = []
    left = workers
    for free, count in counts:
        nodes = min(count, -(-left // (free // gpus)))
        largest += [free] * nodes
        left -= nodes * (free // gpus)
        if left <= 0:
            break
    else:
        return []
    upper_bound = _shrink_last(counts, gpus, workers, tuple(largest))
    return _search(counts, gpus, workers, upper_bound, None) or [upper_bound]


def _shrink_last(counts: Sequence[tuple[int, int]], gpus: int, workers: int, largest: Choice) -> Choice:
    """Replace the last node of a choice by the smallest that fits: the initial bound of the search."""
    *others, _ = largest
    left = workers - sum(free // gpus for free in others)
    used = Counter(others)
    return (*others, min(free for free, count in counts if free // gpus >= left and count > used[free]))


def looser(counts: Sequence[tuple[int, int]], gpus: int, workers: int, tight: Choice) -> Iterator[Choice]:
    """Yield further choices with the same number of nodes, the tightest first, without `tight` and its equals."""
    if len(tight) > EXACT_NODES:
        return
    choices = _search(counts, gpus, workers, tight, len(tight) * counts[0][0])
    yield from sorted((choice for choice in choices if sum(choice) > sum(tight)), key=sum)


def _search(
    counts: Sequence[tuple[int, int]], gpus: int, workers: int, start: Choice, fixed_limit: int | None
) -> list[Choice]:
    fixed_part = tuple(sorted(start, reverse=True))[:-EXACT_NODES]
    used = Counter(fixed_part)
    left = [(free, count - used[free]) for free, count in reversed(counts) if count > used[free]]
    limit = sum(start) - sum(fixed_part) if fixed_limit is None else fixed_limit
    search = _Search(left, gpus, limit, is_limit_fixed=fixed_limit is not None)
    search.extend((), 0, len(start) - len(fixed_part), workers - sum(free // gpus for free in fixed_part))
    return [(*fixed_part, *choice) for choice in search.choices]


@dataclass(slots=True)
class _Search:
    """Branch-and-bound search for choices with a given number of nodes.

    Attributes:
        counts: Free GPUs and the number of nodes with so many, ascending.
        gpus: GPUs of each worker.
        limit: Maximum sum of free GPUs of a choice; each better choice lowers it unless `is_limit_fixed`.
    """

    counts: Sequence[tuple[int, int]]
    gpus: int
    limit: int
    is_limit_fixed: bool
    choices: list[Choice] = field(default_factory=list)
    steps: int = 0

    def extend(self, choice: Choice, position: int, nodes: int, workers: int) -> None:
        """Add `nodes` nodes from a position of the counts on, for `workers` workers."""
        self.steps += 1
        if not nodes and workers <= 0:
            self._add(choice)
        elif nodes and position < len(self.counts) and not self._is_hopeless(choice, position, nodes, workers):
            free, count = self.counts[position]
            for times in range(min(count, nodes), -1, -1):
                left = workers - times * (free // self.gpus)
                self.extend((*choice, *([free] * times)), position + 1, nodes - times, left)

    def _is_hopeless(self, choice: Choice, position: int, nodes: int, workers: int) -> bool:
        if self.steps > MAX_STEPS or (self.is_limit_fixed and len(self.choices) >= MAX_CHOICES):
            return True
        if nodes * (self.counts[-1][0] // self.gpus) < workers:
            return True
        at_least = max(workers * self.gpus, nodes * self.counts[position][0])
        return sum(choice) + at_least > self.limit

    def _add(self, choice: Choice) -> None:
        if not self.is_limit_fixed and sum(choice) < self.limit:
            self.limit, self.choices = sum(choice), []
        if len(self.choices) < MAX_CHOICES:
            self.choices.append(choice)
