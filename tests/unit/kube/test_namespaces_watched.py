"""Informer of namespaces against an HTTP server with scripted responses and faults."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlparse

import pytest
from kubernetes.client import ApiClient, Configuration

from webhook.kube.namespaces import NamespaceUnknownError
from webhook.kube.namespaces.watched import LIVE_READ_DEADLINE, MAX_LIVE_READS, WatchedNamespaces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "colocate.dask.org/enabled"


class Script:
    """Scripted responses of the server, and the requests that it received.

    Attributes:
        lists: Pages for list requests, in order; the last page is repeated.
        watches: Bodies for watch requests, in order; later watches stay open without events.
        reads: Seconds that a live read takes.
        requests: Query of each request, with its path under the key `path`.
    """

    def __init__(self) -> None:
        """Create an empty script."""
        self.lists: list[Any] = []
        self.watches: list[str] = []
        self.reads = 0.0
        self.requests: list[dict[str, str]] = []
        self.over = threading.Event()


def namespace(name: str, version: int, **annotations: str) -> dict[str, Any]:
    """Return the metadata of a Namespace."""
    return {
        "kind": "PartialObjectMetadata",
        "metadata": {"name": name, "resourceVersion": str(version), "annotations": annotations},
    }


def page(*items: dict[str, Any], version: int = 10, proceed: str = "") -> dict[str, Any]:
    """Return one page of a list."""
    return {"metadata": {"resourceVersion": str(version), "continue": proceed}, "items": list(items)}


def event(change: str, item: dict[str, Any]) -> str:
    """Return one line of a watch."""
    return json.dumps({"type": change, "object": item}) + "\n"


def handler(script: Script) -> type[BaseHTTPRequestHandler]:
    """Return a handler that serves the script."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlparse(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            script.requests.append({**query, "path": url.path, "accept": self.headers["Accept"]})
            if "watch" in query and script.watches[:1] == ["410"]:
                self.answer({"code": int(script.watches.pop(0))})
            elif "watch" in query:
                self.send_response(200)
                self.end_headers()
                self.watch()
            elif url.path.count("/") > 3:
                time.sleep(script.reads)
                self.answer(
                    {"code": 404}
                    if url.path.endswith("/missing")
                    else namespace(url.path.rpartition("/")[2], 1, **{KEY: "live"})
                )
            else:
                self.answer(script.lists.pop(0) if len(script.lists) > 1 else script.lists[0])

        def watch(self) -> None:
            if script.watches:
                self.wfile.write(script.watches.pop(0).encode())
            else:
                script.over.wait(20)

        def answer(self, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(document.get("code", 200))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(BrokenPipeError):  # the client has timed out
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write no log."""

    return Handler


@contextmanager
def playing(script: Script, **limits: float) -> Iterator[WatchedNamespaces]:
    """Run an informer against a server that plays the script, with a long deadline for live reads."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(script))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{server.server_port}"
    configuration.retries = False
    watched = WatchedNamespaces(ApiClient(configuration), **{"live_read_deadline": 5.0, **limits})
    watched.start()
    try:
        yield watched
    finally:
        watched.stop()
        script.over.set()
        server.shutdown()
        server.server_close()


def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until `holds` returns True; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def value(watched: WatchedNamespaces, name: str) -> str | None:
    """Return the annotation of a namespace."""
    return dict(asyncio.run(watched.annotations(name))).get(KEY)


@pytest.fixture
def script() -> Script:
    """Return a script with one enabled namespace."""
    made = Script()
    made.lists = [page(namespace("a", 1, **{KEY: "true"}, other="x"))]
    return made


def test_only_policy_annotations_are_cached(script: Script) -> None:
    """After the first list the informer is ready and has cached the policy annotations only."""
    with playing(script) as watched:
        until(lambda: watched.ready)
        assert asyncio.run(watched.annotations("a")) == {(KEY, "true")}
        assert script.requests[0]["accept"].startswith("application/json;as=PartialObjectMetadataList")


def test_pages_are_joined(script: Script) -> None:
    """The pages of a list are requested with continue tokens and joined."""
    script.lists = [page(namespace("a", 1), proceed="more"), page(namespace("b", 2), version=12)]
    with playing(script) as watched:
        until(lambda: len(watched) == 2)
        until(lambda: len(script.requests) == 3)
        assert script.requests[1]["continue"] == "more"
        assert script.requests[2]["resourceVersion"] == "12"


def test_events_update_the_cache(script: Script) -> None:
    """Events add, modify and delete namespaces, and the next watch resumes after the last event."""
    script.watches = [
        event("ADDED", namespace("b", 11, **{KEY: "true"}))
        + event("MODIFIED", namespace("a", 12, **{KEY: "false"}))
        + event("ADDED", namespace("c", 13))
        + event("DELETED", namespace("c", 14))
        + event("BOOKMARK", {"metadata": {"resourceVersion": "99"}})
    ]
    with playing(script) as watched:
        until(lambda: sum("watch" in each for each in script.requests) == 2)
        assert (value(watched, "a"), value(watched, "b"), len(watched)) == ("false", "true", 2)
        assert script.requests[-1]["resourceVersion"] == "99"
        assert script.requests[-1]["allowWatchBookmarks"] == "true"


@pytest.mark.parametrize("how", ["event", "page", "watch"])
def test_expired_version_is_relisted(script: Script, how: str) -> None:
    """A 410, as an event or as a response, leads to a relist, which removes deleted namespaces."""
    script.lists = [page(namespace("a", 1), namespace("gone", 2)), page(namespace("a", 1, **{KEY: "new"}), version=50)]
    gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
    if how == "page":
        script.lists.insert(1, gone)  # the second list expires within a page and starts again
    script.watches = ["410"] if how == "watch" else [event("ERROR", gone)]
    with playing(script) as watched:
        until(lambda: value(watched, "a") == "new")
        assert len(watched) == 1


def test_repeated_expiry_backs_off(script: Script) -> None:
    """If every watch expires, relists back off, and the listed namespaces stay cached."""
    script.watches = ["410"] * 100
    with playing(script) as watched:
        until(lambda: watched.ready)
        time.sleep(3)
        assert value(watched, "a") == "true"
        assert sum("watch" in each for each in script.requests) < 12


def test_half_open_connection_is_closed(script: Script) -> None:
    """A watch without data is closed and resumed; the cache stays in use, and its age grows."""
    with playing(script, watch_read_timeout=0.5) as watched:
        until(lambda: sum("watch" in each for each in script.requests) >= 2)
        assert value(watched, "a") == "true"
        assert watched.age >= 0.5


def test_cached_annotations_expire(script: Script) -> None:
    """After the maximum age of the cache each namespace is read live, and is unknown if that fails."""
    with playing(script, cache_max_age=0.3) as watched:
        until(lambda: watched.ready)
        until(lambda: watched.age > 0.3)
        assert value(watched, "a") == "live"
        with pytest.raises(NamespaceUnknownError):
            asyncio.run(watched.annotations("missing"))


def test_truncated_line_is_dropped(script: Script) -> None:
    """If a connection breaks within an event, the watch resumes before that event."""
    whole = event("MODIFIED", namespace("a", 11, **{KEY: "first"}))
    cut = event("MODIFIED", namespace("a", 12, **{KEY: "second"}))
    script.watches = [whole + cut[:40], cut]
    with playing(script) as watched:
        until(lambda: value(watched, "a") == "second")
        versions = [each["resourceVersion"] for each in script.requests if "watch" in each]
        assert versions[:2] == ["10", "11"]


def test_failed_first_list_is_repeated(script: Script) -> None:
    """A failed first list is repeated with back-off; until it succeeds the informer is not ready."""
    refused = {"kind": "Status", "code": 503, "message": "not yet"}
    script.lists = [refused, refused, *script.lists]
    with playing(script) as watched:
        assert not watched.ready
        until(lambda: watched.ready, 10)
        assert value(watched, "a") == "true"


def test_live_read_is_shared(script: Script) -> None:
    """Requests that wait for the same namespace share one live read, whose result is not cached."""
    script.reads = 0.05

    async def together(watched: WatchedNamespaces) -> list[Any]:
        return await asyncio.gather(*(watched.annotations("new") for _ in range(20)))

    with playing(script) as watched:
        until(lambda: watched.ready)
        assert asyncio.run(together(watched)) == [{(KEY, "live")}] * 20
        assert sum(each["path"].endswith("/new") for each in script.requests) == 1
        assert len(watched) == 1


def test_namespace_that_does_not_exist_is_unknown(script: Script) -> None:
    """A live read with 404 means that the namespace is unknown."""
    with playing(script) as watched:
        until(lambda: watched.ready)
        with pytest.raises(NamespaceUnknownError, match="404"):
            asyncio.run(watched.annotations("missing"))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "A", "-a", "a" * 64, "a\n"])
def test_invalid_name_is_unknown(script: Script, name: str) -> None:
    """A name that is not a DNS label is unknown without a live read."""
    with playing(script) as watched:
        until(lambda: sum("watch" in each for each in script.requests) == 1)
        with pytest.raises(NamespaceUnknownError, match="not a valid namespace name"):
            asyncio.run(watched.annotations(name))
        assert len(script.requests) == 2  # the list and the watch


def test_live_reads_have_a_limit(script: Script) -> None:
    """Live reads above the limit fail at once."""
    script.reads = 0.1

    async def many(watched: WatchedNamespaces) -> list[Any]:
        asked = (watched.annotations(f"new-{number}") for number in range(2 * MAX_LIVE_READS))
        return await asyncio.gather(*asked, return_exceptions=True)

    with playing(script) as watched:
        until(lambda: watched.ready)
        answers = asyncio.run(many(watched))
        assert sum(isinstance(each, NamespaceUnknownError) for each in answers) == MAX_LIVE_READS
        assert sum("/new-" in each["path"] for each in script.requests) == MAX_LIVE_READS


def test_live_read_has_a_deadline(script: Script) -> None:
    """A live read that takes longer than the deadline fails, and the namespace is unknown for that request."""
    script.reads = 1.0
    with playing(script, live_read_deadline=LIVE_READ_DEADLINE) as watched:
        until(lambda: watched.ready)
        started = time.monotonic()

        async def ask() -> float:
            with pytest.raises(NamespaceUnknownError, match=r"no response|timed out"):
                await watched.annotations("new")
            return time.monotonic() - started

        assert asyncio.run(ask()) < 0.9
