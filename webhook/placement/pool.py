"""The nodes that admit one kind of pod, grouped by free GPUs and rack, so that a plan need not scan all nodes."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Names: TypeAlias = dict[str, None]
"""An ordered set of names."""


@dataclass(slots=True)
class Pool:
    """Nodes that admit one kind of pod. Every change takes constant time.

    Attributes:
        racks: Rack of each node, full nodes included; "" for a node without the rack label.
        free: Free GPUs of each node that has any.
        counts: Number of nodes for each number of free GPUs.
    """

    racks: dict[str, str] = field(default_factory=dict)
    free: dict[str, int] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    _nodes: defaultdict[tuple[int, str], Names] = field(default_factory=lambda: defaultdict(dict))
    _racks: defaultdict[tuple[int, int], Names] = field(default_factory=lambda: defaultdict(dict))

    def nodes_with(self, free: int, rack: str) -> Mapping[str, None]:
        """Return the nodes of a rack with exactly this number of free GPUs."""
        return self._nodes.get((free, rack), {})

    def racks_with(self, free: int, nodes: int) -> Mapping[str, None]:
        """Return the racks that have at least `nodes` nodes with exactly `free` free GPUs."""
        return self._racks.get((free, nodes), {})

    def put(self, node: str, rack: str, free: int) -> None:
        """Add or update a node; a `free` below one means full."""
        if self.racks.get(node) == rack and self.free.get(node, 0) == max(free, 0):
            return
        self.delete(node)
        self.racks[node] = rack
        if free > 0:
            self.free[node] = free
            self.counts[free] = self.counts.get(free, 0) + 1
            nodes = self._nodes[free, rack]
            nodes[node] = None
            self._racks[free, len(nodes)][rack] = None

    def delete(self, node: str) -> None:
        """Remove a node that was deleted or no longer admits the pods."""
        rack, free = self.racks.pop(node, None), self.free.pop(node, None)
        if rack is None or free is None:
            return
        nodes = self._nodes[free, rack]
        del self._racks[free, len(nodes)][rack], nodes[node]
        self.counts[free] -= 1
        if not self.counts[free]:
            del self.counts[free]
