"""Replica process: a server that allows all AdmissionReviews and rotates its certificate with `certs`.

It listens on a port of its own and, with SO_REUSEPORT, on one that all replicas share: the kernel distributes
connections as a Service does. Every second response closes its connection, so that handshakes occur all the time.
"""

from __future__ import annotations

import itertools
import logging
import socket
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from pythonjsonlogger.json import JsonFormatter

from certs.rotation.events import Metrics
from certs.rotation.sources import FileSource
from certs.serving import ReloadableContext
from certs.x509.plan import CertificateSpec
from webhook.cli.options import ServeOptions
from webhook.cli.rotation import build_rotation
from webhook.kube.api import Api
from webhook.kube.kubeconfig import load_client

if TYPE_CHECKING:
    from certs.rotation.loop import Rotation

Message = dict[str, Any]  # of ASGI


@dataclass(frozen=True)
class App:
    """ASGI application: `POST` allows a review; `GET /readyz` and `GET /metrics`."""

    rotation: Rotation
    registry: CollectorRegistry
    counter: itertools.count[int]

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:  # noqa: ANN401 - callables of ASGI
        """Respond to one request."""
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        status, content = self._respond(scope, body + message.get("body", b""))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        if next(self.counter) % 2:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _respond(self, scope: Message, body: bytes) -> tuple[int, bytes]:
        match scope["method"], scope["path"]:
            case "GET", "/readyz":
                return (200 if self.rotation.ready else 503), orjson.dumps(self.rotation.problems)
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
    """Log all records of all libraries with their extra fields: the tests search them for keys."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.DEBUG, handlers=[handler])


def main(arguments: dict[str, Any]) -> None:
    """Serve until a signal; `arguments` come from `install.Installation.start`."""
    _log_everything()
    registry, context = CollectorRegistry(), ReloadableContext()
    api = Api(load_client(Path(arguments["kubeconfig"])), clock=partial(_clock, arguments["clock"]))
    files = {name: Path(path) for name, path in arguments["files"].items()}
    options = ServeOptions(**arguments["options"], **files)
    rotation = build_rotation(options, context, Metrics(registry, api.now), lambda: api)
    names = (arguments["address"],)  # the API server calls an address, not a Service
    if isinstance(rotation.source, FileSource):
        rotation.source = replace(rotation.source, names=names)
    else:
        rotation.source = replace(rotation.source, spec=CertificateSpec(names=names))
    app = App(rotation, registry, itertools.count())
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="off",
            timeout_keep_alive=75,
            log_config=None,
            ssl_context_factory=lambda _config, _default: context.ssl_context,
        )
    )
    rotation.start()
    try:
        server.run(sockets=[_listening(port) for port in arguments["ports"]])
    finally:
        rotation.stop()


if __name__ == "__main__":
    main(orjson.loads(sys.argv[1]))
