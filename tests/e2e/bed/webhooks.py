"""Admission webhooks on the bed's API server: register one, or record what it would be sent."""

from __future__ import annotations

import base64
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import orjson
import yaml

from tests.e2e.bed.api import WEBHOOKS, Api, Object

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.bed.pki import Pair


def configuration(manifest: Path, url: str, ca: Path) -> Object:
    """The MutatingWebhookConfiguration of a YAML file, with only `clientConfig` exchanged: `url` is called.

    The server at `url` is checked against `ca`, PEM.
    """
    documents: Iterator[Object] = yaml.safe_load_all(manifest.read_text())
    found = next(each for each in documents if each and each["kind"] == "MutatingWebhookConfiguration")
    bundle = base64.b64encode(ca.read_bytes()).decode()
    for webhook in found["webhooks"]:
        webhook["clientConfig"] = {"url": url, "caBundle": bundle}
    return found


def install(api: Api, body: Object) -> None:
    """Create or replace the configuration; the API server takes it up a moment later."""
    api.apply(WEBHOOKS, body)


def called(annotations: Object, name: str) -> bool:
    """Whether an audit event's annotations say that a webhook of configuration `name` was called.

    The API server writes `mutation.webhook.admission.k8s.io/round_0_index_0` for each call, and
    `failed-open.mutation...` where the call failed and the failure policy is Ignore.
    """
    return any("mutation.webhook.admission.k8s.io" in key and name in value for key, value in annotations.items())


class Recorder:
    """An HTTPS server that allows everything and keeps the bytes of each AdmissionReview it was sent."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        """Serve on a free port of 127.0.0.1 with the certificate `pair` until `stop`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, name="recorder", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the API server sends its reviews."""
        return f"https://127.0.0.1:{self._server.server_port}/mutate"

    def files(self) -> list[Path]:
        """The reviews so far in the order they came: `NNNN-kind-operation.json`, bytes as received."""
        return sorted(self.folder.glob("*.json"))

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(folder: Path) -> type[BaseHTTPRequestHandler]:
    numbering = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Keep the body and allow the request."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = orjson.loads(body)["request"]
            kind = f"{request['kind']['kind']}-{request['operation']}".lower()
            with numbering:
                number = len(list(folder.glob("*.json"))) + 1
                (folder / f"{number:04}-{kind}.json").write_bytes(body)
            self._answer(orjson.dumps(_allowed(request["uid"])))

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: the files are the record."""

    return Handler


def _allowed(uid: str) -> Object:
    response = {"uid": uid, "allowed": True}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
