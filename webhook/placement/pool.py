"""The nodes that take one kind of worker, by free GPUs and rack: what a plan looks at instead of all nodes."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Names: TypeAlias = dict[str, None]
"""An ordered set of names."""


@dataclass(slots=True)
class Pool:
    """Nodes with at least one free GPU. Every change takes constant time.

    Attributes:
        racks: The rack of each node that takes such a worker, also of full ones; "" where it has no such label.
        free: Free GPUs of each node that has any.
        counts: How many nodes have so many free GPUs.
    """

    racks: dict[str, str] = field(default_factory=dict)
    free: dict[str, int] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    _nodes: defaultdict[tuple[int, str], Names] = field(default_factory=lambda: defaultdict(dict))
    _racks: defaultdict[tuple[int, int], Names] = field(default_factory=lambda: defaultdict(dict))

    def nodes_of(self, free: int, rack: str) -> Mapping[str, None]:
        """The nodes of a rack with exactly so many free GPUs."""
        return self._nodes.get((free, rack), {})

    def racks_with(self, free: int, nodes: int) -> Mapping[str, None]:
        """The racks with at least so many nodes of exactly so many free GPUs."""
        return self._racks.get((free, nodes), {})

    def put(self, node: str, rack: str, free: int) -> None:
        """The node takes such workers, stands in that rack and has so many free GPUs; less than one is full."""
        if self.racks.get(node) == rack and self.free.get(node, 0) == max(free, 0):
            return
        self.drop(node)
        self.racks[node] = rack
        if free > 0:
            self.free[node] = free
            self.counts[free] = self.counts.get(free, 0) + 1
            nodes = self._nodes[free, rack]
            nodes[node] = None
            self._racks[free, len(nodes)][rack] = None

    def drop(self, node: str) -> None:
        """The node is gone, or takes no such worker any more."""
        rack, free = self.racks.pop(node, None), self.free.pop(node, None)
        if rack is None or free is None:
            return
        nodes = self._nodes[free, rack]
        del self._racks[free, len(nodes)][rack], nodes[node]
        self.counts[free] -= 1
        if not self.counts[free]:
            del self.counts[free]
