"""Connection limits of a real server on loopback, with misbehaving clients."""

from __future__ import annotations

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
from webhook.http.connections import ConnectionManager
from webhook.http.limits import MAX_HEADER_SIZE, MAX_PIPELINED, MAX_REQUEST_SIZE
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
    """Server in a thread of this process."""

    def __init__(self, namespaces: Namespaces, max_connections: int) -> None:
        """Listen on a free port with a limit on connections."""
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
        """Open a connection."""
        connection = socket.create_connection(self.socket.getsockname(), timeout=10)
        connection.settimeout(10)
        return connection

    def count(self, reason: str) -> float:
        """Return the number of rejections for a reason."""
        name = "dask_colocate_requests_rejected_total"
        return self.recorder.registry.get_sample_value(name, {"reason": reason}) or 0


@contextmanager
def serving(namespaces: Namespaces | None = None, max_connections: int = 4096) -> Iterator[Server]:
    """Run a server."""
    server = Server(namespaces or StaticNamespaces([namespace()]), max_connections)
    server.thread.start()
    while not server.server.started:
        time.sleep(0.01)
    yield server
    server.server.should_exit = True
    server.thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a server with a timeout of one second."""
    with serving() as started:
        yield started


def request(length: int = len(BODY), *headers: str) -> bytes:
    """Return the request line and headers of a request."""
    lines = ["POST /mutate HTTP/1.1", "host: x", f"content-length: {length}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def answered(connection: socket.socket) -> bytes:
    """Return the bytes until the response is complete or the server closes the connection."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
        if b"}}" in received or b"overloaded" in received:
            break
    return received


@pytest.mark.parametrize("head", [b"", b"POST /mutate HT", request(), request() + BODY[:100]])
def test_slow_client_is_closed(server: Server, head: bytes) -> None:
    """A client that sends nothing, or part of a request and then single bytes, gets 408 and is disconnected."""
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


def test_idle_connection_stays_open(server: Server) -> None:
    """A connection that has sent a request may stay idle for longer than the request timeout."""
    with server.connect() as connection:
        for _ in range(2):
            connection.sendall(request() + BODY)
            assert answered(connection).startswith(b"HTTP/1.1 200")
            time.sleep(2.5 * REQUEST_TIMEOUT)
    assert server.count("timeout") == 0


def test_headers_have_a_limit(server: Server) -> None:
    """Headers above the limit get 431 and are not buffered further."""
    with server.connect() as connection:
        connection.sendall(b"POST /mutate HTTP/1.1\r\nx: ")
        with suppress(OSError):
            for _ in range(MAX_HEADER_SIZE // 1024 + 2):
                connection.sendall(b"y" * 1024)
                time.sleep(0.005)
        assert connection.recv(99).startswith(b"HTTP/1.1 431 ")
    assert server.count("headers-too-large") == 1


def test_client_that_reads_no_response_is_closed(server: Server) -> None:
    """A client that sends requests and reads no response is disconnected, and its buffers are released."""
    with server.connect() as connection:
        connection.settimeout(0.2)
        for _ in range(1000):  # 40 MB of responses
            with suppress(OSError):  # the buffers fill up, then the server closes
                connection.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n" * MAX_PIPELINED)
            if server.count("timeout") + server.count("too-many-pipelined"):
                break
            time.sleep(0.01)
        time.sleep(1)
        assert not server.server.server_state.connections
    assert server.count("timeout") + server.count("too-many-pipelined") == 1


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    """A client may send a few requests before it reads the first response."""
    with server.connect() as connection:
        last = b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" * MAX_PIPELINED + last)
        received = b""
        while piece := connection.recv(9999):
            received += piece
    statuses = [line for line in received.splitlines() if line.startswith(b"HTTP/1.1")]
    assert statuses == [b"HTTP/1.1 200 OK"] * MAX_PIPELINED + [b"HTTP/1.1 404 Not Found"]


def test_pipelined_requests_have_a_limit(server: Server) -> None:
    """A client with too many requests without a response is disconnected, and parsing stops."""
    with server.connect() as connection, suppress(ConnectionError):  # the server closes with unread bytes
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" * 10_000)
        while connection.recv(9999):
            continue
    assert server.count("too-many-pipelined") == 1
    assert not server.server.server_state.connections


def test_whole_request_has_a_limit(server: Server) -> None:
    """Trailers count towards the request limit: 413."""
    with server.connect() as connection:
        connection.sendall(b"POST /mutate HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
        with suppress(OSError):
            for _ in range(MAX_REQUEST_SIZE // 65536 + 2):
                connection.sendall(b"x: " + b"y" * 65531 + b"\r\n")
        with suppress(ConnectionError):  # the server may close with unread bytes
            assert connection.recv(99).startswith(b"HTTP/1.1 413 ")
    assert server.count("request-too-large") == 1


def test_connection_stays_usable_after_an_early_response(server: Server) -> None:
    """After a response that precedes the body, the body completes the request, and the connection stays usable."""
    with server.connect() as connection:
        connection.sendall(request().replace(b"/mutate", b"/nowhere"))
        assert connection.recv(9999).startswith(b"HTTP/1.1 404 ")
        connection.sendall(BODY)
        time.sleep(2.5 * REQUEST_TIMEOUT)
        connection.sendall(request() + BODY)
        assert answered(connection).startswith(b"HTTP/1.1 200")
    assert server.count("timeout") == 0


def test_missing_body_after_an_early_response_times_out(server: Server) -> None:
    """A request with a response but without its body times out, without a second response."""
    with server.connect() as connection:
        connection.sendall(request().replace(b"/mutate", b"/nowhere") + BODY[:20])
        received = b""
        while piece := connection.recv(9999):
            received += piece
        assert received.count(b"HTTP/1.1") == 1
    assert server.count("timeout") == 1


def test_idle_connections_do_not_block_new_ones() -> None:
    """With the maximum of idle connections, a new client is served, and an idle connection is closed."""
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
    """A compressed body is not decompressed: it is malformed and gets 400."""
    with server.connect() as connection:
        connection.sendall(request(20, "content-encoding: gzip", "connection: close") + b"\x1f\x8b" + b"\0" * 18)
        assert answered(connection).startswith(b"HTTP/1.1 400 ")


def test_overload_is_rejected_until_it_ends() -> None:
    """Requests that waited too long get 429 with Retry-After; later requests succeed."""
    slow = Slow(0)
    with serving(slow) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(60)]
        for each in clients:  # an API server reuses its connections
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
    """Source of namespaces that blocks the event loop."""

    ready = True

    def __init__(self, seconds: float) -> None:
        """Block for `seconds` at each call."""
        self.seconds = seconds

    def cached(self, name: str) -> Annotations:  # noqa: ARG002 - the port's signature
        """Block, then return no annotations."""
        time.sleep(self.seconds)
        return frozenset()

    async def annotations(self, name: str) -> Annotations:
        """Return no annotations."""
        return self.cached(name)
