"""What an API server makes of 429: the webhook's way to shed load rests on it."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import orjson

from tests.e2e.examples import manifest
from tests.e2e.webhook_process import CONFIGURATION, ENABLED
from tests.faults.admissions import PATH
from webhook.http.app import RETRY_AFTER

if TYPE_CHECKING:
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import NamespaceFactory


class Busy(BaseHTTPRequestHandler):
    """Is busy the first time it hears of an object; then lets it through with an audit annotation."""

    protocol_version = "HTTP/1.1"
    calls: dict[str, int]

    def do_POST(self) -> None:
        """Answer a review."""
        request = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        name = request["name"]
        self.calls[name] = self.calls.get(name, 0) + 1
        busy = name == "asked-again" and self.calls[name] == 1
        self.send_response(429 if busy else 200)
        response = {"uid": request["uid"], "allowed": True, "auditAnnotations": {"calls": str(self.calls[name])}}
        body = b"" if busy else orjson.dumps({**REVIEW, "response": response})
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        for key, value in {**headers, **({RETRY_AFTER[0].decode(): RETRY_AFTER[1].decode()} if busy else {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


REVIEW = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}


def test_api_server_asks_again_after_429(bed: Bed, make_namespace: NamespaceFactory) -> None:
    """A 429 with Retry-After is repeated by the API server itself, within its timeout: nothing is missed."""
    pair = bed.plane.authority.issue("busy", ["127.0.0.1"])
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Busy,), {"calls": {}}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://127.0.0.1:{server.server_port}/mutate"
    try:
        with bed.webhook_configuration(CONFIGURATION, url, bed.plane.ca):
            namespace = make_namespace(ENABLED)
            bed.api.create(PATH.format(namespace), json.loads(manifest("cluster", name="asked-again")))
            annotations = bed.audit(namespace)[-1]["annotations"]
    finally:
        server.shutdown()
        server.server_close()
    assert "2" in [value for key, value in annotations.items() if key.endswith("/calls")]
