"""What a connection may cost, by a real server on loopback and clients that behave badly."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import uvicorn

from tests.unit.objects import cluster, namespace, review
from webhook.http.app import Webhook, create_app
from webhook.http.limits import MAX_HEADER_SIZE, MAX_REQUEST_SIZE, ConnectionManager
from webhook.kube.namespaces.static import StaticNamespaces
from webhook.policy import Policy
from webhook.telemetry.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.kube.namespaces import Namespaces
    from webhook.policy import Annotations

BODY = json.dumps(review(cluster())).encode()
REQUEST_TIMEOUT = 1.0


class Server:
    """A server in a thread of this process."""

    def __init__(self, namespaces: Namespaces, max_connections: int) -> None:
        """Listen on a free port, with at most so many connections."""
        self.recorder = Recorder()
        manager = ConnectionManager(
            self.recorder.record_rejection, timeout=REQUEST_TIMEOUT, max_connections=max_connections
        )
        app = create_app(Webhook(namespaces, Policy(), self.recorder), self.recorder, {})
        self.socket = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(app, http=manager.protocol, log_config=None, lifespan="off")  # type: ignore[arg-type]
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    def connect(self) -> socket.socket:
        """One more client."""
        connection = socket.create_connection(self.socket.getsockname(), timeout=10)
        connection.settimeout(10)
        return connection

    def count(self, reason: str) -> float:
        """How many were turned away."""
        name = "dask_colocate_requests_rejected_total"
        return self.recorder.registry.get_sample_value(name, {"reason": reason}) or 0


@contextmanager
def serving(namespaces: Namespaces | None = None, max_connections: int = 4096) -> Iterator[Server]:
    """A server while the block runs."""
    server = Server(namespaces or StaticNamespaces([namespace()]), max_connections)
    server.thread.start()
    while not server.server.started:
        time.sleep(0.01)
    yield server
    server.server.should_exit = True
    server.thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server with a patience of a second."""
    with serving() as started:
        yield started


def request(length: int = len(BODY), *headers: str) -> bytes:
    """The head of a request."""
    lines = ["POST /mutate HTTP/1.1", "host: x", f"content-length: {length}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def answered(connection: socket.socket) -> bytes:
    """Everything until the server closes or the answer is complete."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
        if b"}}" in received or b"overloaded" in received:
            break
    return received


@pytest.mark.parametrize("head", [b"", b"POST /mutate HT", request(), request() + BODY[:100]])
def test_slow_client_is_closed(server: Server, head: bytes) -> None:
    """Whoever sends nothing, half a head or half a body, and then a byte now and then, is closed with 408."""
    with server.connect() as slow:
        began = time.monotonic()
        slow.sendall(head)
        slow.settimeout(0.3)
        received = b""
        while time.monotonic() - began < 4 * REQUEST_TIMEOUT and not received:
            try:
                received = slow.recv(99) or b"closed"
            except TimeoutError:
                slow.sendall(b" " if b"\r\n\r\n" in head else b"")
        assert received.startswith(b"HTTP/1.1 408 ")
    assert server.count("timeout") == 1


def test_connection_that_is_used_now_and_then_stays(server: Server) -> None:
    """A connection that rests for longer than a request may take is not closed: it has asked and may ask again."""
    with server.connect() as connection:
        for _ in range(2):
            connection.sendall(request() + BODY)
            assert answered(connection).startswith(b"HTTP/1.1 200")
            time.sleep(2.5 * REQUEST_TIMEOUT)
    assert server.count("timeout") == 0


def test_headers_have_a_limit(server: Server) -> None:
    """A head that does not end is answered with 431, and no more of it is kept."""
    with server.connect() as connection:
        connection.sendall(b"POST /mutate HTTP/1.1\r\nx: ")
        with suppress(OSError):
            for _ in range(MAX_HEADER_SIZE // 1024 + 2):
                connection.sendall(b"y" * 1024)
                time.sleep(0.005)
        assert connection.recv(99).startswith(b"HTTP/1.1 431 ")
    assert server.count("headers-too-large") == 1


def test_answers_have_to_be_taken(server: Server) -> None:
    """Whoever asks on and on and reads no answer is closed, and nothing of it is kept."""
    with server.connect() as connection:
        connection.settimeout(0.2)
        for _ in range(40 * int(REQUEST_TIMEOUT)):
            with suppress(OSError):  # nothing more is taken, and then it is closed
                connection.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n" * 100)
            if server.count("timeout"):
                break
            time.sleep(0.1)
        time.sleep(0.5)
        assert not server.server.server_state.connections
    assert server.count("timeout") == 1


def test_whole_request_has_a_limit(server: Server) -> None:
    """Trailers that do not end are neither head nor body, and count: 413."""
    with server.connect() as connection:
        connection.sendall(b"POST /mutate HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
        with suppress(OSError):
            for _ in range(MAX_REQUEST_SIZE // 65536 + 2):
                connection.sendall(b"x: " + b"y" * 65531 + b"\r\n")
        with suppress(ConnectionError):  # it may be closed with bytes of ours unread
            assert connection.recv(99).startswith(b"HTTP/1.1 413 ")
    assert server.count("request-too-large") == 1


def test_body_behind_an_early_answer_leaves_the_connection_as_it_was(server: Server) -> None:
    """A request answered before its body came is over with its last byte: its connection rests, and may ask again."""
    with server.connect() as connection:
        connection.sendall(request().replace(b"/mutate", b"/nowhere"))
        assert connection.recv(9999).startswith(b"HTTP/1.1 404 ")
        connection.sendall(BODY)
        time.sleep(2.5 * REQUEST_TIMEOUT)
        connection.sendall(request() + BODY)
        assert answered(connection).startswith(b"HTTP/1.1 200")
    assert server.count("timeout") == 0


def test_body_that_does_not_follow_its_early_answer_is_waited_for(server: Server) -> None:
    """A request that is answered and never completed ends its connection, with no second answer."""
    with server.connect() as connection:
        connection.sendall(request().replace(b"/mutate", b"/nowhere") + BODY[:20])
        received = b""
        while piece := connection.recv(9999):
            received += piece
        assert received.count(b"HTTP/1.1") == 1
    assert server.count("timeout") == 1


def test_idle_connections_do_not_keep_others_out() -> None:
    """With as many idle connections as are allowed, the next client is served, and one of the idle ones is closed."""
    with serving(max_connections=20) as server:
        idle = [server.connect() for _ in range(20)]
        time.sleep(0.2)
        with server.connect() as connection:
            connection.sendall(request() + BODY)
            assert answered(connection).startswith(b"HTTP/1.1 200")
        assert server.count("too-many-connections") == 1
        for each in idle:
            each.close()


def test_gzip_is_not_unpacked(server: Server) -> None:
    """A body that says it is compressed is read as it is: no review, 400."""
    with server.connect() as connection:
        connection.sendall(request(20, "content-encoding: gzip", "connection: close") + b"\x1f\x8b" + b"\0" * 18)
        assert answered(connection).startswith(b"HTTP/1.1 400 ")


def test_overload_is_shed_and_ends_by_itself() -> None:
    """What has waited too long gets 429 with Retry-After at once; the next request is answered as ever."""
    slow = Slow(0)
    with serving(slow) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(60)]
        for each in clients:  # an API server keeps its connections: these are known before the rush
            each.sendall(request() + BODY)
            assert answered(each).startswith(b"HTTP/1.1 200")
        slow.seconds = 0.1
        for each in clients:
            each.sendall(request() + BODY)
        answers = [answered(each) for each in clients]
        shed = [each for each in answers if each.startswith(b"HTTP/1.1 429 ")]
        assert shed
        assert all(b"retry-after: 1" in each for each in shed)
        assert sum(each.startswith(b"HTTP/1.1 200") for each in answers) == len(answers) - len(shed)
        slow.seconds = 0
        clients[0].sendall(request() + BODY)
        assert answered(clients[0]).startswith(b"HTTP/1.1 200")


class Slow:
    """A source of namespaces that keeps the event loop busy."""

    ready = True

    def __init__(self, seconds: float) -> None:
        """For so long each time."""
        self.seconds = seconds

    async def annotations(self, name: str) -> Annotations:  # noqa: ARG002 - the port's signature
        """No annotations."""
        time.sleep(self.seconds)  # noqa: ASYNC251 - that is the point
        await asyncio.sleep(0)
        return frozenset()
