"""What a connection may cost: time, header bytes, and how many there are.

uvicorn's protocol waits for ever for a request's next byte, and its parser takes headers of any length. Looked
after here once a second, for all connections together: a request in good order pays nothing for it.
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

from webhook.kube.malloc import give_back

if sys.platform == "win32":
    from asyncio import ProactorEventLoop as EventLoop
else:
    from uvloop import Loop as EventLoop

# Seconds from a request's first byte, or a connection's beginning, to its last byte, and again until its answer is
# taken. The API server waits 5 s at most for an answer, and is not far away.
PATIENCE = 5.0
# Bytes of request line and headers; an API server sends about 300.
HEAD_LIMIT = 16 * 1024
# Bytes of a whole request: 7 MiB of body (`webhook.http.app`), and a MiB for what frames it. Trailers count here alone.
REQUEST_LIMIT = 8 * 1024 * 1024
# An API server keeps a connection for each call in flight, 600 by default, and a cluster has three or five of them.
MOST = 4096
EVERY = 1.0
# Seconds for a TLS handshake: Go's client gives up then (net/http, TLSHandshakeTimeout). In an overload a handshake
# waits for its turn as requests do, and 5 s have been too few.
HANDSHAKE = 10.0
# Connections that went since garbage was last looked for: each leaves a cycle with 256 KiB of uvloop's TLS buffers,
# which the C library keeps when they are freed unless it is told to give them back.
LITTER = 8
COMPLETE = "complete"
"""Key in an ASGI scope: when the request's last byte was there, by `time.monotonic`."""
VERIFIED = "verified"
"""Key in an ASGI scope: whether the client showed a certificate that was asked for, and it is good."""

Closed: TypeAlias = Callable[[str], None]
"""Hears why a connection was closed: `slow`, `head`, `large` or `crowded`."""


class Loop(EventLoop):
    """An event loop for TLS alone, with limits for what comes before and after a connection is looked after.

    asyncio gives a handshake 60 s, and its end 30 s; uvicorn has no setting for either.
    """

    create_server = partialmethod(  # type: ignore[assignment]
        EventLoop.create_server, ssl_handshake_timeout=HANDSHAKE, ssl_shutdown_timeout=PATIENCE
    )


class ConnectionManager:
    """Looks after all connections of one server."""

    def __init__(self, on_close: Closed, *, patience: float = PATIENCE, most: int = MOST) -> None:
        """Tell `on_close` of each connection that is closed on its client."""
        self._on_close = on_close
        self._patience = patience
        self._most = most
        self._looks = False
        self._litter = 0
        self._connections: set[Connection] = set()
        self._waiting: dict[Connection, tuple[object, float]] = {}

    def protocol(
        self, config: Config, server_state: ServerState, app_state: dict[str, object], _loop: object = None
    ) -> asyncio.Protocol:
        """A protocol for one more connection, as `uvicorn.Config` wants it made."""
        return Connection(self, config, server_state, app_state)

    def joined(self, connection: "Connection") -> None:
        """One more connection; where there are too many, one that asks nothing goes, those first that never did."""
        self._connections.add(connection)
        self._look_soon()
        if len(self._connections) > self._most:
            others = [each for each in self._connections if each.rests and each is not connection]
            victim = next((each for each in others if not each.asked), others[0] if others else connection)
            self.close(victim, None, "crowded")

    def left(self, connection: "Connection") -> None:
        """A connection is over, and its buffers are garbage."""
        self._forget(connection)
        self._litter += 1
        self._look_soon()

    def close(self, connection: "Connection", status: HTTPStatus | None, why: str) -> None:
        """Close a connection, with an answer where its client may be waiting for one."""
        self._forget(connection)
        self._on_close(why)
        connection.end(status)

    def _forget(self, connection: "Connection") -> None:
        self._connections.discard(connection)
        self._waiting.pop(connection, None)

    def _look_soon(self) -> None:
        """Look in a second, if there is anything to look after."""
        if not self._looks and (self._connections or self._litter >= LITTER):
            self._looks = True
            asyncio.get_running_loop().call_later(EVERY, self._look)

    def _look(self) -> None:
        """Close what has been in the middle of the same request or answer for too long, and look again in a second."""
        now, before = time.monotonic(), self._waiting
        fresh = ((each, (each.scope, now)) for each in self._connections if each.reads or each.stalls)
        self._waiting = {
            each: before[each] if each in before and before[each][0] is seen[0] else seen for each, seen in fresh
        }
        for connection, (_, since) in list(self._waiting.items()):
            if now - since >= self._patience:
                self.close(connection, HTTPStatus.REQUEST_TIMEOUT, "slow")
        if self._litter >= LITTER:
            self._litter = 0
            gc.collect()
            give_back()
        self._looks = False
        self._look_soon()


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 on one connection, with limits for what comes and for how long an answer lies there."""

    def __init__(
        self, keeper: ConnectionManager, config: Config, server_state: ServerState, app_state: dict[str, object]
    ) -> None:
        """Looked after by `keeper`."""
        super().__init__(config, server_state, app_state)
        self._keeper = keeper
        self._bytes = 0  # of the request that is not complete yet
        self._verified = False

    @property
    def asked(self) -> bool:
        """Whether a request's headers have ever come."""
        return self.cycle is not None

    @property
    def reads(self) -> bool:
        """Whether it waits for bytes of a request; a connection that has never sent any does too."""
        return self._bytes > 0 or not self.asked

    @property
    def stalls(self) -> bool:
        """Whether an answer lies there that the client has not taken."""
        return self.transport.get_write_buffer_size() > 0

    @property
    def rests(self) -> bool:
        """Whether no answer is being made on it."""
        return not self.asked or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        self._verified = bool(tls and tls.getpeercert())
        self._keeper.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._keeper.left(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come; count them until a request is complete."""
        self._bytes += len(data)
        super().data_received(data)
        if self._bytes > HEAD_LIMIT and not self._has_head:
            self._keeper.close(self, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head")
        elif self._bytes > REQUEST_LIMIT:
            self._keeper.close(self, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "large")

    @property
    def _has_head(self) -> bool:
        """Whether the headers of the request that is coming are complete."""
        return self.asked and self.cycle.scope is self.scope

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._bytes = max(self._bytes, 1)  # one that is sent behind another has no bytes of its own yet
        self.scope[VERIFIED] = self._verified  # type: ignore[literal-required]

    def on_message_complete(self) -> None:
        """A request is complete."""
        self._bytes = 0
        self.cycle.scope[COMPLETE] = time.monotonic()  # type: ignore[literal-required]
        super().on_message_complete()

    def end(self, status: HTTPStatus | None) -> None:
        """Close, and say `status` first, unless the request is answered; at once where an answer is not taken."""
        if self.stalls:
            self.transport.abort()
            return
        if self.transport.is_closing():
            return
        if status is not None and not (self._has_head and self.cycle.response_complete):
            line = f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            self.transport.write(f"{line}content-length: 0\r\nconnection: close\r\n\r\n".encode())
        self.transport.close()
