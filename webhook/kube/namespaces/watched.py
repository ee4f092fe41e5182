"""Namespaces as an API server has them: listed once, then watched, by one thread off the request path.

A request reads a dict. Only a namespace that the watch has not brought yet is read live, once, with a deadline.
Metadata is all that travels (`PartialObjectMetadata`); 10,000 namespaces are listed in 100 pages.

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

from webhook.kube.client import Reader, RefusedError
from webhook.kube.malloc import give_back
from webhook.kube.namespaces import NamespaceUnknownError, ours
from webhook.policy import Annotations
from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    text,
)

_log = logging.getLogger(__name__)

PATH = "/api/v1/namespaces"
PAGE = 100  # a page of 500, kubectl's own, leaves a process of 78 MiB two larger, for a third of a second
LIVE_DEADLINE = 0.3  # seconds; a fraction of the API server's patience with a webhook, 5 s
LIST_SECONDS = 30.0  # for one page
# Live reads in flight or waiting for a thread: as many as asyncio's own pool may have threads.
LIVE_MOST = 32
# A namespace's name is a DNS label (RFC 1123). Whoever reaches the port can write anything in its place.
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LONGEST_ERROR = 256  # characters of an error's text that are logged
# The API server ends a watch after 5-10 minutes by itself; ending it here keeps the interval known.
WATCH_SECONDS = (240, 300)
# A bookmark comes about once a minute; a connection silent for longer than two of them is half-open.
SILENCE = 130.0

# How long what is known is vouched for when the API server is not heard of. A bookmark comes about once a minute;
# an API server that calls webhooks and cannot be watched for so long is a broken network, not a restart.
VOUCHED_SECONDS = 600.0

_AS_METADATA = "application/json;as={};g=meta.k8s.io;v=v1"


class _ExpiredError(Exception):
    """The resource version is too old to resume from (410): only a new list helps."""


class Watched:
    """The namespaces of a cluster."""

    def __init__(
        self,
        client: ApiClient,
        *,
        live_deadline: float = LIVE_DEADLINE,
        vouched: float = VOUCHED_SECONDS,
        silence: float = SILENCE,
    ) -> None:
        """Use `client` for every call.

        Args:
            client: The API server's.
            live_deadline: Seconds that a live read may take.
            vouched: Seconds after the API server was last heard of for which annotations that are known still count;
                then each namespace is read live, and unknown where that fails.
            silence: Seconds without a word after which a watch is given up and resumed.
        """
        self._reader = Reader(client)
        self._live_deadline = live_deadline
        self._vouched = vouched
        self._silence = silence
        self._namespaces: dict[str, Annotations] = {}
        self._version = ""
        self._heard_at: float | None = None
        self._live: dict[str, asyncio.Task[Annotations]] = {}
        self._stopped = threading.Event()

    # ---- the port ---------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the first list is complete."""
        return self._heard_at is not None

    @property
    def age(self) -> float:
        """Seconds since the API server was last heard of; infinite before the first list."""
        return float("inf") if self._heard_at is None else time.monotonic() - self._heard_at

    def __len__(self) -> int:
        """How many namespaces are known."""
        return len(self._namespaces)

    def known(self, name: str) -> Annotations | None:
        """Our annotations on the namespace `name` as last heard of, however long ago; None where it is not known."""
        return self._namespaces.get(name)

    async def annotations(self, name: str) -> Annotations:
        """Our annotations on the namespace `name`; see `Namespaces`."""
        known = self._namespaces.get(name)
        return known if known is not None and self.age < self._vouched else await self._read_live(name)

    async def _read_live(self, name: str) -> Annotations:
        """One read for all requests that wait for the same namespace.

        Its answer is not kept: the watch brings the namespace a moment later, and knows of its changes.
        """
        if not LABEL.fullmatch(name):
            raise NamespaceUnknownError(f"{name[:64]!a} is no name of a namespace")
        if name not in self._live:
            if len(self._live) >= LIVE_MOST:
                raise NamespaceUnknownError(f"namespace {name!a}: too many are being read live")
            self._live[name] = asyncio.create_task(asyncio.to_thread(self._get, name))
            self._live[name].add_done_callback(functools.partial(self._forget, name))
        try:
            async with asyncio.timeout(self._live_deadline):
                return await asyncio.shield(self._live[name])
        except TimeoutError:
            raise NamespaceUnknownError(f"namespace {name!a}: no answer within {self._live_deadline} s") from None

    def _forget(self, name: str, task: asyncio.Task[Annotations]) -> None:
        del self._live[name]
        if not task.cancelled():
            task.exception()  # retrieved, so that nobody left waiting is no complaint

    def _get(self, name: str) -> Annotations:
        try:
            path = f"{PATH}/{quote(name, safe='')}"
            return ours(_document(self._read(path, "PartialObjectMetadata", self._live_deadline)))
        except (_ExpiredError, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise NamespaceUnknownError(f"namespace {name!a}: {_cut(error)}") from error

    # ---- the thread -------------------------------------------------------------------------------

    def start(self) -> None:
        """List and watch from now on."""
        threading.Thread(target=self._run, name="namespaces", daemon=True).start()

    def stop(self) -> None:
        """Begin nothing new. The thread is a daemon: a watch in progress ends with the process."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._follow()

    def _follow(self) -> None:
        """One session that brought something; those that bring nothing are repeated with back-off and jitter."""
        retry = stamina.retry_context(
            on=Exception, attempts=None, timeout=None, wait_initial=0.2, wait_max=10.0, wait_jitter=1.0
        )
        for attempt in retry:
            with attempt:
                self._session(attempt.num)

    def _session(self, number: int) -> None:
        if self._stopped.is_set():
            return
        heard_at = listed_at = self._heard_at
        try:
            if not self._version:
                self._list()
            listed_at = self._heard_at
            for event in self._watch():
                self._take(event)
        except _ExpiredError as error:
            _log.info("namespaces: listing anew: %s", _cut(error))
            self._version = ""
            if listed_at == self._heard_at:  # a list that cannot be watched from may be followed by many more
                raise
        except Exception as error:
            if heard_at == self._heard_at:
                _log.warning("namespaces: attempt %d failed: %s", number, _cut(error))
                raise
            _log.info("namespaces: the watch broke off and is resumed: %s", _cut(error))
        else:
            if heard_at == self._heard_at:
                raise OSError("the watch ended without a word")

    def _list(self) -> None:
        found: dict[str, Annotations] = {}
        # What is known already stays where it is in memory: copies would pin the pages that the list takes meanwhile.
        names = {name: name for name in self._namespaces}
        version = ""
        proceed: str | None = ""
        while proceed is not None:
            version, proceed, page = self._page(proceed)
            found |= {names.get(name, name): annotations for name, annotations in page.items()}
        self._namespaces, self._version = found, version
        give_back()  # the pages
        self._heard()
        _log.info("namespaces: listed %d at version %s", len(found), version)

    def _page(self, proceed: str) -> tuple[str, str | None, dict[str, Annotations]]:
        """Read the page of the list that begins at `proceed`, and keep nothing of it but what is said here.

        Two pages at once would make the process a MiB larger for ever.

        Returns:
            The list's version, where it goes on, None at its end, and the page's namespaces.
        """
        query: dict[str, str | int] = {"limit": PAGE, **({"continue": proceed} if proceed else {})}
        page = _document(self._read(PATH, "PartialObjectMetadataList", LIST_SECONDS, query))
        namespaces = {text(item, "metadata", "name") or "": ours(item) for item in sequence(page, "items")}
        return text(page, "metadata", "resourceVersion") or "", text(page, "metadata", "continue"), namespaces

    def _watch(self) -> Iterator[Unstructured]:
        query: dict[str, str | int] = {
            "watch": "true",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": random.randint(*WATCH_SECONDS),  # noqa: S311 - spreads reconnects, guards nothing
        }
        response = self._read(PATH, "PartialObjectMetadata", self._silence, query)
        try:
            yield from map(orjson.loads, _lines(response))
        finally:
            response.close()

    def _take(self, event: Unstructured) -> None:
        item, change = mapping(event, "object"), text(event, "type")
        if change == "ERROR":
            raise _refusal(item.get("code"), text(item, "message") or f"the watch ended with {item.get('code')}")
        name = text(item, "metadata", "name")
        if name and change in {"ADDED", "MODIFIED"}:
            self._namespaces[name] = ours(item)
        elif name and change == "DELETED":
            self._namespaces.pop(name, None)
        self._version = text(item, "metadata", "resourceVersion") or self._version
        self._heard()

    def _heard(self) -> None:
        self._heard_at = time.monotonic()

    # ---- the API server ---------------------------------------------------------------------------

    def _read(
        self, path: str, shape: str, seconds: float, query: Mapping[str, str | int] | None = None
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._reader.get(path, query or {}, _AS_METADATA.format(shape), seconds)
        except RefusedError as error:
            raise _refusal(error.status, str(error)) from None


def _refusal(code: Unstructured, message: str) -> Exception:
    return _ExpiredError(message) if code == HTTPStatus.GONE else OSError(message)


def _cut(error: Exception) -> str:
    return str(error)[:LONGEST_ERROR]


def _document(response: urllib3.BaseHTTPResponse) -> Mapping[str, Unstructured]:
    return mapping(orjson.loads(response.data))


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The complete lines of a stream; a line cut off by a broken connection is no event."""
    rest = b""
    for chunk in response.stream(amt=None):
        *complete, rest = (rest + chunk).split(b"\n")
        yield from filter(None, complete)
