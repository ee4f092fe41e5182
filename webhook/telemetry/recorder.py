"""Recorder of admissions: updates metrics and writes log lines without blocking a request."""

import logging
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from webhook.admission.request import AdmissionRequest
from webhook.admission.response import AdmissionResponse, RenderedResponse
from webhook.telemetry.metrics import KINDS, WebhookMetrics

MAX_NAME_LENGTH = 253  # of Kubernetes; a client can send longer names

_log = logging.getLogger(__name__)


class Recorder:
    """Metrics and log of one process."""

    def __init__(self) -> None:
        """Create the metrics."""
        self._metrics = WebhookMetrics()

    @property
    def registry(self) -> CollectorRegistry:
        """Return the registry of the metrics."""
        return self._metrics.registry

    def add_gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Add a gauge that calls `read` when the metrics are collected."""
        Gauge(name, documentation, registry=self.registry).set_function(read)

    def record_admission(self, request: AdmissionRequest, rendered: RenderedResponse, seconds: float) -> None:
        """Record a response that took `seconds`. Of equal worker pods only the first is logged at INFO."""
        metrics, response = self._metrics, rendered.response
        metrics.admissions.counts[request.kind if request.kind in KINDS else "other", response.status] += 1
        metrics.seconds.observe(seconds)
        for decision in response.decisions:
            metrics.decisions.counts[decision.rule, decision.outcome, decision.reason] += 1
        level = logging.INFO if (response.operations or response.warnings) and not rendered.sent else logging.DEBUG
        if _log.isEnabledFor(level):
            _log.log(level, "admitted", extra=_admission_fields(request, response, seconds))

    def record_malformed(self, error: str) -> None:
        """Record a request that is not a valid AdmissionReview."""
        self._metrics.malformed.inc()
        _log.warning("malformed request: %s", error)

    def record_rejection(self, reason: str) -> None:
        """Record a request or connection that was rejected by a limit."""
        self._metrics.rejected.labels(reason).inc()

    def record_unknown_namespace(self, error: str) -> None:
        """Record a namespace that could not be read in time; its object is allowed unchanged."""
        _log.warning("namespace unknown, object allowed unchanged: %s", error)

    def record_failure(self, request: AdmissionRequest) -> None:
        """Record the exception that is being handled; the object is allowed unchanged."""
        _log.exception("internal error, object allowed unchanged", extra=_request_fields(request))

    def record_dropped_line(self) -> None:
        """Record a dropped log line."""
        self._metrics.log_lines_dropped.inc()

    def record_dropped_event(self) -> None:
        """Record a dropped Kubernetes Event."""
        self._metrics.events_dropped.inc()

    def metrics(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self.registry)


def _request_fields(request: AdmissionRequest) -> dict[str, object]:
    """Return the log fields that identify a request, truncated to the length of Kubernetes names."""
    names = {"uid": request.uid, "kind": request.kind, "namespace": request.namespace, "object": request.name}
    return {key: name[:MAX_NAME_LENGTH] for key, name in names.items()}


def _admission_fields(request: AdmissionRequest, response: AdmissionResponse, seconds: float) -> dict[str, object]:
    return {
        **_request_fields(request),
        "operation": request.operation,
        "status": response.status.value,
        "decisions": dict(response.audit).get("decisions", ""),
        "warnings": list(response.warnings),
        "milliseconds": round(seconds * 1000, 3),
    }
