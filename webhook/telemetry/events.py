"""Kubernetes Events on Dask objects: one for applied decisions, one for refused decisions.

A request only adds an entry to a queue; a thread writes the Events. A custom resource has no uid when its creation is
admitted, so the thread reads the object a moment later. An object that does not exist or cannot be read gets no Event.
Pods get no Events, because there are too many of them.

Source: Kubernetes API reference, Event v1 events.k8s.io; `kubectl describe` finds Events by the object's uid.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from kubernetes.client import ApiClient, ApiException, CustomObjectsApi, EventsV1Api
from urllib3.exceptions import HTTPError

from webhook.admission.request import AdmissionRequest
from webhook.admission.response import AdmissionResponse
from webhook.mutators.decision import Decision, Outcome
from webhook.workloads.unstructured import Unstructured, text

_log = logging.getLogger(__name__)

QUEUE_SIZE = 200  # entries; more are dropped and counted
MIN_INTERVAL = 0.2  # seconds between two Events: a negligible load for an API server
CREATION_DELAY = 1.0  # seconds until an admitted object exists
REQUEST_TIMEOUT = 5.0  # seconds
CONTROLLER = "colocate.dask.org/webhook"
INSTANCE = "dask-colocate"
PLURALS = {"DaskCluster": "daskclusters", "DaskJob": "daskjobs", "DaskWorkerGroup": "daskworkergroups"}
_MAX_NOTE_LENGTH = 1000  # the API server accepts 1024 bytes
_MAX_NAME_LENGTH = 253  # the API server rejects longer names after the webhook


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """Decisions about an object that the thread will write as Events.

    Attributes:
        kind: Kind of the object.
        namespace: Namespace of the object.
        name: Name of the object.
        decisions: Applied and refused decisions.
        due: `time.monotonic` when the object exists.
    """

    kind: str
    namespace: str
    name: str
    decisions: tuple[Decision, ...]
    due: float


class EventWriter:
    """Thread that writes queued Events at a limited rate."""

    def __init__(self, client: ApiClient, on_drop: Callable[[], None]) -> None:
        """Write with `client`; `on_drop` is called for each entry that is dropped because the queue is full."""
        self._events, self._custom = EventsV1Api(client), CustomObjectsApi(client)
        self._queue: queue.Queue[PendingEvent] = queue.Queue(QUEUE_SIZE)
        self._stopped = threading.Event()
        self._on_drop = on_drop

    @property
    def ready(self) -> bool:
        """Return True: requests do not depend on Events."""
        return True

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def stop(self) -> None:
        """Stop the thread after the current Event."""
        self._stopped.set()

    def enqueue(self, request: AdmissionRequest, response: AdmissionResponse) -> None:
        """Queue the applied and refused decisions of a response. Never blocks."""
        decisions = tuple(each for each in response.decisions if each.outcome in {Outcome.APPLIED, Outcome.REFUSED})
        named = 0 < len(request.name) <= _MAX_NAME_LENGTH
        if not decisions or request.dry_run or request.kind not in PLURALS or not named:
            return
        due = time.monotonic() + CREATION_DELAY
        try:
            self._queue.put_nowait(PendingEvent(request.kind, request.namespace, request.name, decisions, due))
        except queue.Full:
            self._on_drop()

    def _run(self) -> None:
        while not self._stopped.is_set():
            pending = self._queue.get()
            self._stopped.wait(max(MIN_INTERVAL, pending.due - time.monotonic()))
            try:
                self._write(pending)
            except (ApiException, HTTPError, OSError) as error:
                about = f"{pending.kind} {pending.namespace}/{pending.name}"
                _log.warning("cannot write an Event for %s: %s", about, _message(error))

    def _write(self, pending: PendingEvent) -> None:
        target = self._custom.get_namespaced_custom_object(
            "kubernetes.dask.org",
            "v1",
            pending.namespace,
            PLURALS[pending.kind],
            pending.name,
            _request_timeout=REQUEST_TIMEOUT,
        )
        for event in render_events(pending, target, datetime.now(UTC)):
            self._events.create_namespaced_event(pending.namespace, event, _request_timeout=REQUEST_TIMEOUT)


def render_events(pending: PendingEvent, target: Unstructured, now: datetime) -> tuple[Mapping[str, Unstructured], ...]:
    """Return the Events of an entry: one for applied decisions, one for refused decisions.

    Args:
        pending: Queue entry.
        target: Stored object, with its uid.
        now: Time of the Events.
    """
    regarding = {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": pending.kind,
        "namespace": pending.namespace,
        "name": pending.name,
        "uid": text(target, "metadata", "uid") or "",
    }
    types = ((Outcome.APPLIED, "Normal", "Colocated"), (Outcome.REFUSED, "Warning", "NotColocated"))
    return tuple(
        {
            "metadata": {"generateName": f"{pending.name[:200]}-", "namespace": pending.namespace},
            "regarding": regarding,
            "type": event_type,
            "reason": reason,
            "action": "Mutate",
            "note": "; ".join(f"{decision.rule}: {decision.detail}" for decision in decisions)[:_MAX_NOTE_LENGTH],
            "reportingController": CONTROLLER,
            "reportingInstance": INSTANCE,
            "eventTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        for outcome, event_type, reason in types
        if (decisions := [decision for decision in pending.decisions if decision.outcome is outcome])
    )


def _message(error: Exception) -> str:
    """Return the API server's message if the error has one."""
    try:
        return text(orjson.loads(getattr(error, "body", None) or b""), "message") or str(error)
    except orjson.JSONDecodeError:
        return str(error)
