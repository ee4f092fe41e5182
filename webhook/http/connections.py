"""Connections of the server: TLS handshake, HTTP/1.1 protocol, and the manager that enforces their limits.

uvicorn's protocol has no read timeout and queues headers and pipelined requests without a bound; uvloop reports no
connection before its handshake is complete. One check a second covers all connections and costs requests nothing.
"""

import asyncio
import gc
import ssl
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from webhook.http import limits
from webhook.http.limits import CLIENT_VERIFIED, RECEIVED_AT, OnReject
from webhook.kube.malloc import trim_heap

if sys.platform == "win32":
    from asyncio import ProactorEventLoop as EventLoop
    from asyncio.sslproto import SSLProtocol
else:
    from uvloop import Loop as EventLoop
    from uvloop.loop import SSLProtocol  # type: ignore[attr-defined]  # its types omit it


class Loop(EventLoop):
    """Event loop whose servers start TLS in `TLSProtocol`, so that sockets count before their handshake is complete."""

    async def create_server(  # type: ignore[override]  # the signature of uvicorn's call
        self,
        protocol_factory: "Callable[[], Connection]",
        *,
        ssl: ssl.SSLContext | None,
        **options: Any,  # noqa: ANN401 - handed on
    ) -> asyncio.AbstractServer:
        """Create a server; `ssl` is the context of its TLS connections."""
        factory = partial(TLSProtocol, self, protocol_factory, ssl) if ssl else protocol_factory
        return await super().create_server(factory, **options)


class ConnectionManager:
    """Enforcement of the limits on all connections of a server."""

    def __init__(
        self,
        on_reject: OnReject,
        *,
        timeout: float = limits.REQUEST_TIMEOUT,
        max_connections: int = limits.MAX_CONNECTIONS,
    ) -> None:
        """Prepare for connections; `on_reject` is called for each connection that a limit closes."""
        self._on_reject = on_reject
        self._timeout = timeout
        self._max_connections = max_connections
        self._check_scheduled = False
        self._closed = 0  # since the last garbage collection
        self._last_full_collection = 0.0
        self._handshakes: dict[Connection, TLSProtocol] = {}  # in the order of their start
        self._connections: dict[Connection, None] = {}  # in the order of their start
        self._pending: dict[Connection, tuple[object, float]] = {}

    def protocol(
        self, config: Config, server_state: ServerState, app_state: dict[str, object], _loop: object = None
    ) -> asyncio.Protocol:
        """Create the protocol of a new connection, with the signature that `uvicorn.Config` requires."""
        return Connection(self, config, server_state, app_state)

    def add_handshake(self, tls: "TLSProtocol", connection: "Connection") -> None:
        """Add a connection whose handshake starts."""
        self._handshakes[connection] = tls
        self._make_room()

    def remove_handshake(self, connection: "Connection") -> None:
        """Remove a connection that is closed, if its handshake is incomplete."""
        if self._handshakes.pop(connection, None):
            self._record_closed()

    def add(self, connection: "Connection") -> None:
        """Add a connection that is ready for requests."""
        self._handshakes.pop(connection, None)
        self._connections[connection] = None
        self._schedule_check()
        self._make_room()

    def remove(self, connection: "Connection") -> None:
        """Remove a closed connection and schedule the collection of its buffers."""
        self._forget(connection)
        self._record_closed()

    def reject(self, connection: "Connection", status: HTTPStatus | None, reason: str) -> None:
        """Close a connection, with an error response if `status` is given."""
        self._forget(connection)
        self._on_reject(reason)
        connection.close(status)

    def _make_room(self) -> None:
        """Close a connection above the limit: the oldest handshake, else the idle connection of least value."""
        if len(self._handshakes) + len(self._connections) <= self._max_connections:
            return
        if self._handshakes:
            tls = self._handshakes.pop(next(iter(self._handshakes)))
            self._on_reject("too-many-connections")
            tls.abort()
            self._record_closed()
            return
        newest = next(reversed(self._connections))
        idle = (connection for connection in self._connections if connection.is_idle and connection is not newest)
        self.reject(_least_valuable(idle) or newest, None, "too-many-connections")

    def _forget(self, connection: "Connection") -> None:
        self._connections.pop(connection, None)
        self._pending.pop(connection, None)

    def _record_closed(self) -> None:
        self._closed += 1
        self._schedule_check()

    def _schedule_check(self) -> None:
        """Schedule the next check unless it is scheduled or there is nothing to check."""
        if not self._check_scheduled and (self._connections or self._closed >= limits.CLOSED_PER_COLLECTION):
            self._check_scheduled = True
            asyncio.get_running_loop().call_later(limits.CHECK_INTERVAL, self._check)

    def _check(self) -> None:
        """Close connections whose request or response has been incomplete for longer than the timeout."""
        now, before, self._pending = time.monotonic(), self._pending, {}
        for connection in self._connections:
            if connection.is_receiving or connection.is_sending:
                scope, since = before.get(connection, (None, now))
                self._pending[connection] = (connection.scope, since if scope is connection.scope else now)
        for connection, (_, since) in list(self._pending.items()):
            if now - since >= self._timeout:
                self.reject(connection, HTTPStatus.REQUEST_TIMEOUT, "timeout")
        if self._closed >= limits.CLOSED_PER_COLLECTION:
            self._closed = 0
            self._collect()
        self._check_scheduled = False
        self._schedule_check()

    def _collect(self) -> None:
        """Collect closed connections; among many open ones a full collection takes 0.1 s and must be rare."""
        full = time.monotonic() - self._last_full_collection >= limits.FULL_COLLECTION_INTERVAL
        if full:
            self._last_full_collection = time.monotonic()
        gc.collect(2 if full else 1)
        trim_heap()


def _least_valuable(connections: "Iterable[Connection]") -> "Connection | None":
    """Return the connection to close first: the API server's have a client certificate, or are old and have responses.

    An attacker opens connections in bulk. They are younger than those of the API server, and most send no request.
    """
    return min(
        reversed(list(connections)), key=lambda each: (each.client_verified, min(each.responses, 1)), default=None
    )


class TLSProtocol(SSLProtocol):  # type: ignore[misc]  # as above
    """TLS protocol between a TCP connection and a `Connection`, which counts from before its handshake."""

    def __init__(self, loop: Loop, protocol_factory: "Callable[[], Connection]", context: ssl.SSLContext) -> None:
        """Create the protocol of an accepted TCP connection."""
        self._connection = protocol_factory()
        self._tcp: asyncio.Transport | None = None
        super().__init__(
            loop,
            self._connection,
            context,
            waiter=None,
            server_side=True,
            ssl_handshake_timeout=limits.TLS_HANDSHAKE_TIMEOUT,
            ssl_shutdown_timeout=limits.REQUEST_TIMEOUT,
        )

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start the handshake."""
        self._tcp = transport
        self._connection.manager.add_handshake(self, self._connection)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister a connection whose handshake is incomplete."""
        self._connection.manager.remove_handshake(self._connection)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close the connection."""
        if self._tcp:
            self._tcp.abort()


class Connection(HttpToolsProtocol):
    """HTTP/1.1 connection of uvicorn with limits on the request and on the time to send a response."""

    def __init__(
        self, manager: ConnectionManager, config: Config, server_state: ServerState, app_state: dict[str, object]
    ) -> None:
        """Create a connection that reports to `manager`."""
        super().__init__(config, server_state, app_state)
        self.manager = manager
        self.client_verified = False
        self.responses = 0
        self._received = 0  # bytes of the incomplete request

    @property
    def has_requested(self) -> bool:
        """Return whether the client has sent the headers of a request."""
        return self.cycle is not None

    @property
    def is_receiving(self) -> bool:
        """Return whether a request is incomplete, or the first one has not started."""
        return self._received > 0 or not self.has_requested

    @property
    def is_sending(self) -> bool:
        """Return whether the client has not read all of a response."""
        return self.transport.get_write_buffer_size() > 0

    @property
    def is_idle(self) -> bool:
        """Return whether no request is being processed."""
        return not self.has_requested or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection and note whether the client is verified."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        self.client_verified = bool(tls and tls.getpeercert())
        self.manager.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection."""
        self.manager.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes, and reject a request above the size limits."""
        self._received += len(data)
        super().data_received(data)
        if self._received > limits.MAX_HEADER_SIZE and not self._has_headers:
            self.manager.reject(self, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large")
        elif self._received > limits.MAX_REQUEST_SIZE:
            self.manager.reject(self, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request-too-large")

    @property
    def _has_headers(self) -> bool:
        """Return whether the headers of the current request are complete."""
        return self.has_requested and self.cycle.scope is self.scope

    def on_message_begin(self) -> None:
        """Start a request."""
        if len(self.pipeline) >= limits.MAX_PIPELINED:
            raise PipelineFullError
        super().on_message_begin()
        self._received = max(self._received, 1)  # a pipelined request arrived with the bytes of the one before
        self.scope[CLIENT_VERIFIED] = self.client_verified  # type: ignore[literal-required]

    def on_message_complete(self) -> None:
        """Store the arrival time of a complete request."""
        self._received = 0
        self.cycle.scope[RECEIVED_AT] = time.monotonic()  # type: ignore[literal-required]
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Count a response."""
        self.responses += 1
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Close a connection with invalid bytes, or with too many pipelined requests: only here can parsing stop."""
        if len(self.pipeline) >= limits.MAX_PIPELINED:
            self.manager.reject(self, None, "too-many-pipelined")
            self.transport.abort()
        else:
            super().send_400_response(msg)

    def close(self, status: HTTPStatus | None) -> None:
        """Close the connection, after an error response if no response has been sent; abort a stalled response."""
        if self.is_sending:
            self.transport.abort()
            return
        if self.transport.is_closing():
            return
        if status is not None and not (self._has_headers and self.cycle.response_complete):
            line = f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            self.transport.write(f"{line}content-length: 0\r\nconnection: close\r\n\r\n".encode())
        self.transport.close()


class PipelineFullError(Exception):
    """Request above the number that a connection may queue."""
