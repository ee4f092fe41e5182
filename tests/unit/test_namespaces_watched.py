"""The watch of namespaces against an HTTP server that plays back what an API server says, faults included."""

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
    """What the server answers, request by request; every request is kept.

    Attributes:
        lists: Pages for list requests, in order; the last one is repeated.
        watches: Texts for watch requests, in order; after them a watch stays silent until the server stops.
        reads: Seconds that a read of one namespace takes.
        requests: The query of each request, with its path under the key `path`.
    """

    def __init__(self) -> None:
        """Nothing to say yet."""
        self.lists: list[Any] = []
        self.watches: list[str] = []
        self.reads = 0.0
        self.requests: list[dict[str, str]] = []
        self.over = threading.Event()


def namespace(name: str, version: int, **annotations: str) -> dict[str, Any]:
    """A Namespace as metadata."""
    return {
        "kind": "PartialObjectMetadata",
        "metadata": {"name": name, "resourceVersion": str(version), "annotations": annotations},
    }


def page(*items: dict[str, Any], version: int = 10, proceed: str = "") -> dict[str, Any]:
    """One page of a list."""
    return {"metadata": {"resourceVersion": str(version), "continue": proceed}, "items": list(items)}


def event(change: str, item: dict[str, Any]) -> str:
    """One line of a watch."""
    return json.dumps({"type": change, "object": item}) + "\n"


def handler(script: Script) -> type[BaseHTTPRequestHandler]:
    """What serves the script."""

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
            with suppress(BrokenPipeError):  # the client has given up
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    return Handler


@contextmanager
def playing(script: Script, **limits: float) -> Iterator[WatchedNamespaces]:
    """A started watch on a server that plays the script; a live read may take as long as a busy machine needs."""
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
    """Wait until something holds; fail when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def value(watched: WatchedNamespaces, name: str) -> str | None:
    """Our annotation on a namespace, through the port."""
    return dict(asyncio.run(watched.annotations(name))).get(KEY)


@pytest.fixture
def script() -> Script:
    """A server with one enabled namespace."""
    made = Script()
    made.lists = [page(namespace("a", 1, **{KEY: "true"}, other="x"))]
    return made


def test_only_our_annotations_are_kept(script: Script) -> None:
    """After the first list it is ready, and of a namespace's annotations it holds ours alone."""
    with playing(script) as watched:
        until(lambda: watched.ready)
        assert asyncio.run(watched.annotations("a")) == {(KEY, "true")}
        assert script.requests[0]["accept"].startswith("application/json;as=PartialObjectMetadataList")


def test_pages_are_joined(script: Script) -> None:
    """A list in pages is one list, each page asked for with the token of the one before."""
    script.lists = [page(namespace("a", 1), proceed="more"), page(namespace("b", 2), version=12)]
    with playing(script) as watched:
        until(lambda: len(watched) == 2)
        until(lambda: len(script.requests) == 3)
        assert script.requests[1]["continue"] == "more"
        assert script.requests[2]["resourceVersion"] == "12"


def test_events_change_what_is_known(script: Script) -> None:
    """Added, modified and deleted namespaces are followed, and the next watch resumes after the last event."""
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
def test_expired_version_is_listed_anew(script: Script, how: str) -> None:
    """A 410, as an event or as the answer itself, leads to a new list; what vanished meanwhile is gone."""
    script.lists = [page(namespace("a", 1), namespace("gone", 2)), page(namespace("a", 1, **{KEY: "new"}), version=50)]
    gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
    if how == "page":
        script.lists.insert(1, gone)  # a page of the second list, which then begins once more
    script.watches = ["410"] if how == "watch" else [event("ERROR", gone)]
    with playing(script) as watched:
        until(lambda: value(watched, "a") == "new")
        assert len(watched) == 1


def test_version_that_is_always_expired_is_listed_with_back_off(script: Script) -> None:
    """An API server that answers every watch with 410 is asked less and less often; what it lists still counts."""
    script.watches = ["410"] * 100
    with playing(script) as watched:
        until(lambda: watched.ready)
        time.sleep(3)
        assert value(watched, "a") == "true"
        assert sum("watch" in each for each in script.requests) < 12


def test_stuck_connection_is_given_up(script: Script) -> None:
    """A watch that goes silent without an end is given up and resumed; what is known serves on, and its age shows."""
    with playing(script, watch_read_timeout=0.5) as watched:
        until(lambda: sum("watch" in each for each in script.requests) >= 2)
        assert value(watched, "a") == "true"
        assert watched.age >= 0.5


def test_what_is_known_is_vouched_for_so_long(script: Script) -> None:
    """When the API server has been silent for too long, a namespace is read live again, and unknown where it can't."""
    with playing(script, cache_max_age=0.3) as watched:
        until(lambda: watched.ready)
        until(lambda: watched.age > 0.3)
        assert value(watched, "a") == "live"
        with pytest.raises(NamespaceUnknownError):
            asyncio.run(watched.annotations("missing"))


def test_cut_line_is_no_event(script: Script) -> None:
    """A connection that breaks in the middle of an event loses nothing: the watch resumes before it."""
    whole = event("MODIFIED", namespace("a", 11, **{KEY: "first"}))
    cut = event("MODIFIED", namespace("a", 12, **{KEY: "second"}))
    script.watches = [whole + cut[:40], cut]
    with playing(script) as watched:
        until(lambda: value(watched, "a") == "second")
        versions = [each["resourceVersion"] for each in script.requests if "watch" in each]
        assert versions[:2] == ["10", "11"]


def test_failed_first_list_is_repeated(script: Script) -> None:
    """An API server that refuses at first is asked again with back-off; until then it is not ready."""
    refused = {"kind": "Status", "code": 503, "message": "not yet"}
    script.lists = [refused, refused, *script.lists]
    with playing(script) as watched:
        assert not watched.ready
        until(lambda: watched.ready, 10)
        assert value(watched, "a") == "true"


def test_unknown_namespace_is_read_live_once_for_all(script: Script) -> None:
    """Requests that wait for the same new namespace share one read, whose answer is not kept."""
    script.reads = 0.05

    async def together(watched: WatchedNamespaces) -> list[Any]:
        return await asyncio.gather(*(watched.annotations("new") for _ in range(20)))

    with playing(script) as watched:
        until(lambda: watched.ready)
        assert asyncio.run(together(watched)) == [{(KEY, "live")}] * 20
        assert sum(each["path"].endswith("/new") for each in script.requests) == 1
        assert len(watched) == 1


def test_namespace_that_does_not_exist_is_unknown(script: Script) -> None:
    """A 404 to the live read is a namespace that could not be read, not an error of ours."""
    with playing(script) as watched:
        until(lambda: watched.ready)
        with pytest.raises(NamespaceUnknownError, match="404"):
            asyncio.run(watched.annotations("missing"))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "A", "-a", "a" * 64, "a\n"])
def test_name_that_no_namespace_has_is_unknown(script: Script, name: str) -> None:
    """What is no DNS label of at most 63 characters is unknown, and the API server is not asked."""
    with playing(script) as watched:
        until(lambda: sum("watch" in each for each in script.requests) == 1)
        with pytest.raises(NamespaceUnknownError, match="not a valid namespace name"):
            asyncio.run(watched.annotations(name))
        assert len(script.requests) == 2  # the list and the watch


def test_live_reads_have_a_limit(script: Script) -> None:
    """Of many names at once only so many are read; the others are unknown at once."""
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
    """A read that takes longer than 300 ms is given up, and the namespace is unknown for that request."""
    script.reads = 1.0
    with playing(script, live_read_deadline=LIVE_READ_DEADLINE) as watched:
        until(lambda: watched.ready)
        started = time.monotonic()

        async def ask() -> float:
            with pytest.raises(NamespaceUnknownError, match=r"no response|timed out"):
                await watched.annotations("new")
            return time.monotonic() - started

        assert asyncio.run(ask()) < 0.9
