"""Serves the page of `status` on loopback: read-only, and read anew when somebody looks."""

import socket
import threading
import time
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from webhook.kube.cluster import ClusterError
from webhook.policy.defaults import SettingsError
from webhook.status.model import Report
from webhook.status.page import content_security_policy, page

HOST = "127.0.0.1"
EVERY = 5  # seconds between two looks of an open page
# However many pages are open, the cluster is read no more often than this. Seconds.
_FRESH = 2.0


class Latest:
    """The latest report, read anew when it is asked for and old."""

    def __init__(self, look: Callable[[], Report], clock: Callable[[], float] = time.monotonic) -> None:
        """Look by `look`; `clock` tells seconds."""
        self._look = look
        self._clock = clock
        self._lock = threading.Lock()
        self._found: tuple[float, Report] | None = None

    def get(self) -> Report:
        """A report at most two seconds old. Raises what `look` raises."""
        with self._lock:
            if self._found is None or self._clock() - self._found[0] > _FRESH:
                found = self._look()
                self._found = (self._clock(), found)
            return self._found[1]


def create_app(latest: Latest, scope: str | None = None, every: int = EVERY) -> FastAPI:
    """The web application: one page, at `/`, and nothing that changes anything.

    It answers to names of this machine alone, so that no other site's page can have its own name point here.

    Args:
        latest: Where reports come from.
        scope: The only namespace they are about.
        every: Seconds between two looks of an open page.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    headers = {
        "Content-Security-Policy": f"{content_security_policy(live=True)}; frame-ancestors 'none'",
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }

    @app.get("/")
    def show() -> Response:
        try:
            return HTMLResponse(page(latest.get(), every=every, scope=scope), headers=headers)
        except ClusterError as error:
            return PlainTextResponse(str(error), status_code=503, headers=headers)

    return app


def listen(port: int) -> socket.socket:
    """A socket of loopback that listens; port 0 takes a free one.

    Raises:
        SettingsError: Somebody else has the port, or it may not be taken.
    """
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise SettingsError(f"port {port} can't be had ({error}); give another one with --port") from None


def serve(latest: Latest, listener: socket.socket, scope: str | None = None) -> None:
    """Serve until interrupted."""
    config = uvicorn.Config(create_app(latest, scope), log_level="warning", server_header=False)
    uvicorn.Server(config).run(sockets=[listener])
