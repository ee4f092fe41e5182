"""A replica as a process of its own: answers AdmissionReviews with a certificate that `certs` looks after.

Listens on its own port and, with SO_REUSEPORT, on one that all replicas share: the kernel spreads
connections over them as a Service does. Half of its answers close their connection, so that
handshakes go on all the time.
"""

from __future__ import annotations

import itertools
import logging
import socket
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from pythonjsonlogger.json import JsonFormatter

from certs.assembly import Settings, rotation
from certs.issue import Entropy
from certs.kube import connect
from certs.modes import Mode
from certs.observe import Metrics
from certs.serving import Serving

if TYPE_CHECKING:
    from certs.rotate import Rotation

Message = dict[str, Any]  # ASGI's


@dataclass(frozen=True)
class App:
    """`POST` answers a review, `GET /readyz` and `GET /metrics` what their names say."""

    rotation: Rotation
    registry: CollectorRegistry
    counter: itertools.count[int]

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's callables
        """Answer one request."""
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        status, answer = self._answer(scope, body + message.get("body", b""))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        if next(self.counter) % 2:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _answer(self, scope: Message, body: bytes) -> tuple[int, bytes]:
        match scope["method"], scope["path"]:
            case "GET", "/readyz":
                return (200 if self.rotation.ready else 503), orjson.dumps(self.rotation.wrong)
            case "GET", "/metrics":
                return 200, generate_latest(self.registry)
            case _:
                return 200, _allowed(orjson.loads(body)["request"]["uid"])


def _allowed(uid: str) -> bytes:
    response = {"uid": uid, "allowed": True}
    return orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})


def _clock(offset: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=offset)


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    return listener


def _log_everything() -> None:
    """Every record of every library, extra fields and all: the tests look for keys in it."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.DEBUG, handlers=[handler])


def main(arguments: dict[str, Any]) -> None:
    """Serve until told to stop; `arguments` are made by `install.Installation.start`."""
    _log_everything()
    registry, serving = CollectorRegistry(), Serving()
    api = connect(Path(arguments["kubeconfig"]), clock=partial(_clock, arguments["clock"]))
    files = {name: Path(path) for name, path in arguments["files"].items()}
    settings = Settings(**{**arguments["settings"], "mode": Mode(arguments["mode"]), **files})
    kept = rotation(settings, serving, Metrics(registry, api.now), lambda: api, Entropy.fresh)
    app = App(kept, registry, itertools.count())
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="off",
            timeout_keep_alive=75,  # as `serve`: a client that pauses finds its connection as it left it
            log_config=None,
            ssl_context_factory=lambda _config, _default: serving.context,
        )
    )
    kept.start()
    try:
        server.run(sockets=[_listening(port) for port in arguments["ports"]])
    finally:
        kept.stop()


if __name__ == "__main__":
    main(orjson.loads(sys.argv[1]))
