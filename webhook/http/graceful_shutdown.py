"""Leaving without a failed call: answer on for a while, and close each connection after its answer.

The API server keeps its connections open, also to a replica that has left the Service's endpoints, and its Go
client does not repeat a POST on a connection that closes under it. So a process that is told to stop answers on for
some seconds, each time with `Connection: close`, and only then closes what is idle.
"""

import asyncio
import signal
import socket
from dataclasses import dataclass
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A connection is closed after so many answers on average, so that calls find new replicas. A handshake costs about
# a millisecond: a thousandth of that for each answer.
ANSWERS = 1000
_CLOSE = (b"connection", b"close")


@dataclass(slots=True)
class GracefulShutdown:
    """Whether the process was told to stop, and how many answers it has given."""

    begun: bool = False
    answers: int = 0

    def closes(self) -> bool:
        """Whether the next answer is its connection's last."""
        self.answers += 1
        return self.begun or self.answers % ANSWERS == 0


@dataclass(frozen=True, slots=True)
class Closing:
    """An ASGI application that says `Connection: close` when it is time."""

    app: ASGIApp
    drain: GracefulShutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the header where it belongs."""

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self.drain.closes():
                message["headers"] = [*message.get("headers", ()), _CLOSE]
            await send(message)

        await self.app(scope, receive, closing if scope["type"] == "http" else send)


class Draining(uvicorn.Server):
    """A server that answers on for a while after SIGTERM; SIGINT or a second signal ends it at once."""

    def __init__(self, config: uvicorn.Config, drain: GracefulShutdown, seconds: float) -> None:
        """As `uvicorn.Server`, with `seconds` from the first SIGTERM to the end."""
        super().__init__(config)
        self._drain, self._seconds = drain, seconds
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain, or end."""
        if self._drain.begun or sig == signal.SIGINT or self._loop is None:
            super().handle_exit(sig, frame)
            return
        self._drain.begun = True
        self._loop.call_soon_threadsafe(self._loop.call_later, self._seconds, super().handle_exit, sig, frame)
