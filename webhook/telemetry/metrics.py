"""Prometheus metrics of the webhook."""

import collections
from collections.abc import Iterable
from functools import partial
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

# Seconds. A request takes well under a millisecond; the API server waits at most 5 s.
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.3, 1.0, 5.0)
# Values of the label `kind`. All others count as `other`, because any client can send any kind.
KINDS = frozenset({"DaskCluster", "DaskWorkerGroup", "DaskJob", "Pod"})


class LabelCounter(Collector):
    """Counter with labels that costs a dict increment; only the event loop's thread may count.

    Label values may be enum members; they become strings when the metrics are collected.
    """

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...]) -> None:
        """Create a counter without samples."""
        self._family = partial(CounterMetricFamily, name, documentation, labels=labels)
        self.counts: collections.Counter[tuple[str, ...]] = collections.Counter()

    def describe(self) -> Iterable[Metric]:
        """Return the metric without samples, so that the registry rejects a duplicate name."""
        return (self._family(),)

    def collect(self) -> Iterable[Metric]:
        """Return the metric with its samples."""
        family = self._family()
        for labels, count in self.counts.items():
            family.add_metric(tuple(map(str, labels)), count)
        return (family,)


class WebhookMetrics:
    """Metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        """Register all metrics."""
        self.registry = registry = CollectorRegistry()
        self.admissions = LabelCounter(
            "dask_colocate_admissions", "Admission requests answered, by kind and status.", ("kind", "status")
        )
        self.decisions = LabelCounter("dask_colocate_decisions", "Decisions of rules.", ("rule", "outcome", "reason"))
        registry.register(self.admissions)
        registry.register(self.decisions)
        self.seconds = Histogram(
            "dask_colocate_admission_seconds",
            "Time from the last byte of a request to its response.",
            buckets=BUCKETS,
            registry=registry,
        )
        self.malformed = _counter(
            registry, "malformed_requests", "Requests that are not a valid AdmissionReview v1 or are too large."
        )
        self.rejected = Counter(
            "dask_colocate_requests_rejected",
            "Requests and connections rejected by a limit: headers-too-large, no-client-certificate, overloaded, "
            "request-too-large, timeout, too-many-connections, too-many-pipelined, too-many-values.",
            ("reason",),
            registry=registry,
        )
        self.log_lines_dropped = _counter(
            registry, "log_lines_dropped", "Log lines dropped because the queue was full."
        )
        self.events_dropped = _counter(
            registry, "events_dropped", "Kubernetes Events dropped because the queue was full."
        )
        ProcessCollector(registry=registry)
        build_info = Gauge("dask_colocate_build_info", "Constant 1 with the version.", ("version",), registry=registry)
        build_info.labels(version("dask-colocate")).set(1)


def _counter(registry: CollectorRegistry, name: str, documentation: str) -> Counter:
    return Counter(f"dask_colocate_{name}", documentation, registry=registry)
