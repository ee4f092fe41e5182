"""Serve the status page on loopback, read-only."""

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
REFRESH_INTERVAL = 5  # seconds, of an open page
_MAX_AGE = 2.0  # seconds, of a report: the cluster is not read more often, however many pages are open


class ReportCache:
    """Cache of the latest report."""

    def __init__(self, read: Callable[[], Report], clock: Callable[[], float] = time.monotonic) -> None:
        """Read reports with `read`; `clock` returns seconds."""
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._cached: tuple[float, Report] | None = None

    def get(self) -> Report:
        """Return a report that is at most two seconds old; raise what `read` raises."""
        with self._lock:
            if self._cached is None or self._clock() - self._cached[0] > _MAX_AGE:
                report = self._read()
                self._cached = (self._clock(), report)
            return self._cached[1]


def create_app(reports: ReportCache, scope: str | None = None, every: int = REFRESH_INTERVAL) -> FastAPI:
    """Return the web application: one page, at `/`.

    It accepts only the host names of loopback, which prevents DNS rebinding by another site.

    Args:
        reports: Source of reports.
        scope: Namespace of the report; None for all.
        every: Refresh interval of an open page, in seconds.
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
            return HTMLResponse(page(reports.get(), every=every, scope=scope), headers=headers)
        except ClusterError as error:
            return PlainTextResponse(str(error), status_code=503, headers=headers)

    return app


def listen(port: int) -> socket.socket:
    """Return a listening socket on loopback; port 0 selects a free port.

    Raises:
        SettingsError: The port is in use or not permitted.
    """
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise SettingsError(f"cannot listen on port {port} ({error}); choose another port with --port") from None


def serve(reports: ReportCache, listener: socket.socket, scope: str | None = None) -> None:
    """Serve until interrupted."""
    config = uvicorn.Config(create_app(reports, scope), log_level="warning", server_header=False)
    uvicorn.Server(config).run(sockets=[listener])
