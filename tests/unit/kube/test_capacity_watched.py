"""The watch of nodes and pods against an HTTP server that plays back what an API server says, faults included."""

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
from webhook.kube.capacity.watched import HOLDING, Metrics, Watched
from webhook.placement.model import (
    Group,
    Hosts,
    NoHint,
    NoHintReason,
)
from webhook.policy.topology_presets import HOSTNAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from webhook.kube.capacity.peer_reservations import Hinted
    from webhook.placement.model import Demand, Hint, Question

OTHER = Group("rapids", "other", "other-default")


class Source(Watched):
    """A source that is asked about workers only."""

    def hint(self, question: Question) -> Hint:
        """Return the hint for workers."""
        return self.hints(questions(question)).worker


class Script:
    """What the server answers.

    Attributes:
        lists: For each collection its pages, in order; the last one is repeated.
        watches: For each collection texts of watches; after them a watch stays silent until the server stops.
        requests: The query of each request, with its path under the key `path`.
        next: Ends the silence of the watch of pods.
        over: Ends every silence.
    """

    def __init__(self) -> None:
        """Two nodes of 8 GPUs; a pod holds 3 of the first."""
        self.lists: dict[str, list[Any]] = {
            "nodes": [page(node("a"), node("b"))],
            "pods": [page(pod("1", "a", 3))],
        }
        self.watches: dict[str, list[str]] = {"nodes": [], "pods": []}
        self.requests: list[dict[str, str]] = []
        self.over = threading.Event()
        self.next = threading.Event()


def page(*items: dict[str, Any], version: int = 10, proceed: str = "") -> dict[str, Any]:
    """One page of a list."""
    return {"metadata": {"resourceVersion": str(version), "continue": proceed}, "items": list(items)}


def node(name: str, gpus: int = 8, version: int = 1) -> dict[str, Any]:
    """A ready Node."""
    status = {"allocatable": {GPU: str(gpus)}, "conditions": [{"type": "Ready", "status": "True"}]}
    return {
        "metadata": {"name": name, "resourceVersion": str(version), "labels": {HOSTNAME: name}},
        "spec": {},
        "status": status,
    }


def pod(uid: str, where: str, gpus: int, version: int = 1, *, worker: bool = False) -> dict[str, Any]:
    """A bound Pod."""
    labels = {"dask.org/component": "worker", "dask.org/cluster-name": "demo"} if worker else {}
    containers = [{"name": "main", "resources": {"requests": {GPU: str(gpus)}}}]
    return {
        "metadata": {"uid": uid, "namespace": "rapids", "resourceVersion": str(version), "labels": labels},
        "spec": {"nodeName": where, "containers": containers},
        "status": {"phase": "Running"},
    }


def event(change: str, item: dict[str, Any]) -> str:
    """One line of a watch."""
    return json.dumps({"type": change, "object": item}) + "\n"


def handler(script: Script) -> type[BaseHTTPRequestHandler]:
    """What serves the script."""

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
    """A server for the connections of all collections, which come at once."""

    request_queue_size = 16


@contextmanager
def playing(script: Script, silent: float = 130, hinted: Hinted | None = None) -> Iterator[Source]:
    """A started source on a server that plays the script."""
    server = Server(("127.0.0.1", 0), handler(script))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{server.server_port}"
    configuration.retries = False
    watched = Source(ApiClient(configuration), hinted, silent=silent)
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
    """Wait until something holds; fail when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def asking(workers: int) -> Demand:
    """Workers of one GPU; nothing is promised to them."""
    return demand(workers, rack="", binding=False)


def names(hint: Hint) -> tuple[str, ...]:
    """The hosts of a hint."""
    return hint.names if isinstance(hint, Hosts) else ()


def lack(hint: Hint) -> NoHintReason | None:
    """Why there is no hint."""
    return hint.reason if isinstance(hint, NoHint) else None


def test_nodes_and_pods_are_listed() -> None:
    """Free GPUs are what nodes have less what pods hold; pods that are not bound or have ended are not asked for."""
    script = Script()
    with playing(script) as watched:
        until(lambda: watched.ready)
        assert names(watched.hint(asking(5))) == ("a",)
        assert names(watched.hint(asking(6))) == ("b",)
        (asked,) = (each for each in script.requests if each["path"].endswith("pods") and "watch" not in each)
        assert asked["fieldSelector"] == HOLDING
        assert HOLDING == "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"


def test_pages_are_joined_and_what_vanished_is_forgotten() -> None:
    """A list comes in pages; one that is made anew, since the watch expired, leaves nothing of what is gone."""
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


def test_events_are_followed() -> None:
    """Nodes and pods that come, change and go are known at once."""
    script = Script()
    script.watches["nodes"] = [event("ADDED", node("c", 4, 11)) + event("DELETED", node("b", 8, 12))]
    script.watches["pods"] = [event("ADDED", pod("2", "c", 1, 11)) + event("DELETED", pod("1", "a", 3, 12))]
    with playing(script) as watched:
        until(lambda: sum("watch" in each and "/api/v1/" in each["path"] for each in script.requests) == 4)
        until(lambda: watched.ready)
        assert names(watched.hint(asking(3))) == ("c",)
        assert names(watched.hint(asking(8))) == ("a",)
        assert lack(watched.hint(asking(12))) is NoHintReason.FULL


def test_bound_worker_takes_its_place() -> None:
    """A promise is kept until the worker's pod is bound, which the watch tells; then the GPU is its own."""
    script = Script()
    workers = [event("ADDED", pod(f"w{number}", "b", 1, worker=True)) for number in range(8)]
    script.watches["pods"] = [event("BOOKMARK", {"metadata": {"resourceVersion": "11"}})]
    with playing(script) as watched:
        until(lambda: watched.ready)
        assert names(watched.hint(demand(8, rack=""))) == ("b",)
        assert watched.counts()[2] == 8
        assert lack(watched.hint(demand(8, rack="", group=OTHER))) is NoHintReason.FULL
        script.watches["pods"] = ["".join(workers)]
        script.next.set()
        until(lambda: watched.counts()[1:] == (9, 0))
        assert lack(watched.hint(demand(8, rack="", group=OTHER))) is NoHintReason.FULL


def test_silence_is_stale() -> None:
    """A source that was not heard of for too long gives no hint."""
    with playing(Script(), silent=0.3) as watched:
        until(lambda: watched.ready)
        until(lambda: lack(watched.hint(asking(1))) is NoHintReason.STALE)
        assert not watched.ready


def test_forbidden_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Without the rights there is no hint, the reason is in the metrics, the log says it once, and it may pass."""
    caplog.set_level(logging.INFO)
    script = Script()
    refused = {"kind": "Status", "code": 403, "message": "pods is forbidden"}
    script.lists["pods"] = [refused, refused, *script.lists["pods"]]
    registry = CollectorRegistry()
    with playing(script) as watched:
        registry.register(Metrics(watched))
        until(lambda: lack(watched.hint(asking(1))) is NoHintReason.FORBIDDEN)
        told = generate_latest(registry).decode()
        assert 'dask_colocate_capacity_problem{reason="capacity-forbidden"} 1.0' in told
        assert "dask_colocate_capacity_ready 0.0" in told
        until(lambda: watched.ready, 10)
        assert names(watched.hint(asking(8))) == ("b",)
        # Before the end, which cuts the watch and is worth a line of its own.
        warned = [each for each in caplog.records if each.levelno >= logging.WARNING and "pods" in each.getMessage()]
        assert len(warned) == 1


def test_nothing_is_known_before_the_first_list() -> None:
    """Until nodes and pods are all read there is no hint: half of the pods would be taken for free room."""
    script = Script()
    script.lists["pods"] = [{"kind": "Status", "code": 503, "message": "not yet"}]
    with playing(script) as watched:
        until(lambda: watched.counts()[0] == 2)
        assert lack(watched.hint(asking(1))) is NoHintReason.UNKNOWN


def group(workers: int, *hosts: str, version: int = 1) -> dict[str, Any]:
    """A stored DaskWorkerGroup that was told these hosts."""
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
    """Hosts in a stored worker group are promised here too, once; when it grows, so are the further ones."""
    script = Script()
    script.lists["daskworkergroups"] = [page(group(5, "a"))]
    script.watches["daskworkergroups"] = [event("MODIFIED", group(5, "a")) + event("MODIFIED", group(9, "b"))]
    with playing(script) as watched:
        until(lambda: watched.ready)
        until(lambda: watched.counts()[2] == 9)
        assert names(watched.hint(asking(4))) == ("b",)
        assert lack(watched.hint(asking(5))) is NoHintReason.FULL


class Some:
    """One namespace has hints, once that is known."""

    def __init__(self) -> None:
        """Not known yet."""
        self.ready = False

    def __contains__(self, name: str) -> bool:
        """Whether it is the one."""
        return self.ready and name == "rapids"


def test_only_namespaces_with_hints_set_hosts_aside() -> None:
    """Hosts in a group of a namespace that has no hints count for nothing; groups wait until that is known."""
    script, some = Script(), Some()
    elsewhere = group(3, "b")
    elsewhere["metadata"]["namespace"] = "elsewhere"
    script.lists["daskworkergroups"] = [page(elsewhere, group(5, "a"))]
    with playing(script, hinted=some) as watched:
        until(lambda: watched.ready)
        assert watched.counts()[2] == 0
        some.ready = True
        until(lambda: watched.counts()[2] == 5)
        assert names(watched.hint(asking(8))) == ("b",)
