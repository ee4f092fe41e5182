"""Nodes and racks that a cluster uses, and the minimum possible number."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from webhook.placement.model import Node
from webhook.status.gpus import GpuInventory, PodRequest
from webhook.status.model import DomainUsage

ZONE = "topology.kubernetes.io/zone"

Scheduled: TypeAlias = tuple[str, PodRequest]
"""Node name and request of a scheduled pod."""


def minimum_domains(capacities: Counter[int], workers: int) -> int | None:
    """Return the minimum number of domains that hold equal workers; None if all domains together are too small.

    The domains with the largest capacity give an exact answer: no `k` domains hold more than the `k` largest.

    Args:
        capacities: Capacity in workers to the number of domains with that capacity.
        workers: Number of workers.
    """
    domains, remaining = 0, workers
    for capacity in sorted((capacity for capacity, count in capacities.items() if capacity > 0 < count), reverse=True):
        count = min(capacities[capacity], -(-remaining // capacity))
        domains, remaining = domains + count, remaining - count * capacity
        if remaining <= 0:
            return domains
    return domains if remaining <= 0 else None


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """All nodes, their GPUs, and the GPUs that pods and ResourceClaims hold.

    Attributes:
        nodes: Node name to node.
        allocatable: Node name to resource to allocatable devices.
        allocated: Node name to resource to allocated devices.
    """

    nodes: Mapping[str, Node]
    allocatable: Mapping[str, Mapping[str, int]]
    allocated: Mapping[str, Counter[str]]
    _capacities: dict[PodRequest, Mapping[str, int]] = field(default_factory=dict)

    def domains(self, workers: Sequence[Scheduled], domain_of: Callable[[str], str]) -> DomainUsage:
        """Return the domains that workers use, and the minimum while all other pods stay where they are.

        If requests differ, each resource alone gives a lower bound. Without GPUs the minimum is unknown.

        Args:
            workers: The scheduled workers.
            domain_of: Function that returns the domain of a node, or "".
        """
        placed = [(node, request) for node, request in workers if node in self.nodes]
        used = {domain_of(node) for node, _ in placed}
        requests = {request for _, request in placed}
        names = tuple(sorted(used - {""}))
        if not placed or "" in used or not all(request.devices for request in requests):
            return DomainUsage(used=names)
        if len(requests) == 1:
            return DomainUsage(used=names, minimum=self._minimum(placed, domain_of))
        devices: dict[str, list[Scheduled]] = defaultdict(list)
        for node, request in placed:
            for resource, count in request.devices:
                devices[resource] += [(node, PodRequest(((resource, 1),)))] * count
        bounds = [self._minimum(scheduled, domain_of) or 0 for scheduled in devices.values()]
        return DomainUsage(used=names, minimum=max(bounds) or None, exact=False)

    def _minimum(self, workers: Sequence[Scheduled], domain_of: Callable[[str], str]) -> int | None:
        """Return the minimum for workers with equal requests."""
        request, own = workers[0][1], Counter(node for node, _ in workers)
        domains: Counter[str] = Counter()
        for node, capacity in self._free_capacities(request).items():
            domains[domain_of(node)] += self._capacity(node, request, own[node]) if node in own else capacity
        del domains[""]
        return minimum_domains(Counter(domains.values()), len(workers))

    def _free_capacities(self, request: PodRequest) -> Mapping[str, int]:
        """Return how many more workers each node takes; cached, because most clusters have the same request."""
        if request not in self._capacities:
            self._capacities[request] = {node: self._capacity(node, request, 0) for node in self.nodes}
        return self._capacities[request]

    def _capacity(self, name: str, request: PodRequest, own: int) -> int:
        """Return how many workers a node takes, including `own` workers that run there."""
        node, allocated = self.nodes[name], self.allocated[name]
        if not node.schedulable or not set(request.node_selector) <= set(node.labels.items()):
            return own
        allocatable = self.allocatable[name]
        free = min((allocatable.get(resource, 0) - allocated[resource]) // count for resource, count in request.devices)
        return own + max(free, 0)


def node_usage(nodes: Sequence[Node], pods: Iterable[Scheduled], inventory: GpuInventory) -> NodeUsage:
    """Return the usage of nodes by their pods and by ResourceClaims."""
    allocated = {node.name: Counter(inventory.allocated(node)) for node in nodes}
    for name, request in pods:
        if name in allocated:
            allocated[name].update(dict(request.devices))
            allocated[name].subtract(dict(request.claimed))  # counted by `inventory.allocated`
    allocatable = {node.name: inventory.allocatable(node) for node in nodes}
    return NodeUsage({node.name: node for node in nodes}, allocatable, allocated)


def rack_key(keys: Iterable[str], nodes: Iterable[Node]) -> str:
    """Return the node label of a rack: the first of `keys` that a node has, else the zone label, else ""."""
    labels = {label for node in nodes for label in node.labels}
    return next((key for key in (*keys, ZONE) if key in labels), "")
