"""HTTP: routes, the limits, and the one `await` between a review and its verdict."""

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
from webhook.admission.handler import (
    AdmissionRequest,
    AdmissionResponse,
    MalformedReviewError,
    RenderedResponse,
)
from webhook.http.limits import COMPLETE, VERIFIED
from webhook.kube.capacity import NOT_WATCHED, Capacity
from webhook.kube.namespaces import Namespaces, NamespaceUnknownError
from webhook.policy import Policy
from webhook.telemetry.recorder import Recorder

# An API server takes objects of at most 3 MiB (its request limit), and an UPDATE carries two; 7 MiB is what
# controller-runtime derives from the same limits (pkg/webhook/admission/http.go).
BODY_LIMIT = 7 * 1024 * 1024
# Of all bodies that are being read: 20 of the largest. More than that is turned away, not kept.
BODIES_LIMIT = 20 * BODY_LIMIT
# Seconds that a complete request may have waited for its turn. What comes next has waited as long in the kernel at
# most: together a fraction of the API server's patience, 5 s.
BACKLOG = 0.5
# An API server asks again after this many seconds, ten times and while its patience lasts: client-go's
# rest/with_retry.go does so on a 429 that has a Retry-After.
RETRY_AFTER = (b"retry-after", b"1")

MUTATE = "/mutate"
JSON, TEXT = b"application/json", b"text/plain; charset=utf-8"


class TooLargeError(MalformedReviewError):
    """The body is larger than the limit."""


class BusyError(Exception):
    """There is more to do than can be answered in time."""


Listener: TypeAlias = Callable[[AdmissionRequest, AdmissionResponse], None]
"""Hears of each verdict, on the request path: it must not block."""


def ignore(_review: AdmissionRequest, _verdict: AdmissionResponse) -> None:
    """Nobody listens."""


class Webhook:
    """Answers AdmissionReviews with the installation's defaults and the namespaces' annotations."""

    def __init__(
        self,
        namespaces: Namespaces,
        defaults: Policy,
        recorder: Recorder,
        tell: Listener = ignore,
        capacity: Capacity = NOT_WATCHED,
    ) -> None:
        """Nothing is read or started here; `tell` hears of each verdict."""
        self._tell = tell
        self._namespaces = namespaces
        self._recorder = recorder
        self._verdicts = DecisionCache(defaults, capacity.hints)

    async def answer(self, body: bytes, arrived: float | None = None) -> bytes:
        """The AdmissionReview that answers the one in `body`.

        Args:
            body: The review.
            arrived: When its last byte came, by `time.monotonic`; it may have waited for its turn since.

        Raises:
            MalformedReviewError: `body` is none.
        """
        started = time.monotonic() if arrived is None else arrived
        review = handler.parse(body)
        try:
            answer = await self._decide(review)
        except Exception:  # noqa: BLE001 - whatever it is, other people's work goes on
            self._recorder.failed(review)
            answer = handler.answer(handler.failed())
        self._tell(review, answer.verdict)
        self._recorder.admitted(review, answer, time.monotonic() - started)
        answer.sent += 1
        return answer.to(review.uid)

    async def _decide(self, review: AdmissionRequest) -> RenderedResponse:
        subject = self._verdicts.consider(review)
        if isinstance(subject, AdmissionResponse):
            return handler.answer(subject)
        try:
            annotations = await self._namespaces.annotations(review.namespace)
        except NamespaceUnknownError as error:
            self._recorder.namespace_unknown(str(error))
            return handler.answer(handler.decide(subject, None))
        return self._verdicts.answer(review, subject, annotations)


@dataclass(slots=True, kw_only=True)
class Bodies:
    """The bytes of bodies that came in pieces and are not complete yet."""

    held: int = 0


@dataclass(frozen=True, slots=True)
class Mutate:
    """The AdmissionReview v1 that answers the one sent; 400 for no AdmissionReview, 413 over 7 MiB, 429 when busy.

    A plain ASGI application: one body in, one body out, nothing between.

    Attributes:
        webhook: Answers.
        recorder: Counts.
        certified: Whether clients must show a certificate.
        bodies: What is being read.
    """

    webhook: Webhook
    recorder: Recorder
    certified: bool = False
    bodies: Bodies = field(default_factory=Bodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; one whose client left in the middle gets none."""
        if self.certified and not scope.get(VERIFIED):
            self.recorder.turned_away("uncertified")
            await _send(send, HTTPStatus.FORBIDDEN, TEXT, b"show the API server's client certificate\n")
            return
        try:
            body = await _body(receive, self.bodies)
            _check_backlog(scope)
            if body is not None:
                await _send(send, HTTPStatus.OK, JSON, await self.webhook.answer(body, scope.get(COMPLETE)))
        except BusyError:
            self.recorder.turned_away("busy")
            await _send(send, HTTPStatus.TOO_MANY_REQUESTS, TEXT, b"busy\n", RETRY_AFTER)
        except MalformedReviewError as error:
            self.recorder.malformed(str(error))
            too_large = isinstance(error, TooLargeError)
            code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST
            await _send(send, code, TEXT, f"{error}\n".encode())


def _check_backlog(scope: Scope) -> None:
    if time.monotonic() - scope.get(COMPLETE, math.inf) > BACKLOG:
        raise BusyError


async def _body(receive: Receive, bodies: Bodies) -> bytes | None:
    """The whole body, given up as soon as it is too large: the announced length is only a promise."""
    message = await receive()
    body = bytearray(message.get("body", b""))
    bodies.held += (held := len(body))
    try:
        while message.get("more_body"):
            message = await receive()
            piece = message.get("body", b"")
            body += piece
            held += len(piece)
            bodies.held += len(piece)
            if bodies.held > BODIES_LIMIT:
                raise BusyError
            if held > BODY_LIMIT:
                break
    finally:
        bodies.held -= held
    if held > BODY_LIMIT:
        raise TooLargeError(f"the body is larger than {BODY_LIMIT} bytes")
    return None if message["type"] == "http.disconnect" else bytes(body)


async def _send(send: Send, code: HTTPStatus, media_type: bytes, body: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Application(FastAPI):
    """FastAPI, with a short way to the one path that has to be fast: its middleware and routing cost 30 us."""

    def __init__(self, mutate: Mutate) -> None:
        """Without documentation pages: there is nothing to try out here."""
        super().__init__(title="dask-colocate", docs_url=None, redoc_url=None, openapi_url=None)
        self._mutate = mutate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        reviews = scope["type"] == "http" and scope["path"] == MUTATE and scope["method"] == "POST"
        await (self._mutate if reviews else super().__call__)(scope, receive, send)


def create_app(
    webhook: Webhook, recorder: Recorder, readiness: Mapping[str, Callable[[], bool]], *, certified: bool = False
) -> FastAPI:
    """The HTTP application.

    Args:
        webhook: Answers `POST /mutate`.
        recorder: Behind `GET /metrics`.
        readiness: What `GET /readyz` asks, by name; ready when all say so.
        certified: Whether `POST /mutate` wants a client certificate; the kubelet's probes have none.
    """
    mutate = Mutate(webhook, recorder, certified)
    app = Application(mutate)
    app.router.routes.append(Route(MUTATE, mutate, methods=["POST"]))

    @app.get("/healthz")
    async def healthz() -> Response:
        """200 while the process runs."""
        return Response("ok\n", media_type="text/plain")

    @app.get("/readyz")
    async def readyz() -> Response:
        """200 when it can vouch for its answers; else 503, naming what it waits for."""
        waiting = [name for name, ready in readiness.items() if not ready()]
        if waiting:
            message = f"waiting for: {', '.join(waiting)}\n"
            return Response(message, HTTPStatus.SERVICE_UNAVAILABLE, media_type="text/plain")
        return Response("ok\n", media_type="text/plain")

    @app.get("/metrics")
    async def metrics() -> Response:
        """Metrics in the text format of Prometheus."""
        return Response(recorder.metrics(), media_type=CONTENT_TYPE_LATEST)

    return app
