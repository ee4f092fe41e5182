"""The watched capacity source against an HTTP server that replays an API server's responses and faults."""

from __future__ import annotations

import json
import logging
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlparse

import pytest
from kubernetes.client import ApiClient, Configuration
from prometheus_client import CollectorRegistry, generate_latest

from tests.unit.placement.factories import GPU, demand, questions
from webhook.kube.capacity.watched import BOUND_PODS, CapacityMetrics, WatchedCapacity
from webhook.placement.model import (
    Group,
    NoHint,
    NoHintReason,
    PreferredNodes,
)
from webhook.policy.topology_presets import HOSTNAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from webhook.kube.capacity.peer_reservations import HintedNamespaces
    from webhook.placement.model import Demand, Hint, Question

OTHER = Group("rapids", "other", "other-default")


class Source(WatchedCapacity):
    """A source with a shortcut for questions about workers."""

    def hint(self, question: Question) -> Hint:
        """Return the hint for workers."""
        return self.hints(questions(question)).worker


class Script:
    """Responses of the server.

    Attributes:
        lists: For each collection its pages, in order; the last one is repeated.
        watches: For each collection texts of watches; after them a watch stays max_age until the server stops.
        requests: The query of each request, with its path under the key `path`.
        next: Ends the silence of the watch of pods.
        over: Ends every silence.
    """

    def __init__(self) -> None:
        """Start with two nodes of 8 GPUs, and a pod with 3 GPUs on the first."""
        self.lists: dict[str, list[Any]] = {
            "nodes": [page(node("a"), node("b"))],
            "pods": [page(pod("1", "a", 3))],
        }
        self.watches: dict[str, list[str]] = {"nodes": [], "pods": []}
        self.requests: list[dict[str, str]] = []
        self.over = threading.Event()
        self.next = threading.Event()


def page(*items: dict[str, Any], version: int = 10, proceed: str = "") -> dict[str, Any]:
    """Return one page of a list."""
    return {"metadata": {"resourceVersion": str(version), "continue": proceed}, "items": list(items)}


def node(name: str, gpus: int = 8, version: int = 1) -> dict[str, Any]:
    """Return a ready Node."""
    status = {"allocatable": {GPU: str(gpus)}, "conditions": [{"type": "Ready", "status": "True"}]}
    return {
        "metadata": {"name": name, "resourceVersion": str(version), "labels": {HOSTNAME: name}},
        "spec": {},
        "status": status,
    }


def pod(uid: str, where: str, gpus: int, version: int = 1, *, worker: bool = False) -> dict[str, Any]:
    """Return a bound Pod."""
    labels = {"dask.org/component": "worker", "dask.org/cluster-name": "demo"} if worker else {}
    containers = [{"name": "main", "resources": {"requests": {GPU: str(gpus)}}}]
    return {
        "metadata": {"uid": uid, "namespace": "rapids", "resourceVersion": str(version), "labels": labels},
        "spec": {"nodeName": where, "containers": containers},
        "status": {"phase": "Running"},
    }


def event(change: str, item: dict[str, Any]) -> str:
    """Return one line of a watch."""
    return json.dumps({"type": change, "object": item}) + "\n"


def handler(script: Script) -> type[BaseHTTPRequestHandler]:
    """Return a request handler that serves the script."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlparse(self.path)
            name = url.path.rpartition("/")[2]
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            script.requests.append({**query, "path": url.path})
            if "watch" in query:
                self.send_response(200)
                self.end_headers()
                if script.watches.get(name):
                    self.wfile.write(script.watches[name].pop(0).encode())
                elif name == "pods":
                    script.next.wait(20)
                else:
                    script.over.wait(20)
            else:
                pages = script.lists.get(name, [page()])
                self.answer(pages.pop(0) if len(pages) > 1 else pages[0])

        def answer(self, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(document.get("code", 200))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(BrokenPipeError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    return Handler


class Server(ThreadingHTTPServer):
    """A server with a backlog for the connections of all collections."""

    request_queue_size = 16


@contextmanager
def playing(script: Script, max_age: float = 130, hinted: HintedNamespaces | None = None) -> Iterator[Source]:
    """Yield a started source, connected to a server that plays the script."""
    server = Server(("127.0.0.1", 0), handler(script))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{server.server_port}"
    configuration.retries = False
    watched = Source(ApiClient(configuration), hinted, max_age=max_age)
    watched.start()
    try:
        yield watched
    finally:
        watched.stop()
        script.over.set()
        script.next.set()
        server.shutdown()
        server.server_close()


def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until a condition holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def asking(workers: int) -> Demand:
    """Return a dry run's demand for workers of one GPU."""
    return demand(workers, rack_label="", stored=False)


def names(hint: Hint) -> tuple[str, ...]:
    """Return the hostnames in a hint."""
    return hint.hostnames if isinstance(hint, PreferredNodes) else ()


def reason(hint: Hint) -> NoHintReason | None:
    """Return the reason for a missing hint."""
    return hint.reason if isinstance(hint, NoHint) else None


def test_nodes_and_pods_are_listed() -> None:
    """Free GPUs are the nodes' GPUs minus those of pods; only bound pods that have not ended are listed."""
    script = Script()
    with playing(script) as watched:
        until(lambda: watched.ready)
        assert names(watched.hint(asking(5))) == ("a",)
        assert names(watched.hint(asking(6))) == ("b",)
        (asked,) = (each for each in script.requests if each["path"].endswith("pods") and "watch" not in each)
        assert asked["fieldSelector"] == BOUND_PODS
        assert BOUND_PODS == "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"


def test_pages_and_relist() -> None:
    """Lists are paginated, and a relist after an expired watch removes deleted objects."""
    script = Script()
    gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
    script.lists["pods"] = [
        page(pod("1", "a", 3), proceed="more"),
        page(pod("2", "b", 8)),
        page(pod("2", "b", 8), version=20),
    ]
    script.watches["pods"] = [event("ERROR", gone)]
    with playing(script) as watched:
        until(lambda: any(each.get("resourceVersion") == "20" for each in script.requests))
        until(lambda: watched.ready)
        assert watched.counts()[1] == 1
        assert names(watched.hint(asking(8))) == ("a",)
        assert any(each.get("continue") == "more" for each in script.requests)


def test_events_update_free_gpus() -> None:
    """Events of nodes and pods update the free GPUs."""
    script = Script()
    script.watches["nodes"] = [event("ADDED", node("c", 4, 11)) + event("DELETED", node("b", 8, 12))]
    script.watches["pods"] = [event("ADDED", pod("2", "c", 1, 11)) + event("DELETED", pod("1", "a", 3, 12))]
    with playing(script) as watched:
        until(lambda: sum("watch" in each and "/api/v1/" in each["path"] for each in script.requests) == 4)
        until(lambda: watched.ready)
        assert names(watched.hint(asking(3))) == ("c",)
        assert names(watched.hint(asking(8))) == ("a",)
        assert reason(watched.hint(asking(12))) is NoHintReason.FULL


def test_bound_worker_settles_its_reservation() -> None:
    """A reservation lasts until the watch reports that the worker is bound; then the pod itself counts."""
    script = Script()
    workers = [event("ADDED", pod(f"w{number}", "b", 1, worker=True)) for number in range(8)]
    script.watches["pods"] = [event("BOOKMARK", {"metadata": {"resourceVersion": "11"}})]
    with playing(script) as watched:
        until(lambda: watched.ready)
        assert names(watched.hint(demand(8, rack_label=""))) == ("b",)
        assert watched.counts()[2] == 8
        assert reason(watched.hint(demand(8, rack_label="", group=OTHER))) is NoHintReason.FULL
        script.watches["pods"] = ["".join(workers)]
        script.next.set()
        until(lambda: watched.counts()[1:] == (9, 0))
        assert reason(watched.hint(demand(8, rack_label="", group=OTHER))) is NoHintReason.FULL


def test_watch_without_events_is_stale() -> None:
    """A source without an event for too long gives no hint."""
    with playing(Script(), max_age=0.3) as watched:
        until(lambda: watched.ready)
        until(lambda: reason(watched.hint(asking(1))) is NoHintReason.STALE)
        assert not watched.ready


def test_forbidden_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Without RBAC rights there is no hint, a metric has the reason, one line is logged, and the source recovers."""
    caplog.set_level(logging.INFO)
    script = Script()
    refused = {"kind": "Status", "code": 403, "message": "pods is forbidden"}
    script.lists["pods"] = [refused, refused, *script.lists["pods"]]
    registry = CollectorRegistry()
    with playing(script) as watched:
        registry.register(CapacityMetrics(watched))
        until(lambda: reason(watched.hint(asking(1))) is NoHintReason.FORBIDDEN)
        metrics = generate_latest(registry).decode()
        assert 'dask_colocate_capacity_problem{reason="capacity-forbidden"} 1.0' in metrics
        assert "dask_colocate_capacity_ready 0.0" in metrics
        until(lambda: watched.ready, 10)
        assert names(watched.hint(asking(8))) == ("b",)
        # Count before the server stops, which breaks the watch and logs another line.
        warned = [each for each in caplog.records if each.levelno >= logging.WARNING and "pods" in each.getMessage()]
        assert len(warned) == 1


def test_no_hint_before_the_first_list() -> None:
    """There is no hint until all nodes and pods are listed, as missing pods would look like free GPUs."""
    script = Script()
    script.lists["pods"] = [{"kind": "Status", "code": 503, "message": "not yet"}]
    with playing(script) as watched:
        until(lambda: watched.counts()[0] == 2)
        assert reason(watched.hint(asking(1))) is NoHintReason.UNKNOWN


def group(workers: int, *hosts: str, version: int = 1) -> dict[str, Any]:
    """Return a stored DaskWorkerGroup with a hint for these nodes."""
    named = {"key": HOSTNAME, "operator": "In", "values": list(hosts)}
    item = {
        "weight": 30,
        "preference": {"matchExpressions": [named, {"key": "colocate.dask.org/hint", "operator": "DoesNotExist"}]},
    }
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [item]}}
    spec = {"affinity": affinity, "containers": [{"name": "worker", "resources": {"limits": {GPU: "1"}}}]}
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskWorkerGroup",
        "metadata": {"namespace": "rapids", "name": "far-default", "resourceVersion": str(version)},
        "spec": {"cluster": "far", "worker": {"replicas": workers, "spec": spec}},
    }


def test_what_another_replica_told_is_set_aside() -> None:
    """Nodes in a stored worker group are reserved once; when the group grows, the further nodes are reserved too."""
    script = Script()
    script.lists["daskworkergroups"] = [page(group(5, "a"))]
    script.watches["daskworkergroups"] = [event("MODIFIED", group(5, "a")) + event("MODIFIED", group(9, "b"))]
    with playing(script) as watched:
        until(lambda: watched.ready)
        until(lambda: watched.counts()[2] == 9)
        assert names(watched.hint(asking(4))) == ("b",)
        assert reason(watched.hint(asking(5))) is NoHintReason.FULL


class OneHintedNamespace:
    """Namespaces with hints, of which one exists once they are ready."""

    def __init__(self) -> None:
        """Start without known namespaces."""
        self.ready = False

    def __contains__(self, name: str) -> bool:
        """Return whether this is the namespace with hints."""
        return self.ready and name == "rapids"


def test_only_namespaces_with_hints_reserve_nodes() -> None:
    """Groups in namespaces without hints reserve nothing, and groups wait until the namespaces are known."""
    script, namespaces = Script(), OneHintedNamespace()
    elsewhere = group(3, "b")
    elsewhere["metadata"]["namespace"] = "elsewhere"
    script.lists["daskworkergroups"] = [page(elsewhere, group(5, "a"))]
    with playing(script, hinted=namespaces) as watched:
        until(lambda: watched.ready)
        assert watched.counts()[2] == 0
        namespaces.ready = True
        until(lambda: watched.counts()[2] == 5)
        assert names(watched.hint(asking(8))) == ("b",)
