"""Graceful shutdown of a real process by real signals."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from webhook.http.graceful_shutdown import RESPONSES_PER_CONNECTION, ConnectionCloseMiddleware, GracefulShutdown

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[3] / "webhook" / "cli" / "examples"
SECONDS = 2.0
LONG = 60.0


@pytest.fixture
def port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def server(port: int, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """Run `serve` until it is ready; the parameter is the drain time."""
    flags = ["--host", "127.0.0.1", "--port", str(port), "--drain-seconds", str(request.param), "--log-level", "ERROR"]
    argv = [sys.executable, "-m", "webhook", "serve", "--namespaces-file", str(EXAMPLES / "namespace.yaml"), *flags]
    with subprocess.Popen(argv) as process:
        try:
            until_ready(port)
            yield process
        finally:
            process.kill()


def until_ready(port: int) -> None:
    """Wait until the server is ready."""
    deadline = time.monotonic() + 30
    with client(port) as asking:
        while time.monotonic() < deadline:
            try:
                asking.get("/readyz").raise_for_status()
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
    pytest.fail("the server was not ready within 30 s")


def client(port: int) -> httpx.Client:
    """Return a client that does not verify the certificate."""
    return httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=False, trust_env=False, timeout=5)  # noqa: S501 - loopback


@pytest.mark.parametrize(("server", "sent"), [(SECONDS, signal.SIGTERM), (SECONDS, signal.SIGHUP)], indirect=["server"])
def test_server_drains_after_a_signal(server: subprocess.Popen[bytes], port: int, sent: signal.Signals) -> None:
    """After the signal the server responds with `Connection: close`, is not ready, and exits after the drain time."""
    with client(port) as asking:
        assert "connection" not in asking.get("/healthz").headers
        server.send_signal(sent)
        time.sleep(0.5)
        answer = asking.get("/healthz")
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        waiting = asking.get("/readyz")
        assert (waiting.status_code, waiting.text) == (503, "not ready: shutting down\n")
    assert server.wait(SECONDS + 20) in {0, -sent}


@pytest.mark.parametrize("server", [LONG], indirect=True)
def test_second_signal_stops_at_once(server: subprocess.Popen[bytes]) -> None:
    """A second signal ends the drain."""
    server.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    server.send_signal(signal.SIGINT)
    server.wait(LONG / 2)


def test_every_thousandth_response_closes_its_connection() -> None:
    """Connections are closed from time to time, so that they spread over the replicas."""
    sent = []

    async def app(_scope: object, _receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]

    async def send(message: object) -> None:
        sent.append(message)

    async def answers() -> None:
        closing = ConnectionCloseMiddleware(app, GracefulShutdown())  # type: ignore[arg-type] # a partial ASGI application
        for _ in range(2 * RESPONSES_PER_CONNECTION):
            await closing({"type": "http"}, lambda: None, send)  # type: ignore[arg-type, return-value]

    asyncio.run(answers())
    closed = [number for number, message in enumerate(sent, 1) if message["headers"]]  # type: ignore[index]
    assert closed == [RESPONSES_PER_CONNECTION, 2 * RESPONSES_PER_CONNECTION]
