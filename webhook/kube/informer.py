"""A collection of the API server's, listed once and then watched, by a thread of its own.

Lists come in pages, so that memory is bounded by a page whatever the cluster's size. A broken watch is resumed where it
ended; one that is too old to resume (410) is listed anew, while what is known stays.

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

# Half of kubectl's chunk: a page of pods is then about 2 MB, whose parsing holds up a request by 10 ms at most.
PAGE = 250
LIST_SECONDS = 30.0  # for one page
# The API server ends a watch after 5-10 minutes by itself; ending it here keeps the interval known.
WATCH_SECONDS = (240, 300)
# A bookmark comes about once a minute; a connection silent for longer than two of them is half-open.
SILENCE = 130.0
# Seconds between attempts at most: rights that were granted late are found within half a minute.
LONGEST_WAIT = 30.0


class Sink(Protocol):
    """Takes what a collection holds. Called by the collection's thread alone."""

    def put(self, item: Unstructured) -> None:
        """An object is there, or has changed."""

    def drop(self, item: Unstructured) -> None:
        """An object is gone."""

    def begin(self) -> None:
        """A list begins."""

    def keep(self, items: Sequence[Unstructured]) -> None:
        """A page of a list: its objects are there."""

    def listed(self) -> None:
        """The list is complete: what it did not hold is gone."""


class ExpiredError(Exception):
    """The resource version is too old to resume from (410): only a new list helps."""


class NotServedError(Exception):
    """The API server does not serve this API (404)."""


class ForbiddenError(Exception):
    """RBAC does not grant it (401, 403)."""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """What is followed.

    Attributes:
        name: For messages: its plural.
        path: Below the API server's address.
        query: Of each call, such as a field selector.
        sink: Takes what is found.
    """

    name: str
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    sink: Sink


class Informer:
    """Follows one collection."""

    def __init__(self, collection: Collection, reader: ApiReader, clock: Callable[[], float]) -> None:
        """Nothing is asked of `reader` before `start`; `clock` gives seconds, never going back."""
        self._reader = reader
        self._collection = collection
        self._clock = clock
        self._version = ""
        self._heard_at: float | None = None
        self._listed = False
        self._stopped = threading.Event()
        self.problem: Exception | None = None

    @property
    def name(self) -> str:
        """The collection's."""
        return self._collection.name

    @property
    def ready(self) -> bool:
        """Whether the first list is complete."""
        return self._listed

    @property
    def age(self) -> float:
        """Seconds since the API server was last heard of; infinite before the first page."""
        return float("inf") if self._heard_at is None else self._clock() - self._heard_at

    def start(self) -> None:
        """List and watch from now on."""
        threading.Thread(target=self._run, name=self.name, daemon=True).start()

    def stop(self) -> None:
        """Begin nothing new. The thread is a daemon: a watch in progress ends with the process."""
        self._stopped.set()

    # ---- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._follow()

    def _follow(self) -> None:
        """One session that brought something; those that bring nothing are repeated with back-off and jitter."""
        retry = stamina.retry_context(
            on=Exception, attempts=None, timeout=None, wait_initial=0.2, wait_max=LONGEST_WAIT, wait_jitter=1.0
        )
        for attempt in retry:
            with attempt:
                self._session()

    def _session(self) -> None:
        if self._stopped.is_set():
            return
        heard_at = self._heard_at
        try:
            if not self._version:
                self._list()
            for event in self._watch():
                self._take(event)
        except ExpiredError as error:
            _log.info("%s: listing anew: %s", self.name, error)
            self._version = ""
        except Exception as error:
            self._failed(error)
            if heard_at == self._heard_at:
                raise
        else:
            if heard_at == self._heard_at:
                raise OSError("the watch ended without a word")

    def _failed(self, error: Exception) -> None:
        """Said once, until it is another problem or it is over."""
        if type(self.problem) is not type(error):
            level = logging.INFO if isinstance(error, NotServedError) else logging.WARNING
            _log.log(level, "%s: cannot be followed, trying again: %s", self.name, error)
        self.problem = error

    def _heard(self) -> None:
        self._heard_at = self._clock()
        if self.problem:
            _log.info("%s: followed again", self.name)
            self.problem = None

    def _list(self) -> None:
        count, version, began = 0, "", self._clock()
        self._collection.sink.begin()
        for page in self._pages():
            items = sequence(page, "items")
            count, version = count + len(items), text(page, "metadata", "resourceVersion") or ""
            self._collection.sink.keep(items)
            self._heard()
            # What a list brings stays. Without this each page makes the collector look through all the earlier ones
            # once more, which is half of the time that 40,000 pods take.
            gc.freeze()
        self._collection.sink.listed()
        self._version, self._listed = version, True
        _log.info("%s: listed %d at version %s in %.1f s", self.name, count, version, self._clock() - began)

    def _pages(self) -> Iterator[Unstructured]:
        query: dict[str, str | int] = {"limit": PAGE}
        while True:
            page = mapping(orjson.loads(self._read(LIST_SECONDS, query).data))
            yield page
            proceed = text(page, "metadata", "continue")
            if proceed is None:
                return
            query["continue"] = proceed

    def _watch(self) -> Iterator[Unstructured]:
        query: dict[str, str | int] = {
            "watch": "true",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": random.randint(*WATCH_SECONDS),  # noqa: S311 - spreads reconnects, guards nothing
        }
        response = self._read(SILENCE, query)
        try:
            yield from map(orjson.loads, lines(response))
        finally:
            response.close()

    def _take(self, event: Unstructured) -> None:
        item, change = mapping(event, "object"), text(event, "type")
        if change == "ERROR":
            raise _refusal(item.get("code"), text(item, "message") or f"the watch ended with {item.get('code')}")
        if change in {"ADDED", "MODIFIED"}:
            self._collection.sink.put(item)
        elif change == "DELETED":
            self._collection.sink.drop(item)
        self._version = text(item, "metadata", "resourceVersion") or self._version
        self._heard()

    def _read(self, seconds: float, query: Mapping[str, str | int]) -> urllib3.BaseHTTPResponse:
        try:
            whole = {**self._collection.query, **query}
            return self._reader.get(self._collection.path, whole, "application/json", seconds)
        except ResponseError as error:
            raise _refusal(error.status, str(error)) from None


def _refusal(code: Unstructured, message: str) -> Exception:
    if code == HTTPStatus.GONE:
        return ExpiredError(message)
    if code == HTTPStatus.NOT_FOUND:
        return NotServedError(message)
    return ForbiddenError(message) if code in {HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED} else OSError(message)


def lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The complete lines of a stream; a line cut off by a broken connection is no event."""
    rest = b""
    for chunk in response.stream(amt=None):
        *complete, rest = (rest + chunk).split(b"\n")
        yield from filter(None, complete)
