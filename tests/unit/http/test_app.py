"""HTTP responses of the webhook, including every case in which it cannot decide."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.unit.objects import cluster, container, namespace, review, spec
from webhook.admission.response import parse_response
from webhook.http.app import Mutate, Webhook, create_app
from webhook.http.limits import LARGE_BODY, MAX_BODY_SIZE, MAX_BYTES_IN_FLIGHT, MAX_VALUES
from webhook.kube.namespaces import Namespaces, NamespaceUnknownError
from webhook.kube.namespaces.static import StaticNamespaces
from webhook.policy import PREFIX, Annotations, Policy
from webhook.telemetry.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.types import Message

    from webhook.workloads.unstructured import Unstructured


@dataclass(frozen=True)
class Failing:
    """Source of namespaces that raises an error."""

    error: Exception
    ready: bool = False

    def cached(self, name: str) -> None:
        """Return None: each namespace is read."""

    async def annotations(self, name: str) -> Annotations:  # noqa: ARG002 - the port's signature
        """Raise the error."""
        raise self.error


@dataclass(frozen=True)
class RecordingNamespaces:
    """Source of namespaces that records the requested names."""

    names: list[str] = field(default_factory=list)
    ready: bool = True

    def cached(self, name: str) -> None:
        """Return None: each namespace is read."""

    async def annotations(self, name: str) -> Annotations:
        """Return no annotations."""
        self.names.append(name)
        return frozenset()


class Service:
    """HTTP application in this process with a client."""

    def __init__(self, namespaces: Namespaces, readiness: Mapping[str, Callable[[], bool]] | None = None) -> None:
        """Serve with the default policy."""
        self.recorder = Recorder()
        self._app = create_app(Webhook(namespaces, Policy(), self.recorder), self.recorder, readiness or {})

    def send(self, method: str, path: str, content: bytes | AsyncIterator[bytes] | None = None) -> httpx.Response:
        """Send one request."""

        async def exchange() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://webhook") as client:
                return await client.request(method, path, content=content)

        return asyncio.run(exchange())

    def mutate(self, document: Unstructured) -> httpx.Response:
        """Send an AdmissionReview."""
        return self.send("POST", "/mutate", json.dumps(document).encode())

    def count(self, name: str, **labels: str) -> float:
        """Return the value of a counter, 0 if it has no sample."""
        return self.recorder.registry.get_sample_value(name, labels) or 0


def served(**annotations: str) -> Service:
    """Return a service with one enabled namespace."""
    return Service(StaticNamespaces([namespace(**annotations)]))


# ---- requests without a decision -------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{", b"null", b'{"kind": "AdmissionReview"}', b"kind: AdmissionReview"])
def test_body_that_is_no_review_is_400(body: bytes) -> None:
    """A body that is not an AdmissionReview v1 gets HTTP 400 with a reason and is counted."""
    service = served()
    answer = service.send("POST", "/mutate", body)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/plain")
    assert len(answer.text.splitlines()) == 1
    assert service.count("dask_colocate_malformed_requests_total") == 1


def test_body_over_the_limit_is_413() -> None:
    """A body above the limit gets HTTP 413 with a reason and is counted."""
    service = served()
    answer = service.send("POST", "/mutate", b" " * (MAX_BODY_SIZE + 1))
    assert answer.status_code == 413
    assert str(MAX_BODY_SIZE) in answer.text
    assert service.count("dask_colocate_malformed_requests_total") == 1


def test_body_without_length_is_read_up_to_the_limit() -> None:
    """A body without Content-Length is not read beyond the limit."""
    sent = []

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            sent.append(1)
            yield b" " * (1024 * 1024)

    assert served().send("POST", "/mutate", endless()).status_code == 413
    assert len(sent) == MAX_BODY_SIZE // (1024 * 1024) + 1


def test_body_at_the_limit_is_read() -> None:
    """A body of exactly the limit is admitted."""
    body = json.dumps(review(cluster())).encode()
    answer = served().send("POST", "/mutate", body + b" " * (MAX_BODY_SIZE - len(body)))
    assert answer.status_code == 200


def with_values(count: int) -> bytes:
    """Return a review of a DaskCluster with a list of `count` empty strings."""
    return json.dumps(review(cluster(spec(container(*[""] * count)))), separators=(",", ":")).encode()


def test_body_with_too_many_values_is_413() -> None:
    """A body with more values than an API server sends gets HTTP 413 before it is parsed, and is counted."""
    service = served()
    answer = service.send("POST", "/mutate", with_values(MAX_VALUES))
    assert (answer.status_code, str(MAX_VALUES) in answer.text) == (413, True)
    assert service.count("dask_colocate_requests_rejected_total", reason="too-many-values") == 1


def test_largest_objects_of_an_api_server_are_read() -> None:
    """An UPDATE with 3 MiB of environment variables with short names, from 1.5 MiB of them, is admitted."""

    def sized(size: int) -> Unstructured:
        return cluster(spec(container(env=[{"name": "A"}] * (size // len('{"name":"A"},')))))

    document = review(sized(3 * 1024 * 1024), "UPDATE", oldObject=sized(3 * 1024 * 512))
    body = json.dumps(document, separators=(",", ":")).encode()
    assert served().send("POST", "/mutate", body).status_code == 200


def test_largest_body_in_flight_is_evicted() -> None:
    """Above the limit of bytes in flight the largest incomplete body gets 429, and a small body is answered."""
    recorder = Recorder()
    mutate = Mutate(Webhook(StaticNamespaces([namespace()]), Policy(), recorder), recorder)
    small = json.dumps(review(cluster())).encode()

    async def status(*chunks: bytes, incomplete: bool) -> int:
        messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
        sent: list[Message] = []

        async def receive() -> Message:
            if messages:
                return messages.pop(0)
            if incomplete:
                await asyncio.sleep(60)
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await mutate({"type": "http"}, receive, send)
        return int(sent[0]["status"])

    async def exchange() -> tuple[int, int]:
        held = [asyncio.create_task(status(b" " * (MAX_BODY_SIZE - each), incomplete=True)) for each in range(4)]
        for _ in range(20):  # until each body has arrived
            await asyncio.sleep(0)
        assert mutate.budget.size == MAX_BYTES_IN_FLIGHT - 6
        answered = await status(small, incomplete=False)
        (done, _) = await asyncio.wait(held, return_when=asyncio.FIRST_COMPLETED)
        assert done == {held[0]}
        for task in held:
            task.cancel()
        return answered, held[0].result()

    assert asyncio.run(exchange()) == (200, 429)
    assert mutate.budget.size == 0


def test_parsed_review_is_dropped_during_a_live_read() -> None:
    """While a namespace is read, the parsed review is not in memory."""

    class Watching:
        ready = True
        alive: list[Unstructured]

        def cached(self, name: str) -> None:
            """Return None: each namespace is read."""

        async def annotations(self, name: str) -> Annotations:  # noqa: ARG002 - the port's signature
            """Record whether a parsed review exists."""
            self.alive = [each for each in gc.get_objects() if isinstance(each, dict) and each.get("uid") == "7777"]
            return frozenset()

    source = Watching()
    response = Service(source).send("POST", "/mutate", json.dumps(review(cluster(), uid="7777")).encode())
    assert (response.status_code, source.alive) == (200, [])


def test_small_request_is_answered_between_large_ones() -> None:
    """Large bodies take turns: a small request that arrives later does not wait for all of them."""
    webhook = Webhook(StaticNamespaces([namespace()]), Policy(), Recorder())
    large = with_values(LARGE_BODY)
    order: list[str] = []

    async def answer(name: str, body: bytes) -> None:
        await webhook.answer(body)
        order.append(name)

    async def exchange() -> None:
        await asyncio.gather(
            *(answer("large", large) for _ in range(3)), answer("small", json.dumps(review(cluster())).encode())
        )

    asyncio.run(exchange())
    assert order.index("small") < 2


@pytest.mark.parametrize(
    "item", [{"apiVersion": "v1", "kind": "ConfigMap"}, cluster(annotations={f"{PREFIX}enabled": "false"})]
)
def test_unrelated_object_needs_no_namespace(item: Unstructured) -> None:
    """An object without pod templates or with an opt-out is allowed without a patch, and no namespace is read."""
    source = RecordingNamespaces()
    response = parse_response(Service(source).mutate(review(item)).content)
    assert response["allowed"] is True
    assert "patch" not in response
    assert source.names == []


def test_object_in_a_namespace_that_is_not_enabled() -> None:
    """An object in a namespace that is not enabled is allowed without a patch or warning."""
    response = parse_response(served(enabled="false").mutate(review(cluster())).content)
    assert response["allowed"] is True
    assert not response.keys() & {"patch", "patchType", "warnings"}


def test_namespace_that_cannot_be_read() -> None:
    """If the namespace cannot be read, the object is allowed without a patch; this is audited and counted."""
    service = Service(Failing(NamespaceUnknownError("no answer within 0.3 s")))
    response = parse_response(service.mutate(review(cluster())).content)
    assert response == {"uid": "0c5d", "allowed": True, "auditAnnotations": {"status": "namespace-unknown"}}
    labels = {"kind": "DaskCluster", "status": "namespace-unknown"}
    assert service.count("dask_colocate_admissions_total", **labels) == 1


def test_malformed_annotation_gives_a_warning() -> None:
    """For a malformed annotation the default applies, with a warning."""
    response = parse_response(served(gpu_limit="many").mutate(review(cluster())).content)
    assert response["allowed"] is True
    assert "gpu-limit='many'" in response["warnings"][0]
    values = [operation["value"] for operation in response["patch"]]
    assert {"limits": {"nvidia.com/gpu": "1"}} in values


def test_uncertain_rule_is_refused() -> None:
    """An uncertain rule is refused with a warning, and the other rules still apply."""
    item = cluster(spec(container("sh", "-c", "dask-worker 2>&1 | tee log")))
    response = parse_response(served().mutate(review(item)).content)
    assert len(response["warnings"]) == 1
    changed = [operation["path"].rpartition("/")[2] for operation in response["patch"]]
    assert changed == ["affinity", "topologySpreadConstraints", "resources"]


def test_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    """After an internal error the object is allowed without a patch; the error is audited, counted and logged."""
    service = Service(Failing(RuntimeError("out of luck")))
    answer = service.mutate(review(cluster()))
    assert answer.status_code == 200
    assert parse_response(answer.content) == {
        "uid": "0c5d",
        "allowed": True,
        "auditAnnotations": {"status": "internal-error"},
    }
    assert service.count("dask_colocate_admissions_total", kind="DaskCluster", status="internal-error") == 1
    (record,) = (each for each in caplog.records if each.levelno == logging.ERROR)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], RuntimeError)


# ---- other requests --------------------------------------------------------------------------------


def test_answer_is_an_admission_review() -> None:
    """The response is an AdmissionReview of the requested version with the uid of the request."""
    answer = served().mutate(review(cluster(), uid="705ab4f5-6393-11e8-b7cc-42010a800002"))
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert (document["apiVersion"], document["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert document["response"]["uid"] == "705ab4f5-6393-11e8-b7cc-42010a800002"


def test_changed_annotations_apply_at_once() -> None:
    """A cached policy applies only to the annotations that it was resolved from."""

    class Changing:
        ready = True
        limit = 1

        def cached(self, name: str) -> None:
            """Return None: each namespace is read."""

        async def annotations(self, name: str) -> Annotations:
            """Return a GPU limit that grows with each call."""
            assert name == "rapids"
            self.limit += 1
            return frozenset({(f"{PREFIX}enabled", "true"), (f"{PREFIX}gpu-limit", str(self.limit))})

    service = Service(Changing())
    for limit in ("2", "3"):
        response = parse_response(service.mutate(review(cluster())).content)
        assert {"limits": {"nvidia.com/gpu": limit}} in [operation["value"] for operation in response["patch"]]


def test_concurrent_requests_get_their_own_responses() -> None:
    """Each of many concurrent requests gets a response with its own uid."""
    webhook = Webhook(StaticNamespaces([namespace()]), Policy(), Recorder())

    async def all_at_once() -> list[bytes]:
        bodies = [json.dumps(review(cluster(), uid=f"uid-{number}")).encode() for number in range(50)]
        return await asyncio.gather(*map(webhook.answer, bodies))

    answers = asyncio.run(all_at_once())
    assert [parse_response(answer)["uid"] for answer in answers] == [f"uid-{number}" for number in range(50)]


def test_disconnect_within_a_body_is_no_error() -> None:
    """After a disconnect within the body nothing is sent, and nothing is counted as malformed."""
    recorder, sent = Recorder(), []
    mutate = Mutate(Webhook(RecordingNamespaces(), Policy(), recorder), recorder)
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(mutate({"type": "http"}, receive, send))
    assert sent == []
    assert recorder.registry.get_sample_value("dask_colocate_malformed_requests_total") == 0


def test_liveness_is_independent_of_readiness() -> None:
    """The liveness probe succeeds before the replica is ready."""
    service = Service(RecordingNamespaces(), {"namespaces": lambda: False})
    assert service.send("GET", "/healthz").status_code == 200
    assert service.mutate(review(cluster())).status_code == 200


def test_readiness_lists_failed_checks() -> None:
    """The readiness probe is 200 if all checks pass, else 503 with the names of the failed checks."""
    waiting = Service(RecordingNamespaces(), {"namespaces": lambda: False, "certificate": lambda: True}).send(
        "GET", "/readyz"
    )
    assert (waiting.status_code, waiting.text) == (503, "not ready: namespaces\n")
    assert Service(RecordingNamespaces(), {"namespaces": lambda: True}).send("GET", "/readyz").status_code == 200


def test_metrics_are_prometheus_text() -> None:
    """The metrics are in the Prometheus text format and contain the counted requests."""
    service = served()
    service.mutate(review(cluster()))
    answer = service.send("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'dask_colocate_admissions_total{kind="DaskCluster",status="decided"} 1.0' in answer.text


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("GET", "/mutate", 405), ("GET", "/docs", 404), ("POST", "/", 404), ("POST", "/mutate/", 404)],
)
def test_nothing_else_is_served(method: str, path: str, code: int) -> None:
    """Other paths and methods are rejected."""
    assert served().send(method, path).status_code == code
