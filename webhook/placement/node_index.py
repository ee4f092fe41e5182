"""Index of all nodes and the extended resources of their pods, with a pool of nodes for each kind of pod.

A pod event costs constant time for each pool. A pool is built from all nodes at its first question, and evicted after
questions about `MAX_POOLS` other kinds of pods.
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
# Kinds of pods are distinct sets of selectors and tolerations: one or a few for each team. 16 pools of 5,000 nodes
# are about 25 MiB.
MAX_POOLS = 16
_EMPTY: Counter[str] = Counter()


class PoolKey(NamedTuple):
    """Properties that pods of one pool have in common."""

    resource: str
    constraints: Constraints
    rack_label: str


class NodeIndex:
    """Free extended resources of every node. Not thread-safe."""

    def __init__(self, on_bound: Callable[[Group, str], None] = lambda _group, _node: None) -> None:
        """Start empty; call `on_bound` with the group and the node of each worker or Dask scheduler that is bound."""
        self._on_bound = on_bound
        self.devices = Devices(self._replace_in_pools)
        self._nodes: dict[str, Node] = {}
        self._names_by_hostname: dict[str, str] = {}
        self._pods: dict[str, PodUsage] = {}
        self._used: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._workers: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._bound: Counter[Group] = Counter()
        self._pools: OrderedDict[PoolKey, Pool] = OrderedDict()

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Every node by name."""
        return self._nodes

    @property
    def pods(self) -> Mapping[str, PodUsage]:
        """Every bound pod with extended resources, by uid."""
        return self._pods

    def worker_nodes(self, namespace: str, cluster: str) -> Collection[str]:
        """Return the nodes with bound workers of a cluster."""
        return tuple(self._workers.get((namespace, cluster), ()))

    def bound_count(self, group: Group) -> int:
        """Return the number of bound pods of a group."""
        return self._bound[group]

    def free(self, node: str, resource: str) -> int:
        """Return the free amount of a resource on a node; 0 for an unknown node."""
        return self._free(self._nodes[node], resource) if node in self._nodes else 0

    def names(self, hostnames: Sequence[str]) -> list[str]:
        """Return the names of the nodes with these hostnames; unknown hostnames are skipped."""
        return [self._names_by_hostname[hostname] for hostname in hostnames if hostname in self._names_by_hostname]

    def pool(self, key: PoolKey) -> Pool:
        """Return the nodes that admit one kind of pod."""
        if key not in self._pools:
            self._pools[key] = Pool()
            for node in self._nodes.values():
                self._put_in_pool(node, key, self._pools[key])
            if len(self._pools) > MAX_POOLS:
                self._pools.popitem(last=False)
        self._pools.move_to_end(key)
        return self._pools[key]

    # ---- changes ----------------------------------------------------------------------------------

    def put_node(self, node: Node) -> None:
        """Add or update a node. Most updates are heartbeats, which change nothing here."""
        if self._nodes.get(node.name) != node:
            self._nodes[node.name] = node
            self._names_by_hostname[node.hostname] = node.name
            self._replace_in_pools(node.name)

    def delete_node(self, name: str) -> None:
        """Remove a node; its pods are deleted by their own events."""
        node = self._nodes.pop(name, None)
        if node:
            self._names_by_hostname.pop(node.hostname, None)
            for pool in self._pools.values():
                pool.delete(name)

    def put_pod(self, uid: str, usage: PodUsage) -> None:
        """Add a bound pod; its node and its resources never change."""
        if uid in self._pods:
            return
        self._pods[uid] = usage
        self._count_pod(usage, 1)
        if usage.group:
            self._on_bound(usage.group, usage.node)

    def delete_pod(self, uid: str) -> None:
        """Remove a pod that was deleted or has ended."""
        usage = self._pods.pop(uid, None)
        if usage:
            self._count_pod(usage, -1)

    def reserve(self, node: str, resource: str, amount: int) -> None:
        """Reserve an amount on a node, in addition to what pods use; a negative amount releases it."""
        _count(self._used[node], resource, amount)
        if not self._used[node]:
            del self._used[node]
        if node in self._nodes:
            for key, pool in self._pools.items():
                if node in pool.racks and (key.resource == resource or resource.startswith(DEVICE_CLASS)):
                    pool.put(node, pool.racks[node], self._free(self._nodes[node], key.resource))

    def _count_pod(self, usage: PodUsage, sign: int) -> None:
        group = usage.group
        if group:
            _count(self._bound, group, sign)
        if group and group.role is Role.WORKER:
            workers = self._workers[group.namespace, group.cluster]
            _count(workers, usage.node, sign)
            if not workers:
                del self._workers[group.namespace, group.cluster]
        for resource, amount in usage.amounts:
            self.reserve(usage.node, resource, sign * amount)

    def _replace_in_pools(self, name: str) -> None:
        """Update the pools after a change of a node or of its devices."""
        if name in self._nodes:
            for key, pool in self._pools.items():
                self._put_in_pool(self._nodes[name], key, pool)

    def _put_in_pool(self, node: Node, key: PoolKey, pool: Pool) -> None:
        has_resource = key.resource in node.extended or self.devices.total(node.name, key.resource)
        if has_resource and node.admits(key.constraints):
            pool.put(node.name, node.labels.get(key.rack_label, ""), self._free(node, key.resource))
        else:
            pool.delete(node.name)

    def _free(self, node: Node, resource: str) -> int:
        """Return the free amount: of the device plugin if the node has one for the resource, else of DRA devices."""
        used = self._used.get(node.name, _EMPTY)
        if allocatable := node.extended.get(resource, 0):
            return allocatable - used[resource]
        unclaimed = self.devices.total(node.name, resource) - self.devices.claimed(node.name, resource)
        return unclaimed - used[resource] - used[self.devices.implicit_name(resource)]


def _count(counter: Counter[Key], key: Key, amount: int) -> None:
    """Add an amount to a count, and remove a count of zero."""
    counter[key] += amount
    if not counter[key]:
        del counter[key]
