"""Kubernetes Events on the Dask objects that something was done to, or that something was refused for.

All of it happens in a thread of its own: a request only puts a note into a queue. A custom resource has no uid yet
when its creation is reviewed, so each note is taken up a moment later, when the object is there; one that was
not created after all, or cannot be read, gets no Event. Pods get none: there are too many of them.

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

NOTES = 200  # waiting at once; more are dropped and counted
APART = 0.2  # seconds between two Events: five a second is what an API server does not notice
SETTLE = 1.0  # seconds until the object is there
SECONDS = 5.0  # for each call
CONTROLLER = "colocate.dask.org/webhook"
INSTANCE = "dask-colocate"
PLURALS = {"DaskCluster": "daskclusters", "DaskJob": "daskjobs", "DaskWorkerGroup": "daskworkergroups"}
_NOTE = 1000  # the API server takes 1024 bytes
_LONGEST_NAME = 253  # a longer one is refused by the API server, later


@dataclass(frozen=True, slots=True)
class Note:
    """What an Event is to say.

    Attributes:
        kind: Of the object.
        namespace: Of the object.
        name: Of the object.
        decisions: Those that changed or refused something.
        due: When the object is there, by `time.monotonic`.
    """

    kind: str
    namespace: str
    name: str
    decisions: tuple[Decision, ...]
    due: float


class Events:
    """Writes Events, a few a second, for as long as there is something to say."""

    def __init__(self, client: ApiClient, on_drop: Callable[[], None]) -> None:
        """Write with `client`; `on_drop` is told of each note that found no room."""
        self._events, self._custom = EventsV1Api(client), CustomObjectsApi(client)
        self._notes: queue.Queue[Note] = queue.Queue(NOTES)
        self._stopped = threading.Event()
        self._on_drop = on_drop

    @property
    def ready(self) -> bool:
        """Always: nobody waits for an Event."""
        return True

    def start(self) -> None:
        """Write from now on."""
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def stop(self) -> None:
        """Write no more."""
        self._stopped.set()

    def tell(self, review: AdmissionRequest, verdict: AdmissionResponse) -> None:
        """Note what was decided, if it is worth an Event. Returns at once."""
        said = tuple(each for each in verdict.decisions if each.outcome in {Outcome.APPLIED, Outcome.REFUSED})
        if not said or review.dry_run or review.kind not in PLURALS or not 0 < len(review.name) <= _LONGEST_NAME:
            return
        try:
            self._notes.put_nowait(Note(review.kind, review.namespace, review.name, said, time.monotonic() + SETTLE))
        except queue.Full:
            self._on_drop()

    def _run(self) -> None:
        while not self._stopped.is_set():
            note = self._notes.get()
            self._stopped.wait(max(APART, note.due - time.monotonic()))
            try:
                self._write(note)
            except (ApiException, HTTPError, OSError) as error:
                _log.warning("no Event for %s %s/%s: %s", note.kind, note.namespace, note.name, _said(error))

    def _write(self, note: Note) -> None:
        plural = PLURALS[note.kind]
        found = self._custom.get_namespaced_custom_object(
            "kubernetes.dask.org", "v1", note.namespace, plural, note.name, _request_timeout=SECONDS
        )
        for event in events(note, found, datetime.now(UTC)):
            self._events.create_namespaced_event(note.namespace, event, _request_timeout=SECONDS)


def events(note: Note, found: Unstructured, now: datetime) -> tuple[Mapping[str, Unstructured], ...]:
    """The Events of a note: one for what was applied, one for what was refused.

    Args:
        note: What to say.
        found: The object as it is now; its uid is what an Event hangs on.
        now: Of the Events.
    """
    about = {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": note.kind,
        "namespace": note.namespace,
        "name": note.name,
        "uid": text(found, "metadata", "uid") or "",
    }
    sorts = ((Outcome.APPLIED, "Normal", "Colocated"), (Outcome.REFUSED, "Warning", "NotColocated"))
    return tuple(
        {
            "metadata": {"generateName": f"{note.name[:200]}-", "namespace": note.namespace},
            "regarding": about,
            "type": kind,
            "reason": reason,
            "action": "Mutate",
            "note": "; ".join(f"{each.rule}: {each.detail}" for each in said)[:_NOTE],
            "reportingController": CONTROLLER,
            "reportingInstance": INSTANCE,
            "eventTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        for outcome, kind, reason in sorts
        if (said := [each for each in note.decisions if each.outcome is outcome])
    )


def _said(error: Exception) -> str:
    """The API server's own sentence, where there is one."""
    try:
        return text(orjson.loads(getattr(error, "body", None) or b""), "message") or str(error)
    except orjson.JSONDecodeError:
        return str(error)
