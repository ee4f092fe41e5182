"""Allocator of nodes: plans the pods of a question, reserves the plan and returns it as a hint."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from zlib import crc32

from webhook.placement.model import (
    MAX_HOSTNAMES,
    Demand,
    Group,
    Hint,
    Hints,
    NewPod,
    NoHint,
    NoHintReason,
    Plan,
    PreferredNodes,
    Question,
    Questions,
    Share,
)
from webhook.placement.node_index import NodeIndex, PoolKey
from webhook.placement.planner import PlacementRequest, best_fit, plan
from webhook.placement.reservations import RESERVATION_SECONDS, Reservations
from webhook.workloads.pod_templates import Role

# Group of the temporary reservation for a dry run's workers, while the Dask scheduler of the same object is placed.
_DRY_RUN = Group("", "", "")


class Allocator:
    """Free and reserved GPUs of all nodes, and the sizes of worker groups. Not thread-safe."""

    def __init__(self, lifetime: float = RESERVATION_SECONDS) -> None:
        """Start empty; a reservation expires after `lifetime` seconds."""
        self.index = NodeIndex(self._settle)
        self.reservations = Reservations(self.index.reserve, lifetime)
        self._sizes: dict[Group, int] = {}

    def hints(self, questions: Questions, now: float) -> Hints:
        """Return the nodes to prefer at the time `now`: first for the workers, then for the Dask scheduler."""
        self.reservations.expire(now)
        worker = self._hint(questions.worker, now)
        scheduler = self._hint(questions.scheduler, now)
        self.reservations.forget(_DRY_RUN)
        return Hints(worker, scheduler)

    # ---- stored objects ---------------------------------------------------------------------------

    def set_size(self, group: Group, size: int) -> None:
        """Set the number of pods that a stored group wants."""
        self._sizes[group] = size

    def delete(self, group: Group) -> None:
        """Remove a group and its reservation."""
        self._sizes.pop(group, None)
        self.reservations.forget(group)

    def reserve_stored(self, demand: Demand, now: float) -> None:
        """Reserve the nodes in the hint of a stored object, which another replica wrote, or this one before a restart.

        Pods that are bound or had a reservation before get none. Excess reservations are released.

        Args:
            demand: All pods of the group. A group that outgrew its nodes gets a new plan.
            now: Current time.
        """
        self.reservations.expire(now)
        self.reservations.trim(demand.group, demand.replicas - self.index.bound_count(demand.group))
        missing = self._missing(demand.group, demand.replicas)
        if missing <= 0:
            return
        if demand.outgrown(demand.replicas):
            shares = self._plan(replace(demand, workers=missing)) or ()
        else:
            free = {node: self.index.free(node, demand.resource) for node in self.index.names(demand.hostnames)}
            shares = tuple(_fill(free, demand.gpus, missing))
        self.reservations.add(demand, shares, now)

    def _settle(self, group: Group, node: str) -> None:
        self.reservations.settle(group, node)

    def _missing(self, group: Group, size: int) -> int:
        """Return the number of a group's pods that are not bound and never had a reservation."""
        settled = max(self.index.bound_count(group), self.reservations.expired_count(group, size))
        return size - settled - self.reservations.unbound_count(group)

    # ---- questions --------------------------------------------------------------------------------

    def _hint(self, question: Question | NoHint, now: float) -> Hint:
        match question:
            case NoHint():
                return question
            case NewPod(demand):
                return self._hint_for_pod(demand, now)
            case Demand(hostnames=hostnames) if hostnames and self._has_room(question):
                if question.stored:
                    self.reserve_stored(question, now)
                names = ", ".join(hostnames)
                return PreferredNodes(hostnames, question.replicas, f"already in the manifest: {names}")
            case Demand():
                return self._hint_for_group(question, now)

    def _hint_for_pod(self, demand: Demand, now: float) -> Hint:
        """Return nodes for the missing pods of a new pod's group, unless the pod names nodes for all of them."""
        group = demand.group
        size = 1 if group.role is Role.SCHEDULER else self._sizes.get(group)
        if demand.hostnames and (size is None or not demand.outgrown(size)):
            return NoHint(NoHintReason.NO_WORKERS_ADDED, "the nodes in the pod were planned for the group's size")
        missing = self._missing(group, size or 0)
        if size and missing > 0:
            hint = self._plan_and_reserve(replace(demand, workers=missing, replicas_before=size - missing), now)
            if isinstance(hint, NoHint) or not demand.stored:
                return hint
        if reserved := self.reservations.plan(group):
            return self._preferred_nodes(group, reserved, size or demand.replicas)
        if size is None:
            return NoHint(
                NoHintReason.GROUP_UNKNOWN, f"worker group {group.name} is not in the cache: its size is unknown"
            )
        return NoHint(NoHintReason.NO_WORKERS_ADDED, f"all {size} pods of the group are bound or had a reservation")

    def _hint_for_group(self, demand: Demand, now: float) -> Hint:
        """Release what an earlier request for the same pods reserved, for example before a conflict, and plan."""
        if demand.stored and not demand.replicas_before:
            self.reservations.forget(demand.group)
        elif demand.stored:
            self.reservations.trim(demand.group, demand.replicas_before - self.index.bound_count(demand.group))
        return self._plan_and_reserve(demand, now)

    def _plan_and_reserve(self, demand: Demand, now: float) -> Hint:
        shares = self._plan(demand)
        if shares is None:
            pods = _describe(demand.group, demand.workers)
            return NoHint(
                NoHintReason.FULL, f"not enough free GPUs for {pods} with {demand.gpus} {demand.resource} each"
            )
        self.reservations.add(demand if demand.stored else replace(demand, group=_DRY_RUN), shares, now)
        return self._preferred_nodes(demand.group, shares, demand.replicas)

    def _plan(self, demand: Demand) -> Plan | None:
        pool, request = self.index.pool(pool_key(demand)), self._request(demand)
        if demand.group.role is Role.WORKER:
            return plan(pool, request)
        node = best_fit(pool, request)
        return (Share(node, 1),) if node else None

    def _request(self, demand: Demand) -> PlacementRequest:
        cluster = demand.group.namespace, demand.group.cluster
        nodes = {*self.index.worker_nodes(*cluster), *self.reservations.worker_nodes(*cluster)}
        return PlacementRequest(demand.workers, demand.gpus, crc32("/".join(cluster).encode()), nodes)

    def _has_room(self, demand: Demand) -> bool:
        """Return whether the nodes in a manifest are reserved for the group, or have enough free GPUs for it.

        A manifest from an export or a backup may name nodes that are full by now.
        """
        group = demand.group
        missing = demand.replicas - self.index.bound_count(group) - self.reservations.unbound_count(group)
        pool = self.index.pool(pool_key(demand))
        free = {node: pool.free.get(node, 0) for node in self.index.names(demand.hostnames)}
        return missing <= sum(share.workers for share in _fill(free, demand.gpus, missing))

    def _preferred_nodes(self, group: Group, shares: Plan, size: int) -> PreferredNodes:
        nodes = (self.index.nodes[share.node] for share in shares if share.node in self.index.nodes)
        hostnames = tuple(dict.fromkeys(node.hostname for node in nodes))[:MAX_HOSTNAMES]
        pods = _describe(group, sum(share.workers for share in shares))
        return PreferredNodes(hostnames, size, f"{pods} on {_plural(len(hostnames), 'node')}: {', '.join(hostnames)}")


def _describe(group: Group, workers: int) -> str:
    return "the Dask scheduler" if group.role is Role.SCHEDULER else _plural(workers, "worker")


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _fill(free: Mapping[str, int], gpus: int, workers: int) -> Iterator[Share]:
    """Yield shares that fill one node after another, as long as workers and free GPUs are left."""
    for node, free_gpus in free.items():
        share = min(workers, free_gpus // gpus)
        if share > 0:
            workers -= share
            yield Share(node, share)


def pool_key(demand: Demand) -> PoolKey:
    """Return the key of the pool for a demand's pods."""
    return PoolKey(demand.resource, demand.constraints, demand.rack_label)
