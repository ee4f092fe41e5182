"""ASGI application: routes, body limits and the admission of one request."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from webhook.admission import handler
from webhook.admission.decision_cache import DecisionCache
from webhook.admission.request import AdmissionRequest, MalformedReviewError, parse
from webhook.admission.response import AdmissionResponse, RenderedResponse, render
from webhook.http.limits import (
    CLIENT_VERIFIED,
    LARGE_BODY,
    MAX_BODY_SIZE,
    MAX_QUEUE_SECONDS,
    MAX_VALUES,
    RECEIVED_AT,
    BodyBudget,
    BytesInFlight,
    OverloadedError,
    has_too_many_values,
)
from webhook.kube.capacity import NOT_WATCHED, Capacity
from webhook.kube.namespaces import Namespaces, NamespaceUnknownError
from webhook.policy import Annotations, Policy
from webhook.telemetry.recorder import Recorder

# An API server repeats a request after 429 with Retry-After, up to ten times within its timeout: client-go,
# rest/with_retry.go.
RETRY_AFTER = (b"retry-after", b"1")

MUTATE = "/mutate"
JSON, TEXT = b"application/json", b"text/plain; charset=utf-8"


class BodyTooLargeError(MalformedReviewError):
    """Request body above `MAX_BODY_SIZE`."""


class TooManyValuesError(BodyTooLargeError):
    """Request body above `MAX_VALUES`."""


OnResponse: TypeAlias = Callable[[AdmissionRequest, AdmissionResponse], None]
"""Callback for each response. It runs on the request path and must not block."""
Read: TypeAlias = Annotations | BaseException
"""Result of a live read of a namespace."""


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
        self._turn = asyncio.Lock()

    async def answer(self, body: bytes, received_at: float | None = None) -> bytes:
        """Return the AdmissionReview that responds to the one in `body`.

        The parsed review is dropped before a live read of its namespace and parsed again after it, so that only one
        parsed review is in memory: it takes up to 35 times the bytes of its body.

        Args:
            body: AdmissionReview as JSON.
            received_at: `time.monotonic` when the last byte arrived. Default: now.

        Raises:
            MalformedReviewError: `body` is not an AdmissionReview.
            OverloadedError: Other requests have delayed this one for too long.
        """
        started = time.monotonic() if received_at is None else received_at
        response = await self._respond(body, started, None)
        while isinstance(response, NotCached):
            response = await self._respond(body, started, await self._read(response.namespace))
        return response

    async def _read(self, namespace: str) -> Read:
        """Read the annotations of a namespace; return the exception of a failed read, which `_decide` handles."""
        try:
            return await self._namespaces.annotations(namespace)
        except Exception as error:  # noqa: BLE001 - an error of the webhook must not block the user's object
            return error

    async def _respond(self, body: bytes, started: float, read: Read | None) -> "bytes | NotCached":
        """Respond to a request; large ones wait for their turn, so that small ones are answered between them."""
        if len(body) <= LARGE_BODY:
            return self.answer_at_once(body, started, read)
        async with self._turn:
            await asyncio.sleep(0)
            _check_queue_time(started)
            if has_too_many_values(body):
                raise TooManyValuesError(f"the body has more than {MAX_VALUES} keys and values")
            return self.answer_at_once(body, started, read)

    def answer_at_once(self, body: bytes, started: float, read: Read | None = None) -> "bytes | NotCached":
        """Return the response to a request, or its namespace if that must be read first.

        Args:
            body: AdmissionReview as JSON.
            started: `time.monotonic` when the last byte arrived.
            read: Result of a live read of the namespace; None: use the cache.

        Raises:
            MalformedReviewError: `body` is not an AdmissionReview.
        """
        request = parse(body)
        try:
            rendered = self._decide(request, read)
        except Exception:  # noqa: BLE001 - an error of the webhook must not block the user's object
            self._recorder.record_failure(request)
            rendered = render(handler.failed())
        if isinstance(rendered, NotCached):
            return rendered
        self._on_response(request, rendered.response)
        self._recorder.record_admission(request, rendered, time.monotonic() - started)
        rendered.sent += 1
        return rendered.to(request.uid)

    def _decide(self, request: AdmissionRequest, read: Read | None) -> "RenderedResponse | NotCached":
        subject = self._decisions.consider(request)
        if isinstance(subject, AdmissionResponse):
            return render(subject)
        annotations = self._namespaces.cached(request.namespace) if read is None else read
        if annotations is None:
            return NotCached(request.namespace)
        if isinstance(annotations, NamespaceUnknownError):
            self._recorder.record_unknown_namespace(str(annotations))
            return render(handler.decide(subject, None))
        if isinstance(annotations, BaseException):
            raise annotations
        return self._decisions.answer(request, subject, annotations)


@dataclass(frozen=True, slots=True)
class NotCached:
    """Namespace that must be read before a decision."""

    namespace: str


@dataclass(frozen=True, slots=True)
class Mutate:
    """Endpoint for AdmissionReviews v1: 400 if malformed, 413 above 7 MiB, 429 under overload.

    A plain ASGI application: it has no parameters to validate and needs no middleware.

    Attributes:
        webhook: Responder.
        recorder: Metrics and log.
        require_client_certificate: Whether to reject requests without a verified client certificate.
        budget: Bodies without a response.
    """

    webhook: Webhook
    recorder: Recorder
    require_client_certificate: bool = False
    budget: BodyBudget = field(default_factory=BodyBudget)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request, unless the client disconnects before its end."""
        if self.require_client_certificate and not scope.get(CLIENT_VERIFIED):
            self.recorder.record_rejection("no-client-certificate")
            await _send(send, HTTPStatus.FORBIDDEN, TEXT, b"a client certificate of the API server is required\n")
            return
        try:
            response = await self._answer(scope, receive)
            if response is not None:
                await _send(send, HTTPStatus.OK, JSON, response)
        except OverloadedError:
            self.recorder.record_rejection("overloaded")
            await _send(send, HTTPStatus.TOO_MANY_REQUESTS, TEXT, b"overloaded\n", RETRY_AFTER)
        except MalformedReviewError as error:
            self.recorder.record_malformed(str(error))
            if isinstance(error, TooManyValuesError):
                self.recorder.record_rejection("too-many-values")
            too_large = isinstance(error, BodyTooLargeError)
            code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST
            await _send(send, code, TEXT, f"{error}\n".encode())

    async def _answer(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the response to a request, or None if the client disconnects before its end."""
        message, received_at = await receive(), scope.get(RECEIVED_AT, time.monotonic())
        body = message.get("body", b"")
        if 0 < len(body) <= LARGE_BODY and not message.get("more_body"):  # usual, and nothing waits: not counted
            _check_queue_time(received_at)
            response = self.webhook.answer_at_once(body, received_at)
            if isinstance(response, bytes):
                return response
        with self.budget.body() as counted:
            body = await _read_body(message, receive, self.budget, counted)
            if body is None:
                return None
            received_at = scope.get(RECEIVED_AT, time.monotonic())
            _check_queue_time(received_at)
            return await self.webhook.answer(body, received_at)


def _check_queue_time(received_at: float) -> None:
    if time.monotonic() - received_at > MAX_QUEUE_SECONDS:
        raise OverloadedError


async def _read_body(message: Message, receive: Receive, budget: BodyBudget, counted: BytesInFlight) -> bytes | None:
    """Read the body from its first message on and stop above the limit; Content-Length is not trusted."""
    body = bytearray()
    while True:
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        body += chunk
        budget.add(counted, len(chunk))
        if len(body) > MAX_BODY_SIZE:
            raise BodyTooLargeError(f"the body is larger than {MAX_BODY_SIZE} bytes")
        if not message.get("more_body"):
            return bytes(body)
        message = await receive()


async def _send(send: Send, code: HTTPStatus, media_type: bytes, body: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Application(FastAPI):
    """FastAPI application that bypasses middleware and routing, which cost 30 us, for `POST /mutate`."""

    def __init__(self, mutate: Mutate) -> None:
        """Create the application without documentation pages."""
        super().__init__(title="dask-colocate", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
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
