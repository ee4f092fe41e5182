"""Capacity as an API server has it: nodes and the pods that hold accelerators, each followed by a thread.

Dask's clusters and worker groups are followed too, for the hosts that other replicas told them; without the right to
read those all goes on, and replicas know less of each other.

A question is answered from memory, under a lock that an event holds for microseconds. Nobody waits for this source: as
long as it has not listed everything, may not, or has not been heard of for too long, there is no hint and a reason.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from kubernetes.client import ApiClient
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from webhook.kube.capacity.peer_reservations import Groups, Hinted, collections
from webhook.kube.client import ApiReader
from webhook.kube.informer import (
    SILENCE,
    Collection,
    ForbiddenError,
    Informer,
)
from webhook.placement import objects
from webhook.placement.allocator import Allocator
from webhook.placement.model import (
    Demand,
    Group,
    Hint,
    NoHint,
    NoHintReason,
    Question,
)
from webhook.placement.node_index import NodeIndex
from webhook.workloads.unstructured import Unstructured, text

_log = logging.getLogger(__name__)

# Seconds without a word, from the watch as it should be, and from one that broke off: that it could not be resumed for
# this long is no hiccup.
SILENT = SILENCE
BROKEN = 10.0

# Pods that are bound and have not ended: no others hold anything.
HOLDING = ",".join(("spec.nodeName!=", *(f"status.phase!={phase}" for phase in objects.ENDED)))


class Watched:
    """The free capacity of a cluster."""

    def __init__(
        self,
        client: ApiClient,
        hinted: Hinted | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        silent: float = SILENT,
    ) -> None:
        """Nothing is asked before `start`.

        Args:
            client: Used for every call.
            hinted: Where hosts in stored objects count; None for every namespace.
            clock: Seconds, never going back.
            silent: Seconds after which what was not heard of is stale.
        """
        reader, self._clock, self._silent = ApiReader(client), clock, silent
        self._hinted = hinted
        self._lock = threading.Lock()
        self._stock = Allocator()
        nodes, pods = _nodes(self._stock.index, self._lock), _pods(self._stock.index, self._lock)
        self._followers = (
            Informer(Collection(name="nodes", path="/api/v1/nodes", sink=nodes), reader, clock),
            Informer(
                Collection(name="pods", path="/api/v1/pods", query={"fieldSelector": HOLDING}, sink=pods), reader, clock
            ),
        )
        groups = Groups(self._heard, self._gone, lambda: self.ready and (hinted is None or hinted.ready))
        self._told = tuple(Informer(each, reader, clock) for each in collections(groups))

    # ---- the port ---------------------------------------------------------------------------------

    def hint(self, question: Question) -> Hint:
        """The hosts to prefer; see `Capacity`."""
        ailing = self.ailing
        if ailing:
            return ailing
        try:
            with self._lock:
                return self._stock.hint(question, self._clock())
        except Exception:  # noqa: BLE001 - a hint is a favour: the rest of the admission goes on
            _log.exception("internal error: no hint")
            return NoHint(NoHintReason.UNKNOWN, "internal error")

    def _heard(self, demand: Demand) -> None:
        if self._hinted is None or demand.group.namespace in self._hinted:
            with self._lock:
                self._stock.heard(demand, self._clock())

    def _gone(self, group: Group) -> None:
        with self._lock:
            self._stock.ledger.forget(group)

    @property
    def ailing(self) -> NoHint | None:
        """Why no hint can be given now; None where it can."""
        return next(filter(None, map(self._ailing, self._followers)), None)

    def _ailing(self, follower: Informer) -> NoHint | None:
        problem = follower.problem
        if isinstance(problem, ForbiddenError):
            return NoHint(NoHintReason.FORBIDDEN, f"{follower.name} may not be read: {problem}")
        if not follower.ready:
            return NoHint(
                NoHintReason.UNKNOWN, f"{follower.name} are not all read yet{f': {problem}' if problem else ''}"
            )
        if follower.age > (min(BROKEN, self._silent) if problem else self._silent):
            return NoHint(NoHintReason.STALE, f"{follower.name}: nothing heard for {follower.age:.0f} s")
        return None

    # ---- a part of the process --------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether hints can be given. No replica waits for it before it answers."""
        return self.ailing is None

    @property
    def age(self) -> float:
        """Seconds since the API server was last heard of, by the follower that waits longest."""
        return max(each.age for each in self._followers)

    def start(self) -> None:
        """List and watch from now on."""
        for each in (*self._followers, *self._told):
            each.start()

    def stop(self) -> None:
        """Begin nothing new."""
        for each in (*self._followers, *self._told):
            each.stop()

    def counts(self) -> tuple[int, int, int]:
        """Nodes known, pods that hold something, workers that are promised a place."""
        with self._lock:
            self._stock.ledger.expire(self._clock())
            return len(self._stock.index.nodes), len(self._stock.index.pods), self._stock.ledger.workers


class Metrics(Collector):
    """A source's state, read when the metrics are."""

    def __init__(self, watched: Watched) -> None:
        """Of this source."""
        self._watched = watched

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Their names, so that no second collector takes them."""
        return self.collect()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges."""
        ailing = self._watched.ailing
        nodes, pods, promised = self._watched.counts()
        gauges = {
            "ready": ("Whether capacity hints can be given.", not ailing),
            "age_seconds": ("Time since the API server was last heard of.", self._watched.age),
            "nodes": ("Nodes known.", nodes),
            "pods": ("Bound pods known that hold an extended resource.", pods),
            "promised_workers": ("Workers that are promised a place and not bound yet.", promised),
        }
        for name, (documentation, value) in gauges.items():
            yield GaugeMetricFamily(f"dask_colocate_capacity_{name}", documentation, value=value)
        why = GaugeMetricFamily("dask_colocate_capacity_problem", "Why there are no hints.", labels=("reason",))
        for lack in (NoHintReason.UNKNOWN, NoHintReason.FORBIDDEN, NoHintReason.STALE):
            why.add_metric((lack.value,), bool(ailing and ailing.reason is lack))
        yield why


@dataclass(slots=True, kw_only=True)
class _Into:
    """Brings objects of one kind into the index.

    Attributes:
        lock: Held for each change.
        key: What an object is known by.
        put_one: An object is there.
        drop_one: An object is gone, by its key.
        known: The keys of all that are there.
    """

    lock: threading.Lock
    key: Callable[[Unstructured], str]
    put_one: Callable[[Unstructured], None]
    drop_one: Callable[[str], None]
    known: Callable[[], AbstractSet[str]]
    _seen: set[str] = field(default_factory=set)

    def put(self, item: Unstructured) -> None:
        self.put_one(item)

    def drop(self, item: Unstructured) -> None:
        with self.lock:
            self.drop_one(self.key(item))

    def begin(self) -> None:
        self._seen = set()

    def keep(self, items: Sequence[Unstructured]) -> None:
        for item in items:
            self._seen.add(self.key(item))
            self.put_one(item)

    def listed(self) -> None:
        with self.lock:
            for key in self.known() - self._seen:
                self.drop_one(key)
        self.begin()


def _nodes(index: NodeIndex, lock: threading.Lock) -> _Into:
    def put(item: Unstructured) -> None:
        node = objects.node(item)
        with lock:
            index.put_node(node)

    return _Into(lock=lock, key=_name, put_one=put, drop_one=index.drop_node, known=index.nodes.keys)


def _pods(index: NodeIndex, lock: threading.Lock) -> _Into:
    def put(item: Unstructured) -> None:
        held = objects.held(item)
        with lock:
            if held:
                index.put_pod(_uid(item), held)
            else:
                index.drop_pod(_uid(item))

    return _Into(lock=lock, key=_uid, put_one=put, drop_one=index.drop_pod, known=index.pods.keys)


def _name(item: Unstructured) -> str:
    return text(item, "metadata", "name") or ""


def _uid(item: Unstructured) -> str:
    return text(item, "metadata", "uid") or ""
