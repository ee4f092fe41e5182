"""Leaving without a failed call, by a real process and real signals."""

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

EXAMPLES = Path(__file__).parents[2] / "webhook" / "cli" / "examples"
SECONDS = 2.0
LONG = 60.0


@pytest.fixture
def port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def server(port: int, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """`serve` with the embedded default, ready; its parameter is how long it drains."""
    flags = ["--host", "127.0.0.1", "--port", str(port), "--drain-seconds", str(request.param), "--log-level", "ERROR"]
    argv = [sys.executable, "-m", "webhook", "serve", "--namespaces-file", str(EXAMPLES / "namespace.yaml"), *flags]
    with subprocess.Popen(argv) as process:
        try:
            until_ready(port)
            yield process
        finally:
            process.kill()


def until_ready(port: int) -> None:
    """Wait until the port answers."""
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
    """A client that takes the certificate of this run as it is."""
    return httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=False, trust_env=False, timeout=5)  # noqa: S501 - loopback


@pytest.mark.parametrize("server", [SECONDS], indirect=True)
def test_told_to_stop_it_answers_on_and_then_ends(server: subprocess.Popen[bytes], port: int) -> None:
    """After SIGTERM calls are answered, each as its connection's last; it is not ready; then it ends by itself."""
    with client(port) as asking:
        assert "connection" not in asking.get("/healthz").headers
        server.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        answer = asking.get("/healthz")
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        waiting = asking.get("/readyz")
        assert (waiting.status_code, waiting.text) == (503, "not ready: shutting down\n")
    assert server.wait(SECONDS + 20) in {0, -signal.SIGTERM}


@pytest.mark.parametrize("server", [LONG], indirect=True)
def test_second_signal_ends_it_at_once(server: subprocess.Popen[bytes]) -> None:
    """Whoever does not want to wait says so twice."""
    server.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    server.send_signal(signal.SIGINT)
    server.wait(LONG / 2)


def test_every_thousandth_answer_closes_its_connection() -> None:
    """Connections do not stay with one replica for ever."""
    sent = []

    async def app(_scope: object, _receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]

    async def send(message: object) -> None:
        sent.append(message)

    async def answers() -> None:
        closing = ConnectionCloseMiddleware(app, GracefulShutdown())  # type: ignore[arg-type] # as much of ASGI as is needed
        for _ in range(2 * RESPONSES_PER_CONNECTION):
            await closing({"type": "http"}, lambda: None, send)  # type: ignore[arg-type, return-value]

    asyncio.run(answers())
    closed = [number for number, message in enumerate(sent, 1) if message["headers"]]  # type: ignore[index]
    assert closed == [RESPONSES_PER_CONNECTION, 2 * RESPONSES_PER_CONNECTION]
