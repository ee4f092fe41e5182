"""Capacity as an API server has it: nodes, the pods that hold accelerators, and devices, each watched by a thread.

DaskClusters and worker groups are watched too, for other replicas' reservations and the sizes of groups; without the
right to read these, hints go on. Devices of Dynamic Resource Allocation are watched where the API server serves
`resource.k8s.io/v1`; without it, or without the right, nodes with a device plugin are all that counts.

A question is answered from memory, under a lock that an event holds for microseconds. No request waits for a list:
until everything is listed, and where the API server forbids it or has been silent for too long, there is no hint and a
reason.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator

from kubernetes.client import ApiClient
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from webhook.kube.capacity import sinks
from webhook.kube.capacity.peer_reservations import Hinted, WorkerGroups, collections
from webhook.kube.client import ApiReader
from webhook.kube.informer import (
    SILENCE,
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

# Seconds without an event or a bookmark on a healthy watch, and on one that broke off and could not be resumed.
SILENT = SILENCE
BROKEN = 10.0

# Pods that are bound and have not ended: no others hold anything.
HOLDING = ",".join(("spec.nodeName!=", *(f"status.phase!={phase}" for phase in objects.ENDED)))
_DEVICES = "/apis/resource.k8s.io/v1"


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
        """Send no request before `start`.

        Args:
            client: Used for every call.
            hinted: Namespaces whose stored objects count; None for every namespace.
            clock: Seconds, never going back.
            silent: Seconds after which a silent watch is stale.
        """
        self._reader, self._clock, self._silent = ApiReader(client), clock, silent
        self._hinted = hinted
        self._lock = threading.Lock()
        self._stock = Allocator()
        index, lock, devices = self._stock.index, self._lock, self._stock.index.devices
        self._followers = (
            self._follower("nodes", "/api/v1/nodes", sinks.nodes(index, lock)),
            self._follower("pods", "/api/v1/pods", sinks.pods(index, lock), fieldSelector=HOLDING),
        )
        classes = sinks.device_classes(devices, lock, self._start_devices)
        self._classes = self._follower("deviceclasses", f"{_DEVICES}/deviceclasses", classes)
        self._devices = (
            self._follower("resourceslices", f"{_DEVICES}/resourceslices", sinks.slices(devices, lock)),
            self._follower("resourceclaims", f"{_DEVICES}/resourceclaims", sinks.claims(devices, lock)),
        )
        self._started = False
        workers = WorkerGroups(self, lambda: self.ready and (hinted is None or hinted.ready))
        self._told = tuple(Informer(each, self._reader, clock) for each in collections(workers))

    def _follower(self, name: str, path: str, sink: Sink, **query: str) -> Informer:
        return Informer(Collection(name=name, path=path, query=query, sink=sink), self._reader, self._clock)

    # ---- the port ---------------------------------------------------------------------------------

    def hints(self, questions: Questions) -> Hints:
        """Return the hosts to prefer; see `Capacity`."""
        ailing = self.ailing
        if ailing:
            return questions.without(ailing)
        try:
            with self._lock:
                return self._stock.hints(questions, self._clock())
        except Exception:  # noqa: BLE001 - without a hint the rest of the admission goes on
            _log.exception("internal error: no hint")
            return questions.without(NoHint(NoHintReason.UNKNOWN, "internal error"))

    # ---- stored objects ---------------------------------------------------------------------------

    def sized(self, group: Group, size: int) -> None:
        """Set how many workers a stored worker group wants."""
        with self._lock:
            self._stock.sized(group, size)

    def heard(self, demand: Demand) -> None:
        """Reserve the hosts that a stored object names."""
        if self._hinted is None or demand.group.namespace in self._hinted:
            with self._lock:
                self._stock.heard(demand, self._clock())

    def gone(self, group: Group) -> None:
        """Remove a group and its reservation."""
        with self._lock:
            self._stock.gone(group)

    # ---- state ------------------------------------------------------------------------------------

    @property
    def ailing(self) -> NoHint | None:
        """Why no hint can be given now; None where it can."""
        devices = (self._classes, *self._devices)
        without = any(isinstance(each.problem, (NotServedError, ForbiddenError)) for each in devices)
        needed = self._followers if without else (*self._followers, *devices)
        return next(filter(None, map(self._ailing, needed)), None)

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
        for each in (*self._followers, self._classes, *self._told):
            each.start()

    def _start_devices(self) -> None:
        """Watch devices and claims from the first list of DeviceClasses on: it shows that the API is served."""
        if not self._started:
            self._started = True
            for each in self._devices:
                each.start()

    def stop(self) -> None:
        """Begin nothing new."""
        for each in (*self._followers, self._classes, *self._devices, *self._told):
            each.stop()

    def counts(self) -> tuple[int, int, int]:
        """Return the numbers of nodes, of pods that hold an extended resource, and of pods with a reservation."""
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
            "promised_workers": ("Workers and Dask schedulers with reserved GPUs that are not bound yet.", promised),
        }
        for name, (documentation, value) in gauges.items():
            yield GaugeMetricFamily(f"dask_colocate_capacity_{name}", documentation, value=value)
        why = GaugeMetricFamily("dask_colocate_capacity_problem", "Why there are no hints.", labels=("reason",))
        for lack in (NoHintReason.UNKNOWN, NoHintReason.FORBIDDEN, NoHintReason.STALE):
            why.add_metric((lack.value,), bool(ailing and ailing.reason is lack))
        yield why
