"""The nodes as a whole: which devices they have, who holds them, where there is room."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from webhook.status.minimum_nodes import fewest
from webhook.status.model import Spread
from webhook.status.pods import Ask, Devices, node_of
from webhook.status.snapshot import name
from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    texts,
)

ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class Room:
    """One node.

    Attributes:
        labels: Its labels.
        devices: Resource to how many its pods can be given.
        closed: Whether it takes no new pods.
    """

    labels: Mapping[str, str]
    devices: Mapping[str, int]
    closed: bool


@dataclass(frozen=True, slots=True)
class Floor:
    """All nodes and what stands on them. Built by `floor`.

    Attributes:
        rooms: By node.
        taken: By node: resource to devices held.
    """

    rooms: Mapping[str, Room]
    taken: Mapping[str, Counter[str]]
    _base: dict[Ask, Mapping[str, int]] = field(default_factory=dict)

    def spread(self, asks: Sequence[tuple[str, Ask]], place_of: Callable[[str], str]) -> Spread:
        """How workers are spread, and the fewest places that would do with everybody else where they are.

        Workers that ask for different things are counted by their devices alone: no fewer places will do, though
        more may be needed. Without devices there is nothing to judge by.

        Args:
            asks: Node and ask of each worker that stands on one.
            place_of: Node to place; empty where the node is in none.
        """
        placed = [(node, ask) for node, ask in asks if node in self.rooms]
        used = tuple(sorted({place_of(node) for node, _ in placed} - {""}))
        kinds = {ask for _, ask in placed}
        if not placed or not all(ask.devices for ask in kinds) or not all(place_of(node) for node, _ in placed):
            return Spread(used=used)
        if len(kinds) == 1:
            return Spread(used=used, fewest=self._fewest(placed, place_of))
        singly = [
            (node, Ask(((resource, 1),))) for node, ask in placed for resource, n in ask.devices for _ in range(n)
        ]
        bounds = [self._fewest(list(one), place_of) for one in _by_ask(singly)]
        return Spread(used=used, fewest=max((bound or 0 for bound in bounds), default=0) or None, exact=False)

    def _fewest(self, placed: Sequence[tuple[str, Ask]], place_of: Callable[[str], str]) -> int | None:
        ask = placed[0][1]
        own = Counter(node for node, _ in placed)
        base = self._rooms_for(ask)
        changed = {node: self._room(node, ask, count) - base[node] for node, count in own.items()}
        places: Counter[str] = Counter()
        for node, room in base.items():
            places[place_of(node)] += room + changed.get(node, 0)
        del places[""]
        return fewest(Counter(places.values()), len(placed))

    def _rooms_for(self, ask: Ask) -> Mapping[str, int]:
        """How many more workers each node takes; the same for all clusters that ask alike, so it is kept."""
        if ask not in self._base:
            self._base[ask] = {node: self._room(node, ask, 0) for node in self.rooms}
        return self._base[ask]

    def _room(self, node: str, ask: Ask, own: int) -> int:
        """How many workers a node takes, `own` of which stand there already."""
        room = self.rooms[node]
        if room.closed or not set(ask.labels) <= set(room.labels.items()):
            return own
        taken = self.taken.get(node, Counter())
        return max(own, min((room.devices.get(key, 0) - taken[key]) // n + own for key, n in ask.devices))


def floor(nodes: Sequence[Unstructured], standing: Iterable[tuple[Unstructured, Ask]], devices: Devices) -> Floor:
    """Return the floor of raw Nodes, of the pods that are bound to them, and of the claims on their devices."""
    taken: dict[str, Counter[str]] = defaultdict(Counter)
    for pod, ask in standing:
        taken[node_of(pod)].update(dict(ask.devices))
        taken[node_of(pod)].subtract(dict(ask.claimed))
    for node in nodes:
        taken[name(node)].update(devices.held(node))
    return Floor({name(node): _room_of(node, devices) for node in nodes}, taken)


def rack_key(wanted: Iterable[str], rooms: Iterable[Room]) -> str:
    """The node label that racks are told by: the first wanted one that a node has, else the zone's, else none."""
    held = {key for room in rooms for key in room.labels}
    return next((key for key in (*wanted, ZONE) if key in held), "")


def _room_of(node: Unstructured, devices: Devices) -> Room:
    ready = {item.get("type"): item.get("status") for item in sequence(node, "status", "conditions")}.get("Ready")
    closed = mapping(node, "spec").get("unschedulable") is True or ready in {"False", "Unknown"}
    return Room(texts(node, "metadata", "labels"), devices.allocatable(node), closed)


def _by_ask(asks: Sequence[tuple[str, Ask]]) -> Iterable[Sequence[tuple[str, Ask]]]:
    groups: dict[Ask, list[tuple[str, Ask]]] = defaultdict(list)
    for node, ask in asks:
        groups[ask].append((node, ask))
    return groups.values()
