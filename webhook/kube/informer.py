"""Informer: lists a collection of the API server once and then watches it, in a thread of its own.

Lists are paginated, so that memory is bounded by the page size. A watch that ends is resumed at the last resource
version. If that version is too old (410), the collection is relisted, and the sink keeps its objects meanwhile.

Source: Kubernetes API concepts, "Efficient detection of changes", "Retrieving large results sets in chunks".
"""

import gc
import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol

import orjson
import stamina
import urllib3

from webhook.kube.client import ApiReader, ResponseError
from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    text,
)

_log = logging.getLogger(__name__)

# Half of kubectl's chunk: a page of pods is about 2 MB, and parsing it delays a request by 10 ms at most.
PAGE_SIZE = 250
LIST_TIMEOUT = 30.0  # seconds for one page
# Seconds, chosen at random. Without `timeoutSeconds` the API server ends a watch after 5 to 10 minutes.
WATCH_SECONDS = (240, 300)
# Seconds. The API server sends a bookmark about once a minute: after two missing ones the connection is half-open.
WATCH_IDLE_TIMEOUT = 130.0
# Seconds between attempts at most, so that rights granted later take effect within half a minute.
MAX_BACKOFF = 30.0


class Sink(Protocol):
    """Receiver of a collection's objects. Called by the informer's thread only."""

    def put(self, item: Unstructured) -> None:
        """Add or update an object."""

    def delete(self, item: Unstructured) -> None:
        """Remove an object."""

    def begin_list(self) -> None:
        """Begin a list."""

    def put_page(self, items: Sequence[Unstructured]) -> None:
        """Add or update the objects of a page."""

    def end_list(self) -> None:
        """Remove the objects that the complete list did not contain."""


class ExpiredError(Exception):
    """The resource version is too old to resume the watch (410): a relist is needed."""


class NotServedError(Exception):
    """The API server does not serve this API (404)."""


class ForbiddenError(Exception):
    """RBAC does not grant access (401, 403)."""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A collection to list and watch.

    Attributes:
        name: Plural of the resource, for messages.
        path: Path on the API server.
        query: Parameters of each request, such as a field selector.
        sink: Receiver of the objects.
    """

    name: str
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    sink: Sink


class Informer:
    """Informer for one collection."""

    def __init__(self, collection: Collection, reader: ApiReader, clock: Callable[[], float]) -> None:
        """Send no request before `start`; `clock` returns monotonic seconds."""
        self._reader = reader
        self._collection = collection
        self._clock = clock
        self._version = ""
        self._last_response: float | None = None
        self._listed = False
        self._stopped = threading.Event()
        self.problem: Exception | None = None

    @property
    def name(self) -> str:
        """Name of the collection."""
        return self._collection.name

    @property
    def ready(self) -> bool:
        """True if the first list is complete."""
        return self._listed

    @property
    def age(self) -> float:
        """Seconds since the last page or event; infinite before the first page."""
        return float("inf") if self._last_response is None else self._clock() - self._last_response

    def start(self) -> None:
        """Start the background thread."""
        threading.Thread(target=self._run, name=self.name, daemon=True).start()

    def stop(self) -> None:
        """Send no further request. A watch in progress ends with the process, as the thread is a daemon."""
        self._stopped.set()

    # ---- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._retry_session()

    def _retry_session(self) -> None:
        """Run sessions, with back-off and jitter, until one receives a page or an event."""
        retry = stamina.retry_context(
            on=Exception, attempts=None, timeout=None, wait_initial=0.2, wait_max=MAX_BACKOFF, wait_jitter=1.0
        )
        for attempt in retry:
            with attempt:
                self._session()

    def _session(self) -> None:
        if self._stopped.is_set():
            return
        last_response = self._last_response
        try:
            if not self._version:
                self._list()
            for event in self._watch():
                self._process(event)
        except ExpiredError as error:
            _log.info("%s: relisting: %s", self.name, error)
            self._version = ""
        except Exception as error:
            self._record_failure(error)
            if last_response == self._last_response:
                raise
        else:
            if last_response == self._last_response:
                raise OSError("the watch closed without events")

    def _record_failure(self, error: Exception) -> None:
        """Record a failure, and log it unless the one before was of the same type."""
        if type(self.problem) is not type(error):
            level = logging.INFO if isinstance(error, NotServedError) else logging.WARNING
            _log.log(level, "%s: list or watch failed, retrying: %s", self.name, error)
        self.problem = error

    def _record_response(self) -> None:
        self._last_response = self._clock()
        if self.problem:
            _log.info("%s: watch resumed", self.name)
            self.problem = None

    def _list(self) -> None:
        count, version, started = 0, "", self._clock()
        self._collection.sink.begin_list()
        for page in self._pages():
            items = sequence(page, "items")
            count, version = count + len(items), text(page, "metadata", "resourceVersion") or ""
            self._collection.sink.put_page(items)
            self._record_response()
            # Listed objects are long-lived. Without this each page makes the garbage collector scan all earlier pages
            # again, which is half of the time for 40,000 pods.
            gc.freeze()
        self._collection.sink.end_list()
        self._version, self._listed = version, True
        _log.info("%s: listed %d objects at version %s in %.1f s", self.name, count, version, self._clock() - started)

    def _pages(self) -> Iterator[Unstructured]:
        query: dict[str, str | int] = {"limit": PAGE_SIZE}
        while True:
            page = mapping(orjson.loads(self._get(LIST_TIMEOUT, query).data))
            yield page
            token = text(page, "metadata", "continue")
            if token is None:
                return
            query["continue"] = token

    def _watch(self) -> Iterator[Unstructured]:
        query: dict[str, str | int] = {
            "watch": "true",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": random.randint(*WATCH_SECONDS),  # noqa: S311 - spreads reconnects, not a secret
        }
        response = self._get(WATCH_IDLE_TIMEOUT, query)
        try:
            yield from map(orjson.loads, complete_lines(response))
        finally:
            response.close()

    def _process(self, event: Unstructured) -> None:
        item, change = mapping(event, "object"), text(event, "type")
        if change == "ERROR":
            raise _error(item.get("code"), text(item, "message") or f"the watch ended with {item.get('code')}")
        if change in {"ADDED", "MODIFIED"}:
            self._collection.sink.put(item)
        elif change == "DELETED":
            self._collection.sink.delete(item)
        self._version = text(item, "metadata", "resourceVersion") or self._version
        self._record_response()

    def _get(self, timeout: float, query: Mapping[str, str | int]) -> urllib3.BaseHTTPResponse:
        parameters = {**self._collection.query, **query}
        try:
            return self._reader.get(self._collection.path, parameters, "application/json", timeout)
        except ResponseError as error:
            raise _error(error.status, str(error)) from None


def _error(code: Unstructured, message: str) -> Exception:
    if code == HTTPStatus.GONE:
        return ExpiredError(message)
    if code == HTTPStatus.NOT_FOUND:
        return NotServedError(message)
    return ForbiddenError(message) if code in {HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED} else OSError(message)


def complete_lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield the complete lines of a stream. A line that a broken connection cut off is dropped."""
    rest = b""
    for chunk in response.stream(amt=None):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)
