"""The capacity source at size: what 5,000 nodes and 40,000 GPU pods cost.

Synthetic Nodes and Pods, as large as real ones, are served by a process of its own that pages, watches and answers
410 as an API server does; the source runs in a process of its own too, through the real client and parser.
`python -m tests.bench.capacity` prints seconds to the first hint, resident memory, the CPU that 500 pod events a second
take, the time a plan takes while those events go on, and what must hold; it writes them to `results/capacity.json`, and
ends with status 1 where something does not.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import resource
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlparse

import orjson
from kubernetes.client import ApiClient, Configuration

from tests.bench.machine import machine
from tests.bench.must import Must
from webhook.kube.capacity.watched import WatchedCapacity
from webhook.placement.constraints import constraints
from webhook.placement.model import (
    Demand,
    Group,
    NoHint,
    NoHintReason,
    PreferredNodes,
    Questions,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.e2e.bed.api import Object

GPU = "nvidia.com/gpu"
RACK = "topology.kubernetes.io/zone"
NODES, PODS = 5_000, 40_000
GPUS = (8, 16)  # of every other node
RACKS = 313  # of 16 nodes
SIZES = (1, 1, 1, 2, 2)  # GPUs of a pod: 56,000 of the 60,000 are taken, by chance, so that nearly no node is empty
PACE = 500  # pod events a second
SECONDS = 20
NOTHING = NoHint(NoHintReason.NO_WORKERS_ADDED, "")


# ---- what is served -------------------------------------------------------------------------------


def node(number: int) -> Object:
    """A Node of about 8 kB, as kubelets and device plugins write it."""
    name = f"gpu-node-{number:05}.example.internal"
    labels = {f"nvidia.com/gpu.feature-{each}": f"value-{each}" for each in range(40)}
    labels |= {"kubernetes.io/hostname": name, RACK: f"rack-{number % RACKS:03}", "kubernetes.io/os": "linux"}
    room = {"cpu": "128", "memory": "1056Gi", "pods": "110", GPU: str(GPUS[number % 2])}
    conditions = [{"type": kind, "status": "False", "reason": "Ok", "message": "x" * 60} for kind in "ABCD"]
    images = [{"names": [f"registry.example/{'y' * 80}/{each}"], "sizeBytes": 1} for each in range(25)]
    return {
        "metadata": {"name": name, "uid": f"node-{number}", "resourceVersion": "1", "labels": labels},
        "spec": {"podCIDR": "10.0.0.0/24"},
        "status": {
            "allocatable": room,
            "capacity": room,
            "conditions": [*conditions, {"type": "Ready", "status": "True"}],
            "images": images,
        },
    }


def pod(number: int, where: str, gpus: int, life: int = 1) -> Object:
    """A bound Pod of about 6 kB, with what controllers, plugins and managedFields add."""
    env = [{"name": f"VARIABLE_{each}", "value": "z" * 40} for each in range(30)]
    asked = {GPU: str(gpus), "cpu": "8", "memory": "64Gi"}
    cluster = f"cluster-{number // 8}"
    labels = {
        "dask.org/cluster-name": cluster,
        "dask.org/component": "worker",
        "dask.org/workergroup-name": f"{cluster}-default",
    }
    return {
        "metadata": {
            "name": f"{cluster}-default-worker-{number:05}-{'a' * 10}",
            "namespace": f"team-{number % 50}",
            "uid": f"{number:08x}-0000-4000-8000-{life:012x}",
            "resourceVersion": "1",
            "labels": labels,
            "managedFields": [{"manager": "kubelet", "fieldsV1": {f"f:field-{each}": {} for each in range(60)}}],
        },
        "spec": {
            "nodeName": where,
            "containers": [{"name": "worker", "env": env, "resources": {"limits": asked, "requests": asked}}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 300}],
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}] * 4},
    }


class World:
    """The JSON of every object, made once, and the events to come."""

    def __init__(self) -> None:
        """Pods stand on nodes drawn by chance."""
        chance = random.Random(1)  # noqa: S311 - a load, no secret
        self.nodes = [orjson.dumps(node(number)) for number in range(NODES)]
        self.pods: list[bytes] = []
        self.places: list[tuple[str, int]] = []
        names = [node(number)["metadata"]["name"] for number in range(NODES)]
        order = [number for number in range(NODES) for _ in range(GPUS[number % 2])]
        chance.shuffle(order)
        room = [GPUS[number % 2] for number in range(NODES)]
        for number in range(PODS):
            gpus = chance.choice(SIZES)
            while room[order[-1]] < gpus:
                order.pop()
            where = order.pop()
            room[where] -= gpus
            self.places.append((names[where], gpus))
            self.pods.append(orjson.dumps(pod(number, names[where], gpus)))

    def events(self) -> Iterator[bytes]:
        """Pods that go, and come back on the same node: each an event."""
        chance = random.Random(2)  # noqa: S311 - as above
        life = [1] * PODS
        version = 1
        while True:
            number = chance.randrange(PODS)
            for change in ("DELETED", "ADDED"):
                version += 1
                life[number] += change == "ADDED"
                item = pod(number, *self.places[number], life[number])
                item["metadata"]["resourceVersion"] = str(version)
                yield orjson.dumps({"type": change, "object": item}) + b"\n"


def serve(port: int) -> None:
    """The API server's part, until the process is ended."""
    world = World()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlparse(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            items = {"nodes": world.nodes, "pods": world.pods}.get(url.path.rpartition("/")[2], [])
            if "watch" in query:
                self.watch(url.path.endswith("pods"))
            else:
                self.page(items, int(query["limit"]), int(query.get("continue", "0")))

        def page(self, items: Sequence[bytes], limit: int, start: int) -> None:
            proceed = str(start + limit) if start + limit < len(items) else ""
            about = json.dumps({"resourceVersion": "1", "continue": proceed}).encode()
            body = b'{"metadata":' + about + b',"items":[' + b",".join(items[start : start + limit]) + b"]}"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def watch(self, pods: bool) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            began, sent = time.monotonic(), 0
            events = world.events()
            while pods:
                due = int((time.monotonic() - began) * PACE)
                for _ in range(due - sent):
                    line = next(events)
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                sent = max(due, sent)
                time.sleep(0.01)
            time.sleep(3600)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


# ---- what is measured -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What it cost.

    Attributes:
        first_hint_seconds: From start to the first answer with hosts.
        listing_cpu_seconds: Of this process, until then.
        idle_mib: Resident before anything was listed, libraries loaded.
        resident_mib: The most resident at any time.
        first_plan_ms: The first question of a kind of worker: a look at all nodes.
        plan_p50_ms: Of the questions after it, while events come in.
        plan_p99_ms: Of the same.
        plan_cpu_p99_ms: Of the same, time on the processor only.
        answered: Share of questions answered with hosts.
        events_per_second: Taken in over `SECONDS`.
        cpu_share: Of one core, while events and questions came.
    """

    first_hint_seconds: float
    listing_cpu_seconds: float
    idle_mib: int
    resident_mib: int
    first_plan_ms: float
    plan_p50_ms: float
    plan_p99_ms: float
    plan_cpu_p99_ms: float
    answered: float
    events_per_second: float
    cpu_share: float


def demand(number: int, workers: int) -> Demand:
    """A new cluster; nothing is promised to it for good, since it is asked about once."""
    return Demand(
        group=Group(f"team-{number % 50}", f"new-{number}", f"new-{number}-default"),
        workers=workers,
        gpus=1,
        resource=GPU,
        constraints=constraints({"nodeSelector": {"kubernetes.io/os": "linux"}}),
        rack_label=RACK,
        stored=number % 10 == 0,
    )


def measure(port: int) -> Figures:
    """Run the source in this process."""
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{port}"
    configuration.retries = False
    idle, cpu, began = resident(), time.process_time(), time.monotonic()
    watched = WatchedCapacity(ApiClient(configuration))
    watched.start()
    while not watched.ready:
        time.sleep(0.005)
    started = time.perf_counter()
    watched.hints(Questions(demand(0, 4), NOTHING))
    first_plan = time.perf_counter() - started
    first, listing = time.monotonic() - began, time.process_time() - cpu
    before = seen(watched)
    chance = random.Random(3)  # noqa: S311 - a load, no secret
    cpu, began, walls, cpus, answered = time.process_time(), time.monotonic(), [], [], 0
    number = 0
    while time.monotonic() - began < SECONDS:
        number += 1
        asked = demand(number, chance.choice((2, 3, 4, 6, 8, 8, 12, 16, 32)))
        wall, own = time.perf_counter(), time.thread_time()
        answered += isinstance(watched.hints(Questions(asked, NOTHING)).worker, PreferredNodes)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.thread_time() - own)
        time.sleep(0.005)
    spent = time.monotonic() - began
    return Figures(
        first_hint_seconds=round(first, 2),
        listing_cpu_seconds=round(listing, 2),
        idle_mib=idle,
        resident_mib=resident(),
        first_plan_ms=round(first_plan * 1e3, 2),
        plan_p50_ms=percentile(walls, 50),
        plan_p99_ms=percentile(walls, 99),
        plan_cpu_p99_ms=percentile(cpus, 99),
        answered=round(answered / number, 3),
        events_per_second=round((seen(watched) - before) / spent, 1),
        cpu_share=round((time.process_time() - cpu) / spent, 3),
    )


def seen(watched: WatchedCapacity) -> int:
    """Events taken in so far: each has the next version."""
    return int(watched._followers[1]._version)  # noqa: SLF001 - no user wants to know


def percentile(values: Sequence[float], share: int) -> float:
    """In milliseconds."""
    return round(sorted(values)[min(len(values) - 1, len(values) * share // 100)] * 1e3, 3)


def resident() -> int:
    """The most memory this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the server and the source in processes of their own, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.capacity", description=__doc__)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results"), help="folder of the record")
    given = parser.parse_args(arguments)
    if given.serve:
        threading.stack_size(256 * 1024)
        serve(0)
    elif given.measure:
        print(json.dumps(asdict(measure(given.measure))), flush=True)
    else:
        where, found = machine(), run()
        must = musts(found)
        print(json.dumps(asdict(found), indent=2), *must, sep="\n")
        about = {"machine": where, "python": platform.python_version(), "nodes": NODES, "pods": PODS}
        lines = [{**asdict(each), "met": each.met} for each in must]
        given.out.mkdir(parents=True, exist_ok=True)
        record = json.dumps({**about, "figures": asdict(found), "must": lines}, indent=1)
        (given.out / "capacity.json").write_text(f"{record}\n")
        sys.exit(not all(each.met for each in must))


def musts(found: Figures) -> list[Must]:
    """What must hold. A plan is timed by its own time on the processor: what others take of it is no plan's."""
    return [
        Must(what="from start to the first hint, s", found=found.first_hint_seconds, relation="<", bound=10),
        Must(what="MiB resident, at most", found=found.resident_mib, relation="<", bound=250),
        Must(what="a plan, p99, ms", found=found.plan_cpu_p99_ms, relation="<", bound=1),
        # 500 are sent; one in a hundred may be on its way when the clock is read.
        Must(what="pod events taken in, of 500 a second", found=found.events_per_second, relation=">=", bound=495),
    ]


def run() -> Figures:
    """The figures of one run."""
    argv = [sys.executable, "-m", "tests.bench.capacity"]
    with subprocess.Popen([*argv, "--serve"], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            port = server.stdout.readline().strip()
            done = subprocess.run([*argv, "--measure", port], capture_output=True, text=True, check=True, timeout=300)
            return Figures(**json.loads(done.stdout))
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
