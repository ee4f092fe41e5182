"""Connection limits: request and response timeouts, header and request size, number of connections.

uvicorn's protocol has no read timeout, and its parser accepts headers of any length. One check a second covers all
connections, so that the limits cost a well-behaved request nothing.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from functools import partialmethod
from http import HTTPStatus
from typing import TypeAlias

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from webhook.kube.malloc import trim_heap

if sys.platform == "win32":
    from asyncio import ProactorEventLoop as EventLoop
else:
    from uvloop import Loop as EventLoop

# Seconds from a request's first byte (or the start of the connection) to its last byte, and again to send the response.
# The API server waits at most 5 s for a webhook (`timeoutSeconds` of the chart).
REQUEST_TIMEOUT = 5.0
# Bytes of request line and headers; an API server sends about 300.
MAX_HEADER_SIZE = 16 * 1024
# Bytes of a request: 7 MiB of body (`webhook.http.app`) and 1 MiB for headers, chunk framing and trailers.
MAX_REQUEST_SIZE = 8 * 1024 * 1024
# An API server opens a connection for each request in flight, 600 by default; a cluster has three to five API servers.
MAX_CONNECTIONS = 4096
CHECK_INTERVAL = 1.0  # seconds
# Seconds for a TLS handshake, as in Go's client (net/http, TLSHandshakeTimeout). Under overload, handshakes queue like
# requests; 5 s were too few.
TLS_HANDSHAKE_TIMEOUT = 10.0
# Closed connections after which garbage is collected: each leaves a reference cycle with 256 KiB of TLS buffers in
# uvloop, and the C library keeps freed buffers until the heap is trimmed.
CLOSED_PER_COLLECTION = 8
RECEIVED_AT = "received_at"
"""Key of the ASGI scope: `time.monotonic` when the last byte of the request arrived."""
CLIENT_VERIFIED = "client_verified"
"""Key of the ASGI scope: True if the client presented a certificate of the required CA."""

OnReject: TypeAlias = Callable[[str], None]
"""Callback with the reason of a closed connection.

Reasons: `timeout`, `headers-too-large`, `request-too-large` and `too-many-connections`.
"""


class Loop(EventLoop):
    """Event loop with shorter TLS timeouts: asyncio allows 60 s and 30 s, and uvicorn has no setting for them."""

    create_server = partialmethod(  # type: ignore[assignment]
        EventLoop.create_server, ssl_handshake_timeout=TLS_HANDSHAKE_TIMEOUT, ssl_shutdown_timeout=REQUEST_TIMEOUT
    )


class ConnectionManager:
    """Enforcement of the limits on all connections of a server."""

    def __init__(
        self, on_reject: OnReject, *, timeout: float = REQUEST_TIMEOUT, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        """Prepare for connections; `on_reject` is called for each connection that a limit closes."""
        self._on_reject = on_reject
        self._timeout = timeout
        self._max_connections = max_connections
        self._check_scheduled = False
        self._closed = 0  # since the last garbage collection
        self._connections: set[Connection] = set()
        self._pending: dict[Connection, tuple[object, float]] = {}

    def protocol(
        self, config: Config, server_state: ServerState, app_state: dict[str, object], _loop: object = None
    ) -> asyncio.Protocol:
        """Create the protocol of a new connection, with the signature that `uvicorn.Config` requires."""
        return Connection(self, config, server_state, app_state)

    def add(self, connection: "Connection") -> None:
        """Add a connection; above the limit, close an idle one, preferably one that never sent a request."""
        self._connections.add(connection)
        self._schedule_check()
        if len(self._connections) > self._max_connections:
            idle = [other for other in self._connections if other.is_idle and other is not connection]
            victim = next((other for other in idle if not other.has_requested), idle[0] if idle else connection)
            self.reject(victim, None, "too-many-connections")

    def remove(self, connection: "Connection") -> None:
        """Remove a closed connection and schedule the collection of its buffers."""
        self._forget(connection)
        self._closed += 1
        self._schedule_check()

    def reject(self, connection: "Connection", status: HTTPStatus | None, reason: str) -> None:
        """Close a connection, with an error response if `status` is given."""
        self._forget(connection)
        self._on_reject(reason)
        connection.close(status)

    def _forget(self, connection: "Connection") -> None:
        self._connections.discard(connection)
        self._pending.pop(connection, None)

    def _schedule_check(self) -> None:
        """Schedule the next check unless it is scheduled or there is nothing to check."""
        if not self._check_scheduled and (self._connections or self._closed >= CLOSED_PER_COLLECTION):
            self._check_scheduled = True
            asyncio.get_running_loop().call_later(CHECK_INTERVAL, self._check)

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
        if self._closed >= CLOSED_PER_COLLECTION:
            self._closed = 0
            gc.collect()
            trim_heap()
        self._check_scheduled = False
        self._schedule_check()


class Connection(HttpToolsProtocol):
    """HTTP/1.1 connection of uvicorn with limits on the request and on the time to send a response."""

    def __init__(
        self, manager: ConnectionManager, config: Config, server_state: ServerState, app_state: dict[str, object]
    ) -> None:
        """Create a connection that reports to `manager`."""
        super().__init__(config, server_state, app_state)
        self._manager = manager
        self._received = 0  # bytes of the incomplete request
        self._client_verified = False

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
        self._client_verified = bool(tls and tls.getpeercert())
        self._manager.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection."""
        self._manager.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes, and reject a request above the size limits."""
        self._received += len(data)
        super().data_received(data)
        if self._received > MAX_HEADER_SIZE and not self._has_headers:
            self._manager.reject(self, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large")
        elif self._received > MAX_REQUEST_SIZE:
            self._manager.reject(self, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request-too-large")

    @property
    def _has_headers(self) -> bool:
        """Return whether the headers of the current request are complete."""
        return self.has_requested and self.cycle.scope is self.scope

    def on_message_begin(self) -> None:
        """Start a request."""
        super().on_message_begin()
        self._received = max(self._received, 1)  # a pipelined request arrived with the bytes of the one before
        self.scope[CLIENT_VERIFIED] = self._client_verified  # type: ignore[literal-required]

    def on_message_complete(self) -> None:
        """Store the arrival time of a complete request."""
        self._received = 0
        self.cycle.scope[RECEIVED_AT] = time.monotonic()  # type: ignore[literal-required]
        super().on_message_complete()

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
