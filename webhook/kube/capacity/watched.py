"""Capacity of a live cluster: an informer for nodes, one for bound pods, and one for each kind of DRA object.

DaskClusters and worker groups are watched too, for the reservations of other replicas and the sizes of groups. Without
the rights to read these, hints continue. DRA objects are watched if the API server serves `resource.k8s.io/v1`;
without it, or without the rights, only device plugins count.

A question is answered from memory, under a lock that each event holds for microseconds. No request waits for a list:
until all lists are complete, and while a collection is forbidden or stale, there is no hint but a reason.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator

from kubernetes.client import ApiClient
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from webhook.kube.capacity import sinks
from webhook.kube.capacity.peer_reservations import HintedNamespaces, WorkerGroups, collections
from webhook.kube.client import ApiReader
from webhook.kube.informer import (
    WATCH_IDLE_TIMEOUT,
    Collection,
    ForbiddenError,
    Informer,
    NotServedError,
    Sink,
)
from webhook.placement import objects
from webhook.placement.allocator import Allocator
from webhook.placement.model import (
    Demand,
    Group,
    Hints,
    NoHint,
    NoHintReason,
    Questions,
)

_log = logging.getLogger(__name__)

# Seconds without an event or a bookmark after which capacity is stale, if the last request failed.
MAX_AGE_AFTER_FAILURE = 10.0

# Bound pods that have not ended: other pods use no resources of a node.
BOUND_PODS = ",".join(("spec.nodeName!=", *(f"status.phase!={phase}" for phase in objects.ENDED)))
_DRA = "/apis/resource.k8s.io/v1"


class WatchedCapacity:
    """Free capacity of a live cluster."""

    def __init__(
        self,
        client: ApiClient,
        hinted: HintedNamespaces | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_age: float = WATCH_IDLE_TIMEOUT,
    ) -> None:
        """Send no request before `start`.

        Args:
            client: Client for all requests.
            hinted: Namespaces whose stored objects reserve nodes; None for every namespace.
            clock: Returns monotonic seconds.
            max_age: Seconds without an event or a bookmark after which a watch is stale.
        """
        self._reader, self._clock, self._max_age = ApiReader(client), clock, max_age
        self._hinted = hinted
        self._lock = threading.Lock()
        self._allocator = Allocator()
        index, lock, devices = self._allocator.index, self._lock, self._allocator.index.devices
        self._required = (
            self._informer("nodes", "/api/v1/nodes", sinks.nodes(index, lock)),
            self._informer("pods", "/api/v1/pods", sinks.pods(index, lock), fieldSelector=BOUND_PODS),
        )
        classes = sinks.device_classes(devices, lock, self._start_devices)
        self._classes = self._informer("deviceclasses", f"{_DRA}/deviceclasses", classes)
        self._devices = (
            self._informer("resourceslices", f"{_DRA}/resourceslices", sinks.slices(devices, lock)),
            self._informer("resourceclaims", f"{_DRA}/resourceclaims", sinks.claims(devices, lock)),
        )
        self._devices_started = False
        workers = WorkerGroups(self, lambda: self.ready and (hinted is None or hinted.ready))
        self._peers = tuple(Informer(collection, self._reader, clock) for collection in collections(workers))

    def _informer(self, name: str, path: str, sink: Sink, **query: str) -> Informer:
        return Informer(Collection(name=name, path=path, query=query, sink=sink), self._reader, self._clock)

    def hints(self, questions: Questions) -> Hints:
        """Return the nodes to prefer; see `Capacity`."""
        problem = self.problem
        if problem:
            return questions.without(problem)
        try:
            with self._lock:
                return self._allocator.hints(questions, self._clock())
        except Exception:  # noqa: BLE001 - the admission continues without a hint
            _log.exception("internal error: no hint")
            return questions.without(NoHint(NoHintReason.UNKNOWN, "internal error"))

    # ---- stored objects ---------------------------------------------------------------------------

    def set_size(self, group: Group, size: int) -> None:
        """Set the number of workers that a stored worker group wants."""
        with self._lock:
            self._allocator.set_size(group, size)

    def reserve_stored(self, demand: Demand) -> None:
        """Reserve the nodes in the hint of a stored object."""
        if self._hinted is None or demand.group.namespace in self._hinted:
            with self._lock:
                self._allocator.reserve_stored(demand, self._clock())

    def delete(self, group: Group) -> None:
        """Remove a group and its reservation."""
        with self._lock:
            self._allocator.delete(group)

    # ---- state ------------------------------------------------------------------------------------

    @property
    def problem(self) -> NoHint | None:
        """The reason why there are no hints now; None if there are hints."""
        dra = (self._classes, *self._devices)
        without_dra = any(isinstance(informer.problem, (NotServedError, ForbiddenError)) for informer in dra)
        required = self._required if without_dra else (*self._required, *dra)
        return next(filter(None, map(self._problem, required)), None)

    def _problem(self, informer: Informer) -> NoHint | None:
        name, error = informer.name, informer.problem
        if isinstance(error, ForbiddenError):
            return NoHint(NoHintReason.FORBIDDEN, f"no permission to list or watch {name}: {error}")
        if not informer.ready:
            return NoHint(
                NoHintReason.UNKNOWN, f"the first list of {name} is not complete{f': {error}' if error else ''}"
            )
        if informer.age > (min(MAX_AGE_AFTER_FAILURE, self._max_age) if error else self._max_age):
            return NoHint(NoHintReason.STALE, f"no event for {name} in {informer.age:.0f} s")
        return None

    @property
    def ready(self) -> bool:
        """True if hints can be given. A replica becomes ready without it."""
        return self.problem is None

    @property
    def age(self) -> float:
        """Seconds since the last page or event of nodes or pods, whichever is older."""
        return max(informer.age for informer in self._required)

    def start(self) -> None:
        """Start the informers."""
        for informer in (*self._required, self._classes, *self._peers):
            informer.start()

    def _start_devices(self) -> None:
        """Start the informers of slices and claims after the first list of DeviceClasses: the API is served."""
        if not self._devices_started:
            self._devices_started = True
            for informer in self._devices:
                informer.start()

    def stop(self) -> None:
        """Stop the informers."""
        for informer in (*self._required, self._classes, *self._devices, *self._peers):
            informer.stop()

    def counts(self) -> tuple[int, int, int]:
        """Return the numbers of nodes, of bound pods with extended resources, and of pods with a reservation."""
        with self._lock:
            index, reservations = self._allocator.index, self._allocator.reservations
            reservations.expire(self._clock())
            return len(index.nodes), len(index.pods), reservations.pods


class CapacityMetrics(Collector):
    """Gauges of a capacity source, computed at each scrape."""

    def __init__(self, capacity: WatchedCapacity) -> None:
        """Export the gauges of `capacity`."""
        self._capacity = capacity

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Return the metrics, so that the registry rejects a second collector with the same names."""
        return self.collect()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        problem = self._capacity.problem
        nodes, pods, reserved = self._capacity.counts()
        gauges = {
            "ready": ("Whether capacity hints can be given.", not problem),
            "age_seconds": (
                "Seconds since the last response of the API server for nodes and pods.",
                self._capacity.age,
            ),
            "nodes": ("Nodes in the cache.", nodes),
            "pods": ("Bound pods in the cache that request an extended resource.", pods),
            "reserved_pods": ("Workers and Dask schedulers with reserved GPUs that are not bound yet.", reserved),
        }
        for name, (documentation, value) in gauges.items():
            yield GaugeMetricFamily(f"dask_colocate_capacity_{name}", documentation, value=value)
        family = GaugeMetricFamily(
            "dask_colocate_capacity_problem", "Reason why there are no hints.", labels=("reason",)
        )
        for reason in (NoHintReason.UNKNOWN, NoHintReason.FORBIDDEN, NoHintReason.STALE):
            family.add_metric((reason.value,), bool(problem and problem.reason is reason))
        yield family
