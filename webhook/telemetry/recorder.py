"""What is seen from outside: Prometheus metrics and JSON log lines. Nothing here blocks a request."""

import collections
import logging
import logging.handlers
import queue
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.orjson import OrjsonFormatter

from webhook.admission.request import AdmissionRequest
from webhook.admission.response import AdmissionResponse, RenderedResponse

# A review takes well under a millisecond; the API server waits 5 s at most.
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.3, 1.0, 5.0)
# Anyone who reaches the port can name any kind; a label takes only these.
KINDS = frozenset({"DaskCluster", "DaskWorkerGroup", "DaskJob", "Pod"})
# About a second of lines at full load; more than that is dropped and counted, not waited for.
LOG_LINES = 10_000

_log = logging.getLogger(__name__)


class _Tally(Collector):
    """A counter with labels that costs the request path a dict's increment; only the event loop's thread counts.

    Codes are counted as they are: they are strings too, and asking those of a worker for their values takes 2 us.
    """

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...]) -> None:
        """Nothing counted yet."""
        self._family = partial(CounterMetricFamily, name, documentation, labels=labels)
        self.counts: collections.Counter[tuple[str, ...]] = collections.Counter()

    def describe(self) -> Iterable[Metric]:
        """The name, so that no second collector takes it."""
        return (self._family(),)

    def collect(self) -> Iterable[Metric]:
        """The counts as they are now."""
        family = self._family()
        for labels, count in self.counts.items():
            family.add_metric(tuple(map(str, labels)), count)
        return (family,)


class Recorder:
    """Counts and logs what was decided."""

    def __init__(self) -> None:
        """Start all counts at zero, in a registry of its own."""
        self.registry = CollectorRegistry()
        self._admissions = _Tally(
            "dask_colocate_admissions",
            "Admission reviews answered, by kind of object and how far the review got.",
            ("kind", "status"),
        )
        self._decisions = _Tally("dask_colocate_decisions", "Decisions of the rules.", ("rule", "outcome", "reason"))
        self.registry.register(self._admissions)
        self.registry.register(self._decisions)
        self._seconds = Histogram(
            "dask_colocate_admission_seconds",
            "Time from a review's last byte to its answer's first.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._malformed = Counter(
            "dask_colocate_malformed_requests",
            "Requests that were no AdmissionReview v1, or too large.",
            registry=self.registry,
        )
        self._turned_away = Counter(
            "dask_colocate_requests_turned_away",
            "Requests and connections given up: busy, slow, head or request too large, crowded, uncertified.",
            ("why",),
            registry=self.registry,
        )
        self._dropped = Counter(
            "dask_colocate_log_lines_dropped",
            "Log lines given up because nobody took them off in time.",
            registry=self.registry,
        )
        self._events_dropped = Counter(
            "dask_colocate_events_dropped",
            "Kubernetes Events not written because too many were waiting.",
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        Gauge("dask_colocate_build_info", "Always 1.", ("version",), registry=self.registry).labels(
            version("dask-colocate")
        ).set(1)

    def gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Add a gauge whose value is read when the metrics are."""
        Gauge(name, documentation, registry=self.registry).set_function(read)

    def admitted(self, review: AdmissionRequest, answer: RenderedResponse, seconds: float) -> None:
        """One review was answered in `seconds`. Workers that are alike leave one line, of the first of them."""
        verdict = answer.response
        self._admissions.counts[review.kind if review.kind in KINDS else "other", verdict.status] += 1
        self._seconds.observe(seconds)
        for decision in verdict.decisions:
            self._decisions.counts[decision.rule, decision.outcome, decision.reason] += 1
        level = logging.INFO if (verdict.operations or verdict.warnings) and not answer.sent else logging.DEBUG
        if _log.isEnabledFor(level):
            _log.log(level, "admitted", extra=_line(review, verdict, seconds))

    def malformed(self, why: str) -> None:
        """A request was turned away."""
        self._malformed.inc()
        _log.warning("malformed request: %s", why)

    def turned_away(self, why: str) -> None:
        """A request was not answered, or a connection closed, for the others' sake."""
        self._turned_away.labels(why).inc()

    def namespace_unknown(self, why: str) -> None:
        """A namespace could not be read in time: its object was allowed as it is."""
        _log.warning("namespace unknown, allowed unchanged: %s", why)

    def failed(self, review: AdmissionRequest) -> None:
        """An exception of our own is being handled: the object was allowed as it is."""
        _log.exception(
            "internal error: allowed unchanged",
            extra=_about(review),
        )

    def line_dropped(self) -> None:
        """A log line found no room."""
        self._dropped.inc()

    def event_dropped(self) -> None:
        """A Kubernetes Event found no room."""
        self._events_dropped.inc()

    def metrics(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


def _about(review: AdmissionRequest) -> dict[str, object]:
    """What a review is about, each name as long as Kubernetes takes names: others come as long as a body."""
    names = {"uid": review.uid, "kind": review.kind, "namespace": review.namespace, "object": review.name}
    return {key: name[:253] for key, name in names.items()}


def _line(review: AdmissionRequest, verdict: AdmissionResponse, seconds: float) -> dict[str, object]:
    return {
        **_about(review),
        "operation": review.operation,
        "status": verdict.status.value,
        "decisions": dict(verdict.audit).get("decisions", ""),
        "warnings": list(verdict.warnings),
        "milliseconds": round(seconds * 1000, 3),
    }


class _DroppingHandler(logging.handlers.QueueHandler):
    """Puts a record into the queue if there is room; a full disk or a slow terminal stops nobody."""

    def __init__(self, lines: queue.Queue[logging.LogRecord], on_drop: Callable[[], None]) -> None:
        """Tell `on_drop` of each record that found no room."""
        super().__init__(lines)
        self._on_drop = on_drop

    def handle(self, record: logging.LogRecord) -> bool:
        # Not prepared: the listener is in this process, and does for itself what would cost the request 20 us here.
        try:
            self.enqueue(record)
        except queue.Full:
            self._on_drop()
            return False
        return True


def log_to(stream: TextIO, level: str, on_drop: Callable[[], None]) -> logging.handlers.QueueListener:
    """Send the process's log as JSON lines to `stream` from a thread of its own.

    Args:
        stream: Where to.
        level: Least severe records to send.
        on_drop: Called for each record that found the queue of `LOG_LINES` full.

    Returns:
        The started thread, for the caller to stop.
    """
    # Fields that no line shows; "Optimization" in the documentation of `logging`.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    lines: queue.Queue[logging.LogRecord] = queue.Queue(LOG_LINES)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        OrjsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's text once more, with escape codes
        )
    )
    handler.addFilter(lambda record: record.name != "stamina")  # the watch's own line says more
    root = logging.getLogger()
    root.handlers[:] = [_DroppingHandler(lines, on_drop)]
    root.setLevel(level)
    listener = logging.handlers.QueueListener(lines, handler)
    listener.start()
    return listener
