"""Index, planner and ledger as one: a question becomes a Hint, and what it names is set aside."""

from collections.abc import Iterator, Mapping
from zlib import crc32

from webhook.placement.model import (
    MOST_HOSTS,
    Demand,
    Group,
    Hint,
    Hosts,
    NoHint,
    NoHintReason,
    Plan,
    Question,
    Recall,
    Share,
)
from webhook.placement.node_index import Kind, NodeIndex
from webhook.placement.planner import Wanted, plan
from webhook.placement.reservations import PATIENCE, Reservations


class Allocator:
    """What is free and what is promised. Not safe for threads: whoever shares it has the lock."""

    def __init__(self, patience: float = PATIENCE) -> None:
        """Know nothing; a promise lasts `patience` seconds."""
        self.index = NodeIndex(self._bound)
        self.ledger = Reservations(self.index.reserve, patience)

    def hint(self, question: Question, now: float) -> Hint:
        """The hosts to prefer at the instant `now`."""
        self.ledger.expire(now)
        match question:
            case Recall(group):
                return self._recalled(group)
            case Demand(told=told) if told and self._has_room(question):
                if question.binding:
                    self.heard(question, now)
                return Hosts(told, f"named already: {', '.join(told)}")
            case Demand():
                return self._planned(question, now)

    def _bound(self, group: Group, node: str) -> None:
        self.ledger.bound(group, node)

    def _recalled(self, group: Group) -> Hint:
        found = self.ledger.plan_of(group)
        if found is None:
            return NoHint(
                NoHintReason.GROUP_UNKNOWN, f"worker group {group.name} was not planned: its size is not known"
            )
        return self._hosts(found)

    def _planned(self, demand: Demand, now: float) -> Hint:
        if demand.binding and not demand.before:
            self.ledger.forget(demand.group)
        elif demand.binding:  # asked once more, by reinvocation or after a conflict, it finds its own place free
            self.ledger.trim(demand.group, demand.before - self.index.workers_of(demand.group))
        found = plan(self.index.pool(kind(demand)), self._wanted(demand))
        if found is None:
            return NoHint(
                NoHintReason.FULL, f"{demand.workers} workers of {demand.gpus} {demand.resource} don't all fit"
            )
        if demand.binding:
            self.ledger.promise(demand, found, now)
        return self._hosts(found)

    def _wanted(self, demand: Demand) -> Wanted:
        namespace, cluster, _ = demand.group
        current = {*self.index.hosts_of(namespace, cluster), *self.ledger.nodes_of(namespace, cluster)}
        seed = crc32(f"{namespace}/{cluster}".encode())
        return Wanted(demand.workers, demand.gpus, seed, current)

    def heard(self, demand: Demand, now: float) -> None:
        """Promise here what another replica, or this one before it was restarted, told a group.

        Args:
            demand: For workers neither bound nor ever promised the hosts that the group was told are set aside, as far
                as there is room; what is promised to more than it wants is given back.
            now: The instant.
        """
        self.ledger.expire(now)
        bound = self.index.workers_of(demand.group)
        self.ledger.trim(demand.group, demand.wanted - bound)
        settled = max(bound, self.ledger.lapsed(demand.group, demand.wanted))
        missing = demand.wanted - settled - self.ledger.open_of(demand.group)
        free = {node: self.index.free_on(node, demand.resource) for node in self.index.named(demand.told)}
        self.ledger.promise(demand, tuple(_shared(free, demand.gpus, missing)), now)

    def _has_room(self, demand: Demand) -> bool:
        """Whether the hosts that a manifest names are good: promised to the group, or free enough for it.

        An exported manifest, or one out of a backup, names hosts that were good at another time.
        """
        missing = demand.wanted - self.index.workers_of(demand.group) - self.ledger.open_of(demand.group)
        pool = self.index.pool(kind(demand))
        free = {node: pool.free.get(node, 0) for node in self.index.named(demand.told)}
        return missing <= sum(share.workers for share in _shared(free, demand.gpus, missing))

    def _hosts(self, found: Plan) -> Hosts:
        known = (self.index.nodes[share.node].host for share in found if share.node in self.index.nodes)
        names = tuple(dict.fromkeys(known))[:MOST_HOSTS]
        workers = sum(share.workers for share in found)
        return Hosts(names, f"{workers} workers on {len(names)} hosts: {', '.join(names)}")


def _shared(free: Mapping[str, int], gpus: int, workers: int) -> Iterator[Share]:
    """Workers on nodes with so many free GPUs, one node after another, as far as there is room."""
    for node, left in free.items():
        room = min(workers, left // gpus)
        if room > 0:
            workers -= room
            yield Share(node, room)


def kind(demand: Demand) -> Kind:
    """What the demand's workers have in common with others."""
    return Kind(demand.resource, demand.constraints, demand.rack)
