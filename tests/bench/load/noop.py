"""The limit of the stack: FastAPI on uvicorn that parses and allows, as the webhook is served.

`python -m tests.bench.load.noop PORT CERTIFICATE KEY`
"""

from __future__ import annotations

import sys
from pathlib import Path

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response

from certs.serving import ReloadableContext
from certs.x509.issue import KeyPair

API_VERSION = "admission.k8s.io/v1"
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)


@app.post("/mutate")
async def mutate(request: Request) -> Response:
    """Allowed, whatever it is."""
    review = orjson.loads(await request.body())
    response = {"uid": review["request"]["uid"], "allowed": True}
    answer = {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}
    return Response(orjson.dumps(answer), media_type="application/json")


@app.get("/readyz")
async def readyz() -> Response:
    """Always."""
    return Response("ok\n", media_type="text/plain")


def main(port: str, certificate: str, key: str) -> None:
    """Serve until told to stop; the settings are those of `webhook/cli/wiring.py`."""
    serving = ReloadableContext()
    serving.load(KeyPair(certificate=Path(certificate).read_bytes(), key=Path(key).read_bytes()))
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=int(port),
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        ssl_context_factory=lambda _config, _default: serving.ssl_context,
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
