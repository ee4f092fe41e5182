"""ASGI application: routes, body limits and the admission of one request."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from webhook.admission import handler
from webhook.admission.decision_cache import DecisionCache
from webhook.admission.request import AdmissionRequest, MalformedReviewError, parse
from webhook.admission.response import AdmissionResponse, RenderedResponse, render
from webhook.http.limits import CLIENT_VERIFIED, RECEIVED_AT
from webhook.kube.capacity import NOT_WATCHED, Capacity
from webhook.kube.namespaces import Namespaces, NamespaceUnknownError
from webhook.policy import Policy
from webhook.telemetry.recorder import Recorder

# An API server accepts objects of at most 3 MiB, and an UPDATE carries two. controller-runtime derives 7 MiB from the
# same limits (pkg/webhook/admission/http.go).
MAX_BODY_SIZE = 7 * 1024 * 1024
# Total size of incomplete bodies: 20 of the largest. Above it, requests are rejected as overload.
MAX_PENDING_BYTES = 20 * MAX_BODY_SIZE
# Seconds that a complete request may wait for the event loop. It may wait as long again in the kernel; together
# that is a fraction of the API server's timeout, 5 s.
MAX_QUEUE_SECONDS = 0.5
# An API server repeats a request after 429 with Retry-After, up to ten times within its timeout: client-go,
# rest/with_retry.go.
RETRY_AFTER = (b"retry-after", b"1")

MUTATE = "/mutate"
JSON, TEXT = b"application/json", b"text/plain; charset=utf-8"


class BodyTooLargeError(MalformedReviewError):
    """Request body above `MAX_BODY_SIZE`."""


class OverloadedError(Exception):
    """Request that cannot be answered in time."""


OnResponse: TypeAlias = Callable[[AdmissionRequest, AdmissionResponse], None]
"""Callback for each response. It runs on the request path and must not block."""


def ignore_response(_request: AdmissionRequest, _response: AdmissionResponse) -> None:
    """Discard the response."""


class Webhook:
    """Responder to AdmissionReviews, from the policy defaults and the annotations of namespaces."""

    def __init__(
        self,
        namespaces: Namespaces,
        defaults: Policy,
        recorder: Recorder,
        on_response: OnResponse = ignore_response,
        capacity: Capacity = NOT_WATCHED,
    ) -> None:
        """Create a webhook without starting its sources."""
        self._namespaces = namespaces
        self._recorder = recorder
        self._on_response = on_response
        self._decisions = DecisionCache(defaults, capacity.hints)

    async def answer(self, body: bytes, received_at: float | None = None) -> bytes:
        """Return the AdmissionReview that responds to the one in `body`.

        Args:
            body: AdmissionReview as JSON.
            received_at: `time.monotonic` when the last byte arrived. Default: now.

        Raises:
            MalformedReviewError: `body` is not an AdmissionReview.
        """
        started = time.monotonic() if received_at is None else received_at
        request = parse(body)
        try:
            rendered = await self._decide(request)
        except Exception:  # noqa: BLE001 - an error of the webhook must not block the user's object
            self._recorder.record_failure(request)
            rendered = render(handler.failed())
        self._on_response(request, rendered.response)
        self._recorder.record_admission(request, rendered, time.monotonic() - started)
        rendered.sent += 1
        return rendered.to(request.uid)

    async def _decide(self, request: AdmissionRequest) -> RenderedResponse:
        subject = self._decisions.consider(request)
        if isinstance(subject, AdmissionResponse):
            return render(subject)
        try:
            annotations = await self._namespaces.annotations(request.namespace)
        except NamespaceUnknownError as error:
            self._recorder.record_unknown_namespace(str(error))
            return render(handler.decide(subject, None))
        return self._decisions.answer(request, subject, annotations)


@dataclass(slots=True, kw_only=True)
class PendingBodies:
    """Total size of the bodies that are incomplete."""

    size: int = 0


@dataclass(frozen=True, slots=True)
class Mutate:
    """Endpoint for AdmissionReviews v1: 400 if malformed, 413 above 7 MiB, 429 under overload.

    A plain ASGI application: it has no parameters to validate and needs no middleware.

    Attributes:
        webhook: Responder.
        recorder: Metrics and log.
        require_client_certificate: Whether to reject requests without a verified client certificate.
        pending: Bodies that are being read.
    """

    webhook: Webhook
    recorder: Recorder
    require_client_certificate: bool = False
    pending: PendingBodies = field(default_factory=PendingBodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request, unless the client disconnects before its end."""
        if self.require_client_certificate and not scope.get(CLIENT_VERIFIED):
            self.recorder.record_rejection("no-client-certificate")
            await _send(send, HTTPStatus.FORBIDDEN, TEXT, b"a client certificate of the API server is required\n")
            return
        try:
            body = await _read_body(receive, self.pending)
            _check_queue_time(scope)
            if body is not None:
                await _send(send, HTTPStatus.OK, JSON, await self.webhook.answer(body, scope.get(RECEIVED_AT)))
        except OverloadedError:
            self.recorder.record_rejection("overloaded")
            await _send(send, HTTPStatus.TOO_MANY_REQUESTS, TEXT, b"overloaded\n", RETRY_AFTER)
        except MalformedReviewError as error:
            self.recorder.record_malformed(str(error))
            too_large = isinstance(error, BodyTooLargeError)
            code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST
            await _send(send, code, TEXT, f"{error}\n".encode())


def _check_queue_time(scope: Scope) -> None:
    if time.monotonic() - scope.get(RECEIVED_AT, math.inf) > MAX_QUEUE_SECONDS:
        raise OverloadedError


async def _read_body(receive: Receive, pending: PendingBodies) -> bytes | None:
    """Read the body and stop above the limit; Content-Length is not trusted."""
    message = await receive()
    body = bytearray(message.get("body", b""))
    size = len(body)
    pending.size += size
    try:
        while message.get("more_body"):
            message = await receive()
            chunk = message.get("body", b"")
            body += chunk
            size += len(chunk)
            pending.size += len(chunk)
            if pending.size > MAX_PENDING_BYTES:
                raise OverloadedError
            if size > MAX_BODY_SIZE:
                break
    finally:
        pending.size -= size
    if size > MAX_BODY_SIZE:
        raise BodyTooLargeError(f"the body is larger than {MAX_BODY_SIZE} bytes")
    return None if message["type"] == "http.disconnect" else bytes(body)


async def _send(send: Send, code: HTTPStatus, media_type: bytes, body: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Application(FastAPI):
    """FastAPI application that bypasses middleware and routing, which cost 30 us, for `POST /mutate`."""

    def __init__(self, mutate: Mutate) -> None:
        """Create the application without documentation pages."""
        super().__init__(title="dask-colocate", docs_url=None, redoc_url=None, openapi_url=None)
        self._mutate = mutate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        is_mutate = scope["type"] == "http" and scope["path"] == MUTATE and scope["method"] == "POST"
        await (self._mutate if is_mutate else super().__call__)(scope, receive, send)


def create_app(
    webhook: Webhook,
    recorder: Recorder,
    readiness: Mapping[str, Callable[[], bool]],
    *,
    require_client_certificate: bool = False,
) -> FastAPI:
    """Create the HTTP application.

    Args:
        webhook: Responder of `POST /mutate`.
        recorder: Source of `GET /metrics`.
        readiness: Checks of `GET /readyz` by name; the replica is ready when all return True.
        require_client_certificate: Whether `POST /mutate` requires a client certificate. Probes and metrics never do.
    """
    mutate = Mutate(webhook, recorder, require_client_certificate)
    app = Application(mutate)
    app.router.routes.append(Route(MUTATE, mutate, methods=["POST"]))

    @app.get("/healthz")
    async def healthz() -> Response:
        """Return 200 while the process runs."""
        return Response("ok\n", media_type="text/plain")

    @app.get("/readyz")
    async def readyz() -> Response:
        """Return 200 when every check passes, else 503 with the names of the failed checks."""
        failed = [name for name, ready in readiness.items() if not ready()]
        if failed:
            message = f"not ready: {', '.join(failed)}\n"
            return Response(message, HTTPStatus.SERVICE_UNAVAILABLE, media_type="text/plain")
        return Response("ok\n", media_type="text/plain")

    @app.get("/metrics")
    async def metrics() -> Response:
        """Return the metrics in the Prometheus text format."""
        return Response(recorder.metrics(), media_type=CONTENT_TYPE_LATEST)

    return app
