"""Allocator of hosts: node index, planner and reservations in one.

A question becomes a Hint, and its plan is reserved.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from zlib import crc32

from webhook.placement.model import (
    MOST_HOSTS,
    Arrival,
    Demand,
    Group,
    Hint,
    Hints,
    Hosts,
    NoHint,
    NoHintReason,
    Plan,
    Question,
    Questions,
    Share,
)
from webhook.placement.node_index import Kind, NodeIndex
from webhook.placement.planner import Wanted, best_fit, plan
from webhook.placement.reservations import PATIENCE, Reservations
from webhook.workloads.pod_templates import Role

# Holds the plan of a dry run's workers while the Dask scheduler of the same object is placed.
_DRY_RUN = Group("", "", "")


class Allocator:
    """Free and reserved GPUs of all nodes, and the sizes of worker groups. Not thread-safe: callers hold a lock."""

    def __init__(self, patience: float = PATIENCE) -> None:
        """Start empty; a reservation expires after `patience` seconds."""
        self.index = NodeIndex(self._bound)
        self.ledger = Reservations(self.index.reserve, patience)
        self._sizes: dict[Group, int] = {}

    def hints(self, questions: Questions, now: float) -> Hints:
        """Return the hosts to prefer at the instant `now`: first for the workers, then for the Dask scheduler."""
        self.ledger.expire(now)
        worker = self._answer(questions.worker, now)
        scheduler = self._answer(questions.scheduler, now)
        self.ledger.forget(_DRY_RUN)
        return Hints(worker, scheduler)

    # ---- stored objects ---------------------------------------------------------------------------

    def sized(self, group: Group, size: int) -> None:
        """Set how many workers a stored worker group wants."""
        self._sizes[group] = size

    def gone(self, group: Group) -> None:
        """Remove a group and its reservation."""
        self._sizes.pop(group, None)
        self.ledger.forget(group)

    def heard(self, demand: Demand, now: float) -> None:
        """Reserve what a stored object names hosts for: another replica planned it, or this one before a restart.

        Only pods that are neither bound nor ever had a reservation get one, as far as there is room. Excess
        reservations are released.

        Args:
            demand: All pods of the group. Its hosts are reserved; where the group outgrew them, a new plan is.
            now: The instant.
        """
        self.ledger.expire(now)
        self.ledger.trim(demand.group, demand.wanted - self.index.bound_of(demand.group))
        missing = self._missing(demand.group, demand.wanted)
        if missing <= 0:
            return
        if demand.outgrown(demand.wanted):
            found = self._plan(replace(demand, workers=missing)) or ()
        else:
            free = {node: self.index.free_on(node, demand.resource) for node in self.index.named(demand.told)}
            found = tuple(_shared(free, demand.gpus, missing))
        self.ledger.promise(demand, found, now)

    def _missing(self, group: Group, size: int) -> int:
        """Return how many pods of a group are not bound and have no reservation, nor ever had."""
        settled = max(self.index.bound_of(group), self.ledger.lapsed(group, size))
        return size - settled - self.ledger.open_of(group)

    def _bound(self, group: Group, node: str) -> None:
        self.ledger.bound(group, node)

    # ---- questions --------------------------------------------------------------------------------

    def _answer(self, question: Question | NoHint, now: float) -> Hint:
        match question:
            case NoHint():
                return question
            case Arrival(demand):
                return self._arrived(demand, now)
            case Demand(told=told) if told and self._has_room(question):
                if question.binding:
                    self.heard(question, now)
                return Hosts(told, question.wanted, f"named already: {', '.join(told)}")
            case Demand():
                return self._planned(question, now)

    def _arrived(self, demand: Demand, now: float) -> Hint:
        """Return hosts for the missing pods of a new pod's group, unless the pod names hosts for all of them."""
        group = demand.group
        size = 1 if group.role is Role.SCHEDULER else self._sizes.get(group)
        if demand.told and (size is None or not demand.outgrown(size)):
            return NoHint(NoHintReason.NO_WORKERS_ADDED, "its group has not outgrown them")
        missing = self._missing(group, size or 0)
        if size and missing > 0:
            hint = self._placed(replace(demand, workers=missing, before=size - missing), now)
            if isinstance(hint, NoHint) or not demand.binding:
                return hint
        found = self.ledger.plan_of(group)
        if found:
            return self._hosts(group, found, size or demand.wanted)
        if size is None:
            return NoHint(
                NoHintReason.GROUP_UNKNOWN, f"worker group {group.name} is not in the cache: its size is not known"
            )
        return NoHint(NoHintReason.NO_WORKERS_ADDED, f"its group has no pods without a node beyond the {size} it wants")

    def _planned(self, demand: Demand, now: float) -> Hint:
        if demand.binding and not demand.before:
            self.ledger.forget(demand.group)
        elif demand.binding:  # asked once more, by reinvocation or after a conflict, it finds its own place free
            self.ledger.trim(demand.group, demand.before - self.index.bound_of(demand.group))
        return self._placed(demand, now)

    def _placed(self, demand: Demand, now: float) -> Hint:
        """Plan, and reserve the plan."""
        found = self._plan(demand)
        if found is None:
            pods = "the Dask scheduler" if demand.group.role is Role.SCHEDULER else f"{demand.workers} workers"
            return NoHint(NoHintReason.FULL, f"no room for {pods} of {demand.gpus} {demand.resource}")
        self.ledger.promise(demand if demand.binding else replace(demand, group=_DRY_RUN), found, now)
        return self._hosts(demand.group, found, demand.wanted)

    def _plan(self, demand: Demand) -> Plan | None:
        pool, wanted = self.index.pool(kind(demand)), self._wanted(demand)
        if demand.group.role is Role.WORKER:
            return plan(pool, wanted)
        node = best_fit(pool, wanted)
        return (Share(node, 1),) if node else None

    def _wanted(self, demand: Demand) -> Wanted:
        namespace, cluster = demand.group.namespace, demand.group.cluster
        current = {*self.index.hosts_of(namespace, cluster), *self.ledger.nodes_of(namespace, cluster)}
        seed = crc32(f"{namespace}/{cluster}".encode())
        return Wanted(demand.workers, demand.gpus, seed, current)

    def _has_room(self, demand: Demand) -> bool:
        """Return whether the hosts that a manifest names are reserved for the group, or free enough for it.

        An exported manifest, or one out of a backup, names hosts that were good at another time.
        """
        missing = demand.wanted - self.index.bound_of(demand.group) - self.ledger.open_of(demand.group)
        pool = self.index.pool(kind(demand))
        free = {node: pool.free.get(node, 0) for node in self.index.named(demand.told)}
        return missing <= sum(share.workers for share in _shared(free, demand.gpus, missing))

    def _hosts(self, group: Group, found: Plan, size: int) -> Hosts:
        known = (self.index.nodes[share.node].host for share in found if share.node in self.index.nodes)
        names = tuple(dict.fromkeys(known))[:MOST_HOSTS]
        workers = sum(share.workers for share in found)
        pods = "the Dask scheduler" if group.role is Role.SCHEDULER else f"{workers} workers"
        return Hosts(names, size, f"{pods} on {len(names)} hosts: {', '.join(names)}")


def _shared(free: Mapping[str, int], gpus: int, workers: int) -> Iterator[Share]:
    """Yield workers on nodes with so many free GPUs, one node after another, as far as there is room."""
    for node, left in free.items():
        room = min(workers, left // gpus)
        if room > 0:
            workers -= room
            yield Share(node, room)


def kind(demand: Demand) -> Kind:
    """Return what the demand's pods have in common with others that take the same nodes."""
    return Kind(demand.resource, demand.constraints, demand.rack)
