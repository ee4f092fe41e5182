"""All nodes and the pods that hold something on them; the pools of each kind of worker, kept up to date.

A change of a pod takes constant time for each pool. A pool is made by a look at all nodes when a kind of worker is
first asked about, and given up when `MOST_POOLS` others were asked about since.
"""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeVar

from webhook.placement.constraints import Constraints
from webhook.placement.dra import Devices
from webhook.placement.model import Group, Node, PodUsage
from webhook.placement.objects import DEVICE_CLASS
from webhook.placement.pool import Pool
from webhook.workloads.pod_templates import Role

Key = TypeVar("Key")
# Kinds of workers are distinct sets of selectors and tolerations: one or a few for each team. 16 pools of 5,000 nodes
# are about 25 MiB.
MOST_POOLS = 16


class Kind(NamedTuple):
    """What workers have in common that can share a pool."""

    resource: str
    constraints: Constraints
    rack: str


class NodeIndex:
    """Free capacity of every node. Not safe for threads: whoever shares it has the lock."""

    def __init__(self, on_bound: Callable[[Group, str], None] = lambda _group, _node: None) -> None:
        """Start empty; call `on_bound` with the group and the node of each worker or Dask scheduler that is bound."""
        self._on_bound = on_bound
        self.devices = Devices(self._reclassified)
        self._nodes: dict[str, Node] = {}
        self._by_host: dict[str, str] = {}
        self._pods: dict[str, PodUsage] = {}
        self._taken: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._workers: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._groups: Counter[Group] = Counter()
        self._pools: OrderedDict[Kind, Pool] = OrderedDict()

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Every node by name."""
        return self._nodes

    @property
    def pods(self) -> Mapping[str, PodUsage]:
        """Every pod that holds something, by uid."""
        return self._pods

    def hosts_of(self, namespace: str, cluster: str) -> Collection[str]:
        """The nodes with bound workers of a cluster."""
        return tuple(self._workers.get((namespace, cluster), ()))

    def bound_of(self, group: Group) -> int:
        """Return how many pods of a group are bound."""
        return self._groups[group]

    def free_on(self, name: str, resource: str) -> int:
        """What is free of a resource on a node, whoever it takes; 0 where the node is not known."""
        node = self._nodes.get(name)
        return self._free(node, resource) if node else 0

    def named(self, hosts: Sequence[str]) -> list[str]:
        """The nodes of host names, unknown ones left out."""
        return [self._by_host[host] for host in hosts if host in self._by_host]

    def pool(self, kind: Kind) -> Pool:
        """The nodes that take a kind of worker."""
        if kind not in self._pools:
            self._pools[kind] = Pool()
            for node in self._nodes.values():
                self._place(node, kind, self._pools[kind])
            if len(self._pools) > MOST_POOLS:
                self._pools.popitem(last=False)
        self._pools.move_to_end(kind)
        return self._pools[kind]

    # ---- changes ----------------------------------------------------------------------------------

    def put_node(self, node: Node) -> None:
        """A node is there, or has changed; most changes are heartbeats and change nothing here."""
        if self._nodes.get(node.name) != node:
            self._nodes[node.name] = node
            self._by_host[node.host] = node.name
            for kind, pool in self._pools.items():
                self._place(node, kind, pool)

    def drop_node(self, name: str) -> None:
        """A node is gone; its pods follow by themselves."""
        node = self._nodes.pop(name, None)
        if node:
            self._by_host.pop(node.host, None)
            for pool in self._pools.values():
                pool.drop(name)

    def put_pod(self, uid: str, held: PodUsage) -> None:
        """A pod holds something. What it holds and where never changes: a pod is bound once."""
        if uid in self._pods:
            return
        self._pods[uid] = held
        self._take(held, 1)
        if held.group:
            self._on_bound(held.group, held.node)

    def drop_pod(self, uid: str) -> None:
        """A pod is gone or has ended."""
        held = self._pods.pop(uid, None)
        if held:
            self._take(held, -1)

    def reserve(self, node: str, resource: str, amount: int) -> None:
        """Set so much aside, on top of what pods hold; a negative amount gives it back."""
        _count(self._taken[node], resource, amount)
        if not self._taken[node]:
            del self._taken[node]
        self._refresh(node, resource)

    def _take(self, held: PodUsage, sign: int) -> None:
        if held.group:
            _count(self._groups, held.group, sign)
        if held.group and held.group.role is Role.WORKER:
            workers = self._workers[held.group.namespace, held.group.cluster]
            _count(workers, held.node, sign)
            if not workers:
                del self._workers[held.group.namespace, held.group.cluster]
        for resource, amount in held.asks:
            self.reserve(held.node, resource, sign * amount)

    def _refresh(self, name: str, resource: str) -> None:
        node = self._nodes.get(name)
        for kind, pool in self._pools.items() if node else ():
            if node and name in pool.racks and (kind.resource == resource or resource.startswith(DEVICE_CLASS)):
                pool.put(name, pool.racks[name], self._free(node, kind.resource))

    def _reclassified(self, name: str) -> None:
        """Update the pools after a change of a node's devices."""
        node = self._nodes.get(name)
        for kind, pool in self._pools.items() if node else ():
            if node:
                self._place(node, kind, pool)

    def _place(self, node: Node, kind: Kind, pool: Pool) -> None:
        offers = kind.resource in node.extended or self.devices.total(node.name, kind.resource)
        if offers and node.takes(kind.constraints):
            rack = node.labels.get(kind.rack, "")
            pool.put(node.name, rack, self._free(node, kind.resource))
        else:
            pool.drop(node.name)

    def _free(self, node: Node, resource: str) -> int:
        """Return the free amount: of the device plugin's, where the node has any, else of devices (see `dra`)."""
        taken = self._taken.get(node.name, _NOTHING)
        if allocatable := node.extended.get(resource, 0):
            return allocatable - taken[resource]
        implicitly = taken[self.devices.implicit_name(resource)]
        return (
            self.devices.total(node.name, resource)
            - self.devices.held(node.name, resource)
            - (taken[resource] + implicitly)
        )


_NOTHING: Counter[str] = Counter()


def _count(counter: Counter[Key], key: Key, amount: int) -> None:
    """Count up or down; what is down to nothing is gone."""
    counter[key] += amount
    if not counter[key]:
        del counter[key]
