"""HTTP: routes, the size limit, and the one `await` between a review and its verdict."""

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import TypeAlias

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from webhook import admission
from webhook.admission import MalformedReviewError, Review, Verdict
from webhook.namespaces import Annotations, Namespaces, NamespaceUnknownError
from webhook.observe import Recorder
from webhook.policy import Policy, resolve

# An API server takes objects of at most 3 MiB (its request limit), and an UPDATE carries two; 7 MiB is what
# controller-runtime derives from the same limits (pkg/webhook/admission/http.go).
BODY_LIMIT = 7 * 1024 * 1024
# Distinct sets of annotations, not namespaces: a cluster has a handful.
POLICIES_KEPT = 1024

JSON = "application/json"


class TooLargeError(MalformedReviewError):
    """The body is larger than the limit."""


Listener: TypeAlias = Callable[[Review, Verdict], None]
"""Hears of each verdict, on the request path: it must not block."""


def ignore(_review: Review, _verdict: Verdict) -> None:
    """Nobody listens."""


class Webhook:
    """Answers AdmissionReviews with the installation's defaults and the namespaces' annotations."""

    def __init__(
        self,
        namespaces: Namespaces,
        defaults: Policy,
        recorder: Recorder,
        tell: Listener = ignore,
    ) -> None:
        """Nothing is read or started here; `tell` hears of each verdict."""
        self._tell = tell
        self._namespaces = namespaces
        self._recorder = recorder
        # A namespace's policy is resolved when its annotations change, not for each request.
        self._policy = lru_cache(POLICIES_KEPT)(lambda annotations: resolve(dict(annotations), defaults))

    async def answer(self, body: bytes) -> bytes:
        """The AdmissionReview that answers the one in `body`.

        Raises:
            MalformedReviewError: `body` is none.
        """
        started = time.perf_counter()
        review = admission.parse(body)
        try:
            verdict = await self._decide(review)
        except Exception:  # noqa: BLE001 - whatever it is, other people's work goes on
            self._recorder.failed(review)
            verdict = admission.failed()
        self._tell(review, verdict)
        self._recorder.admitted(review, verdict, time.perf_counter() - started)
        return admission.render(review.uid, verdict)

    async def _decide(self, review: Review) -> Verdict:
        subject = admission.consider(review)
        if isinstance(subject, Verdict):
            return subject
        return admission.decide(subject, await self._policy_of(review.namespace))

    async def _policy_of(self, namespace: str) -> Policy | None:
        try:
            annotations: Annotations = await self._namespaces.annotations(namespace)
        except NamespaceUnknownError as error:
            self._recorder.namespace_unknown(str(error))
            return None
        return self._policy(annotations)


def create_app(webhook: Webhook, recorder: Recorder, readiness: Mapping[str, Callable[[], bool]]) -> FastAPI:
    """The HTTP application.

    Args:
        webhook: Answers `POST /mutate`.
        recorder: Behind `GET /metrics`.
        readiness: What `GET /readyz` asks, by name; ready when all say so.
    """
    app = FastAPI(title="dask-colocate", docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/mutate")
    async def mutate(request: Request) -> Response:
        try:
            return Response(await webhook.answer(await _body(request)), media_type=JSON)
        except MalformedReviewError as error:
            recorder.malformed(str(error))
            too_large = isinstance(error, TooLargeError)
            code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST
            return Response(f"{error}\n", code, media_type="text/plain")

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response("ok\n", media_type="text/plain")

    @app.get("/readyz")
    async def readyz() -> Response:
        waiting = [name for name, ready in readiness.items() if not ready()]
        if waiting:
            message = f"waiting for: {', '.join(waiting)}\n"
            return Response(message, HTTPStatus.SERVICE_UNAVAILABLE, media_type="text/plain")
        return Response("ok\n", media_type="text/plain")

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(recorder.metrics(), media_type=CONTENT_TYPE_LATEST)

    return app


async def _body(request: Request) -> bytes:
    """The whole body, given up as soon as it is too large: the announced length is only a promise."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise TooLargeError(f"the body is larger than {BODY_LIMIT} bytes")
    return bytes(body)
