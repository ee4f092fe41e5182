"""A pool and a demand become hosts.

What comes first, from the strongest:

1. hosts that hold workers of the cluster already and have room;
2. then the fewest further hosts;
3. of equally few, those that stand in one rack;
4. of those, the ones that leave the fewest GPUs over, best in a rack where the cluster stands already;
5. of all that is equal, the one that a hash of the cluster's name points at, so that two replicas of the webhook
   that don't know of each other's promises rarely choose alike.

The second is exact. The others hold for clusters of up to `EXACT` hosts, among the `MOST_CHOICES` tightest choices and
as many others, as far as `MOST_STEPS` reach; of a larger cluster all but the last `EXACT` hosts are the emptiest there
are.

One rack comes before a tight fit because kube-scheduler sees to it anyway: as soon as a cluster's first node is full,
the affinity to its rack weighs as much as the hint, and pulls workers to other hosts of that rack, which may be
promised to somebody else. Replayed at 95 % and in bursts, 2 of 144 clusters then left their hosts, else 8.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TypeAlias

from webhook.placement.model import Plan, Share
from webhook.placement.pool import Pool

# Choices among hosts of 8 or 16 sizes grow as the power of this number, and a plan has a millisecond
# (`tests.bench.capacity`). Three hosts of 8 GPUs hold 24 workers.
EXACT = 3
MOST_CHOICES = 16
# Steps of one search, of which a plan makes two: about 1 us each. Hosts of up to 8 sizes took 100 at most, of 16 sizes
# 250; of more a search may end early, with the best that it found until then.
MOST_STEPS = 300

Sizes: TypeAlias = tuple[int, ...]
"""Free GPUs of each host of a choice, descending."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be placed.

    Attributes:
        workers: How many.
        gpus: GPUs of each.
        seed: What decides between equals: 32 bits, the lower for racks and the upper for hosts.
        current: Nodes with workers of the same cluster; those that stand in the pool and have room are used first.
    """

    workers: int
    gpus: int
    seed: int
    current: Collection[str] = ()


def plan(pool: Pool, wanted: Wanted) -> Plan | None:
    """Where all the workers go; None where they don't all fit. Nothing is changed."""
    held = sorted(
        (node for node in wanted.current if pool.free.get(node, 0) >= wanted.gpus),
        key=lambda node: (-pool.free[node], node),
    )
    shares, left = _filled(pool, held, wanted.workers, wanted.gpus)
    if not left:
        return tuple(shares)
    further = _Further(pool, wanted.gpus, left, wanted.seed, frozenset(held))
    chosen = further.chosen({pool.racks[node] for node in wanted.current if node in pool.racks})
    return None if chosen is None else (*shares, *_filled(pool, chosen, left, wanted.gpus)[0])


def best_fit(pool: Pool, wanted: Wanted) -> str | None:
    """Return the node with the fewest free GPUs that still holds one pod, so that emptier nodes stay whole.

    Of equally full nodes one that runs none of the cluster's workers comes first: it leaves them room to grow. Nodes in
    the racks of the cluster's workers come before the rest.
    """
    free = min((free for free in pool.counts if free >= wanted.gpus), default=None)
    if free is None:
        return None
    home = dict.fromkeys(sorted({pool.racks[node] for node in wanted.current if node in pool.racks}))
    racks = chain(home, (rack for rack in rotated(pool.racks_with(free, 1), wanted.seed) if rack not in home))
    nodes = (node for rack in racks for node in rotated(pool.nodes_of(free, rack), wanted.seed >> 16))
    first = next(nodes)
    return next((node for node in chain((first,), nodes) if node not in wanted.current), first)


def _filled(pool: Pool, nodes: Sequence[str], workers: int, gpus: int) -> tuple[list[Share], int]:
    """Fill nodes one after another; also the number of workers that found no room."""
    shares = []
    for node in nodes:
        if not workers:
            break
        shares.append(Share(node, min(workers, pool.free[node] // gpus)))
        workers -= shares[-1].workers
    return shares, workers


@dataclass(frozen=True, slots=True)
class _Further:
    """The choice of hosts that hold no worker of the cluster yet."""

    pool: Pool
    gpus: int
    workers: int
    seed: int
    held: frozenset[str]
    taken: Counter[tuple[int, str]] = field(init=False)
    counts: tuple[tuple[int, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Leave the hosts out that are used anyway."""
        taken = Counter((self.pool.free[node], self.pool.racks[node]) for node in self.held)
        sizes = Counter(self.pool.free[node] for node in self.held)
        counts = ((free, self.pool.counts[free] - sizes[free]) for free in sorted(self.pool.counts, reverse=True))
        object.__setattr__(self, "taken", taken)
        object.__setattr__(self, "counts", tuple(each for each in counts if each[0] >= self.gpus and each[1]))

    def chosen(self, home: set[str]) -> list[str] | None:
        """Nodes, the emptiest first, or None where there is too little room; `home` are the racks to prefer."""
        choices = tightest(self.counts, self.gpus, self.workers)
        if not choices:
            return None
        for each in chain(choices, looser(self.counts, self.gpus, self.workers, choices[0])):
            rack = self._rack_of(Counter(each), home)
            if rack is not None:
                return self._picked(Counter(each), (rack,))
        sizes = Counter(choices[0])
        return self._picked(sizes, self._racks_by_cover(sizes, home))

    def _rack_of(self, sizes: Mapping[int, int], home: set[str]) -> str | None:
        """A rack that has hosts of all these sizes."""
        for rack in sorted(home):
            if all(self._room(free, rack) >= count for free, count in sizes.items()):
                return rack
        rarest, *others = sorted((self.pool.racks_with(*size) for size in sizes.items()), key=len)
        return next(
            (rack for rack in rotated(rarest, self.seed) if rack not in home and all(rack in each for each in others)),
            None,
        )

    def _racks_by_cover(self, sizes: Mapping[int, int], home: set[str]) -> Sequence[str]:
        """Racks that have most of the sizes first: close to the fewest of them."""
        cover = Counter(sorted(home))
        for free, count in sizes.items():
            for nodes in range(1, count + 1):
                racks = self.pool.racks_with(free, nodes)
                if not racks:
                    break
                cover.update(rotated(racks, self.seed))
        return [rack for rack, _ in cover.most_common(sum(sizes.values()) + len(home))]

    def _room(self, free: int, rack: str) -> int:
        return len(self.pool.nodes_of(free, rack)) - self.taken[free, rack]

    def _picked(self, sizes: Mapping[int, int], racks: Iterable[str]) -> list[str]:
        """Nodes of these sizes, the emptiest first: from the racks, and what they lack from any."""
        left = Counter(sizes)
        nodes: list[tuple[int, str]] = []
        for rack in chain(racks, *(self.pool.racks_with(free, 1) for free in sizes)):
            for free in [free for free, count in left.items() if count]:
                open_there = (
                    node for node in rotated(self.pool.nodes_of(free, rack), self.seed >> 16) if node not in self.held
                )
                taken = dict.fromkeys(islice(open_there, left[free]))
                left[free] -= len(taken)
                nodes += ((free, node) for node in taken)
            if not left.total():
                break
        return [node for _, node in sorted(nodes, key=lambda each: -each[0])]


def rotated(items: Mapping[str, object], seed: int) -> Iterator[str]:
    """All keys, beginning somewhere."""
    start = seed % len(items) if items else 0
    return chain(islice(items, start, None), islice(items, start))


def tightest(counts: Sequence[tuple[int, int]], gpus: int, workers: int) -> list[Sizes]:
    """The fewest hosts that hold the workers, by free GPUs: equally tight choices, or none where there is no room.

    Args:
        counts: Free GPUs and how many hosts have so many, in descending order.
        gpus: Of each worker.
        workers: How many.
    """
    largest: list[int] = []
    left = workers
    for free, count in counts:
        hosts = min(count, -(-left // (free // gpus)))
        largest += [free] * hosts
        left -= hosts * (free // gpus)
        if left <= 0:
            break
    else:
        return []
    fitting = _fitting(counts, gpus, workers, tuple(largest))
    return _searched(counts, gpus, workers, fitting, None) or [fitting]


def _fitting(counts: Sequence[tuple[int, int]], gpus: int, workers: int, largest: Sizes) -> Sizes:
    """The same with the last host the smallest that will do: where to begin, and what is taken when steps run out."""
    *others, _ = largest
    left = workers - sum(free // gpus for free in others)
    used = Counter(others)
    return (*others, min(free for free, count in counts if free // gpus >= left and count > used[free]))


def looser(counts: Sequence[tuple[int, int]], gpus: int, workers: int, tight: Sizes) -> Iterator[Sizes]:
    """Further choices of as many hosts, the tightest first; `tight` and its equals are none of them."""
    if len(tight) > EXACT:
        return
    found = _searched(counts, gpus, workers, tight, len(tight) * counts[0][0])
    yield from sorted((each for each in found if sum(each) > sum(tight)), key=sum)


def _searched(
    counts: Sequence[tuple[int, int]], gpus: int, workers: int, largest: Sizes, most: int | None
) -> list[Sizes]:
    certain = tuple(sorted(largest, reverse=True))[:-EXACT]
    used = Counter(certain)
    left = [(free, count - used[free]) for free, count in reversed(counts)]
    at_most = sum(largest) - sum(certain) if most is None else most
    search = _Search([each for each in left if each[1]], gpus, at_most, fixed=most is not None)
    search.extend((), 0, len(largest) - len(certain), workers - sum(free // gpus for free in certain))
    return [(*certain, *sizes) for sizes in search.found]


@dataclass(slots=True)
class _Search:
    """Choices of so many hosts; branches that leave more over than `most` are cut.

    Attributes:
        counts: Free GPUs and how many hosts have so many, ascending.
        gpus: Of each worker.
        most: The sum of a choice; falls with each better one unless `fixed`.
    """

    counts: Sequence[tuple[int, int]]
    gpus: int
    most: int
    fixed: bool
    found: list[Sizes] = field(default_factory=list)
    steps: int = 0

    def extend(self, sizes: Sizes, at: int, hosts: int, workers: int) -> None:
        """Add `hosts` hosts from place `at` of the counts on, for `workers` workers."""
        self.steps += 1
        if not hosts and workers <= 0:
            self._take(sizes)
        elif hosts and at < len(self.counts) and not self._hopeless(sizes, at, hosts, workers):
            free, count = self.counts[at]
            for times in range(min(count, hosts), -1, -1):
                rest = workers - times * (free // self.gpus)
                self.extend((*sizes, *([free] * times)), at + 1, hosts - times, rest)

    def _hopeless(self, sizes: Sizes, at: int, hosts: int, workers: int) -> bool:
        if self.steps > MOST_STEPS or (self.fixed and len(self.found) >= MOST_CHOICES):
            return True
        if hosts * (self.counts[-1][0] // self.gpus) < workers:
            return True
        at_least = max(workers * self.gpus, hosts * self.counts[at][0])
        return sum(sizes) + at_least > self.most

    def _take(self, sizes: Sizes) -> None:
        if not self.fixed and sum(sizes) < self.most:
            self.most, self.found = sum(sizes), []
        if len(self.found) < MOST_CHOICES:
            self.found.append(sizes)
