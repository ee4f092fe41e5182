"""Informer of namespaces: one thread lists and watches them, requests read the cache.

A namespace that is not in the cache yet is read from the API server once, with a deadline. Only metadata is transferred
(`PartialObjectMetadata`).

Source: Kubernetes API concepts, "Efficient detection of changes", "Retrieving large results sets in chunks".
"""

import asyncio
import functools
import logging
import random
import re
import threading
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from urllib.parse import quote

import orjson
import stamina
import urllib3
from kubernetes.client import ApiClient

from webhook.kube.client import ApiReader, ResponseError
from webhook.kube.malloc import trim_heap
from webhook.kube.namespaces import NamespaceUnknownError, policy_annotations
from webhook.policy import Annotations
from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    text,
)

_log = logging.getLogger(__name__)

PATH = "/api/v1/namespaces"
PAGE_SIZE = 100  # pages of 500, as kubectl uses, add 2 MiB to a process of 78 MiB
LIVE_READ_DEADLINE = 0.3  # seconds; the API server waits 5 s for a webhook
LIST_TIMEOUT = 30.0  # seconds, for one page
MAX_LIVE_READS = 32  # in flight or queued: the most threads that asyncio's default executor starts
# Namespace names are DNS labels (RFC 1123), but any client that reaches the port can send any string.
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
MAX_ERROR_LENGTH = 256  # characters of an error that are logged
# The API server ends a watch after 5-10 minutes; a shorter timeout makes the interval predictable.
WATCH_SECONDS = (240, 300)
# The API server sends a bookmark about once a minute. A connection without data for two bookmarks is half-open.
WATCH_READ_TIMEOUT = 130.0
# Age at which cached annotations expire. An API server that calls the webhook and cannot be watched for ten minutes has
# a broken network; a restart takes less.
CACHE_MAX_AGE = 600.0

_AS_METADATA = "application/json;as={};g=meta.k8s.io;v=v1"


class _ExpiredError(Exception):
    """Resource version too old to resume the watch (410); a new list is required."""


class WatchedNamespaces:
    """Cached namespaces of a cluster."""

    def __init__(
        self,
        client: ApiClient,
        *,
        live_read_deadline: float = LIVE_READ_DEADLINE,
        cache_max_age: float = CACHE_MAX_AGE,
        watch_read_timeout: float = WATCH_READ_TIMEOUT,
    ) -> None:
        """Prepare the informer without sending a request.

        Args:
            client: Client of the API server.
            live_read_deadline: Seconds that a live read may take.
            cache_max_age: Seconds without contact to the API server after which cached annotations expire. Then each
                request reads its namespace live.
            watch_read_timeout: Seconds without data after which a watch is closed and resumed.
        """
        self._reader = ApiReader(client)
        self._live_read_deadline = live_read_deadline
        self._cache_max_age = cache_max_age
        self._watch_read_timeout = watch_read_timeout
        self._namespaces: dict[str, Annotations] = {}
        self._version = ""
        self._last_contact: float | None = None
        self._live_reads: dict[str, asyncio.Task[Annotations]] = {}
        self._stopped = threading.Event()

    # ---- Namespaces -------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Return whether the first list is complete."""
        return self._last_contact is not None

    @property
    def age(self) -> float:
        """Return the seconds since the last contact with the API server; infinite before the first list."""
        return float("inf") if self._last_contact is None else time.monotonic() - self._last_contact

    def __len__(self) -> int:
        """Return the number of cached namespaces."""
        return len(self._namespaces)

    def cached(self, name: str) -> Annotations | None:
        """Return the cached annotations of namespace `name`, or None if it is unknown or the cache has expired."""
        return self._namespaces.get(name) if self.age < self._cache_max_age else None

    async def annotations(self, name: str) -> Annotations:
        """Return the policy annotations of namespace `name`; see `Namespaces`."""
        cached = self.cached(name)
        return await self._read_live(name) if cached is None else cached

    async def _read_live(self, name: str) -> Annotations:
        """Read a namespace once for all requests that wait for it.

        The result is not cached: the watch adds the namespace a moment later and receives its changes.
        """
        if not DNS_LABEL.fullmatch(name):
            raise NamespaceUnknownError(f"{name[:64]!a} is not a valid namespace name")
        if name not in self._live_reads:
            if len(self._live_reads) >= MAX_LIVE_READS:
                raise NamespaceUnknownError(f"namespace {name!a}: too many live reads in flight")
            self._live_reads[name] = asyncio.create_task(asyncio.to_thread(self._get, name))
            self._live_reads[name].add_done_callback(functools.partial(self._forget, name))
        try:
            async with asyncio.timeout(self._live_read_deadline):
                return await asyncio.shield(self._live_reads[name])
        except TimeoutError:
            raise NamespaceUnknownError(
                f"namespace {name!a}: no response within {self._live_read_deadline} s"
            ) from None

    def _forget(self, name: str, task: asyncio.Task[Annotations]) -> None:
        del self._live_reads[name]
        if not task.cancelled():
            task.exception()  # mark as retrieved, or asyncio logs it if every waiting request timed out

    def _get(self, name: str) -> Annotations:
        try:
            path = f"{PATH}/{quote(name, safe='')}"
            return policy_annotations(_document(self._read(path, "PartialObjectMetadata", self._live_read_deadline)))
        except (_ExpiredError, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise NamespaceUnknownError(f"namespace {name!a}: {_truncate(error)}") from error

    # ---- list and watch ---------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread that lists and watches."""
        threading.Thread(target=self._run, name="namespaces", daemon=True).start()

    def stop(self) -> None:
        """Stop after the current watch. The thread is a daemon and does not delay the exit of the process."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._run_with_backoff()

    def _run_with_backoff(self) -> None:
        """Run sessions with back-off and jitter until one receives data."""
        retry = stamina.retry_context(
            on=Exception, attempts=None, timeout=None, wait_initial=0.2, wait_max=10.0, wait_jitter=1.0
        )
        for attempt in retry:
            with attempt:
                self._session(attempt.num)

    def _session(self, number: int) -> None:
        if self._stopped.is_set():
            return
        before = listed_at = self._last_contact
        try:
            if not self._version:
                self._list()
            listed_at = self._last_contact
            for event in self._watch():
                self._apply(event)
        except _ExpiredError as error:
            _log.info("namespaces: watch expired, relisting: %s", _truncate(error))
            self._version = ""
            if listed_at == self._last_contact:  # back off: the watch expired without an event, so the next may too
                raise
        except Exception as error:
            if before == self._last_contact:
                _log.warning("namespaces: list or watch failed (attempt %d): %s", number, _truncate(error))
                raise
            _log.info("namespaces: watch failed, resuming: %s", _truncate(error))
        else:
            if before == self._last_contact:
                raise OSError("watch closed without events")

    def _list(self) -> None:
        namespaces: dict[str, Annotations] = {}
        # Reuse the cached name strings: new copies would pin the heap pages that the list allocates meanwhile.
        names = {name: name for name in self._namespaces}
        version = ""
        token: str | None = ""
        while token is not None:
            version, token, page = self._read_page(token)
            namespaces |= {names.get(name, name): annotations for name, annotations in page.items()}
        self._namespaces, self._version = namespaces, version
        trim_heap()
        self._record_contact()
        _log.info("namespaces: listed %d at version %s", len(namespaces), version)

    def _read_page(self, token: str) -> tuple[str, str | None, dict[str, Annotations]]:
        """Read one page of the list, in a function of its own so that only one page is in memory.

        Returns:
            The resource version, the continue token (None after the last page) and the namespaces of the page.
        """
        query: dict[str, str | int] = {"limit": PAGE_SIZE, **({"continue": token} if token else {})}
        page = _document(self._read(PATH, "PartialObjectMetadataList", LIST_TIMEOUT, query))
        namespaces = {
            text(item, "metadata", "name") or "": policy_annotations(item) for item in sequence(page, "items")
        }
        return text(page, "metadata", "resourceVersion") or "", text(page, "metadata", "continue"), namespaces

    def _watch(self) -> Iterator[Unstructured]:
        query: dict[str, str | int] = {
            "watch": "true",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": random.randint(*WATCH_SECONDS),  # noqa: S311 - spreads reconnects, not security-relevant
        }
        response = self._read(PATH, "PartialObjectMetadata", self._watch_read_timeout, query)
        try:
            yield from map(orjson.loads, _lines(response))
        finally:
            response.close()

    def _apply(self, event: Unstructured) -> None:
        item, change = mapping(event, "object"), text(event, "type")
        if change == "ERROR":
            raise _error(item.get("code"), text(item, "message") or f"watch closed with status {item.get('code')}")
        name = text(item, "metadata", "name")
        if name and change in {"ADDED", "MODIFIED"}:
            self._namespaces[name] = policy_annotations(item)
        elif name and change == "DELETED":
            self._namespaces.pop(name, None)
        self._version = text(item, "metadata", "resourceVersion") or self._version
        self._record_contact()

    def _record_contact(self) -> None:
        self._last_contact = time.monotonic()

    # ---- the API server ---------------------------------------------------------------------------

    def _read(
        self, path: str, kind: str, seconds: float, query: Mapping[str, str | int] | None = None
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._reader.get(path, query or {}, _AS_METADATA.format(kind), seconds)
        except ResponseError as error:
            raise _error(error.status, str(error)) from None


def _error(code: Unstructured, message: str) -> Exception:
    return _ExpiredError(message) if code == HTTPStatus.GONE else OSError(message)


def _truncate(error: Exception) -> str:
    return str(error)[:MAX_ERROR_LENGTH]


def _document(response: urllib3.BaseHTTPResponse) -> Mapping[str, Unstructured]:
    return mapping(orjson.loads(response.data))


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield the complete lines of a stream and drop a line that a broken connection truncated."""
    rest = b""
    for chunk in response.stream(amt=None):
        *complete, rest = (rest + chunk).split(b"\n")
        yield from filter(None, complete)
