"""Graceful shutdown: keep answering for some seconds, and close each connection after its response.

The API server keeps its connections open, also to a replica that was removed from the Service's endpoints. Its Go
client does not repeat a POST on a connection that closes meanwhile. After SIGTERM or SIGHUP the server therefore adds
`Connection: close` to each response, and closes idle connections only at the end.
"""

import asyncio
import signal
import socket
import threading
from dataclasses import dataclass
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Average number of responses after which a connection is closed, so that connections spread to new replicas. A TLS
# handshake costs about 1 ms, so this adds 1 us to each response.
RESPONSES_PER_CONNECTION = 1000
_CLOSE_HEADER = (b"connection", b"close")


@dataclass(slots=True)
class GracefulShutdown:
    """State of a graceful shutdown: the stop flag and the number of responses sent."""

    started: bool = False
    responses: int = 0

    def is_last_response(self) -> bool:
        """Count a response and return whether its connection should close after it."""
        self.responses += 1
        return self.started or self.responses % RESPONSES_PER_CONNECTION == 0


@dataclass(frozen=True, slots=True)
class ConnectionCloseMiddleware:
    """ASGI middleware that adds `Connection: close` to the last response of a connection."""

    app: ASGIApp
    shutdown: GracefulShutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application and add the header to its response."""

        async def send_with_close(message: Message) -> None:
            if message["type"] == "http.response.start" and self.shutdown.is_last_response():
                message["headers"] = [*message.get("headers", ()), _CLOSE_HEADER]
            await send(message)

        await self.app(scope, receive, send_with_close if scope["type"] == "http" else send)


class DrainingServer(uvicorn.Server):
    """Server that drains after the first SIGTERM or SIGHUP; SIGINT or a second signal stops it at once."""

    def __init__(self, config: uvicorn.Config, shutdown: GracefulShutdown, drain_seconds: float) -> None:
        """Create a server that stops `drain_seconds` after the first signal."""
        super().__init__(config)
        self._shutdown, self._drain_seconds = shutdown, drain_seconds
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal stops the server."""
        self._loop = asyncio.get_running_loop()
        # uvicorn handles SIGINT and SIGTERM only. Python accepts signal handlers in the main thread only.
        if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGHUP, self.handle_exit)
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start to drain, or stop at once."""
        if self._shutdown.started or sig == signal.SIGINT or self._loop is None:
            super().handle_exit(sig, frame)
            return
        self._shutdown.started = True
        self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_seconds, super().handle_exit, sig, frame)
