"""Attacks by anyone who reaches the port: bounded memory, other clients are served, each rejection is counted."""

from __future__ import annotations

import http.client
import json
import ssl
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

import pytest

from tests.e2e.bed.process import free_ports
from tests.faults.attacks import NAMESPACE
from tests.unit.http.test_graceful_shutdown import until_ready
from tests.unit.kube.test_namespaces_watched import KEY, Script, handler, namespace, page
from tests.unit.objects import cluster, review

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS = 10.0
MAX_SHED = 0.05  # of the requests
MAX_RESIDENT = 256  # MiB; the chart's limit is twice as much
MAX_MEDIAN = 0.05  # seconds; the attacker takes part of this machine's CPUs, so the slowest percent is only printed
LIGHT = json.dumps(review(cluster())).encode()


class Replica:
    """Process of `serve`."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        """Take a running process."""
        self.port, self._process = port, process
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE

    @property
    def peak(self) -> float:
        """Return the highest resident memory since the start in MiB."""
        with open(f"/proc/{self._process.pid}/status") as status:  # noqa: PTH123 - not a file of the disk
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

    def connect(self) -> http.client.HTTPSConnection:
        """Return a connection that is opened by its first request."""
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=self.context)

    def rejected(self) -> dict[str, float]:
        """Return the number of rejections by reason."""
        connection = self.connect()
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        prefix = "dask_colocate_requests_rejected_total{reason="
        return {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(prefix)}


@pytest.fixture
def replica(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Replica]:
    """Run `serve` with one cached namespace; live reads of namespaces take a second. The parameter limits its files."""
    script = Script()
    script.lists, script.reads = [page(namespace(NAMESPACE, 1, **{KEY: "true"}))], 1.0
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(script))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (port,) = free_ports(1)
    limit = getattr(request, "param", "ulimit -n $(ulimit -Hn)")
    command = f"{limit}; exec {sys.executable} -m webhook serve {flags(tmp_path, server.server_port, port)}"
    with subprocess.Popen(["bash", "-c", command]) as process:
        try:
            until_ready(port)
            yield Replica(port, process)
        finally:
            process.kill()
            script.over.set()
            server.shutdown()
            server.server_close()


def flags(folder: Path, api_port: int, port: int) -> str:
    """Return the options of `serve`, with a certificate and a kubeconfig in `folder`."""
    names = "-subj /CN=x -addext subjectAltName=IP:127.0.0.1"
    pair = f"-keyout {folder}/key -out {folder}/crt"
    argv = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 {names} {pair}".split()
    subprocess.run(argv, check=True, capture_output=True)
    entry = {
        "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{api_port}"}}],
        "users": [{"name": "x", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    (folder / "kubeconfig").write_text(json.dumps({"current-context": "x", **entry}))
    files = f"--tls-cert {folder}/crt --tls-key {folder}/key --kubeconfig {folder}/kubeconfig"
    return f"--host 127.0.0.1 --port {port} --certs files --log-level ERROR {files}"


class Others:
    """Reviews of another client while the block runs: 100 a second, each tenth on a new connection."""

    def __init__(self, replica: Replica) -> None:
        """Prepare the client."""
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self.shed = 0  # 429: an API server sends the request again
        self._replica, self._over = replica, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        """Start to send."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop after the current review."""
        self._over.set()
        self._thread.join()

    def percentile(self, percent: int) -> float:
        """Return a percentile of the response times in seconds."""
        return statistics.quantiles(self.seconds, n=100)[percent - 1]

    def _run(self) -> None:
        kept = self._replica.connect()
        while not self._over.wait(0.01):
            connection = self._replica.connect() if len(self.seconds) % 10 == 9 else kept
            began = time.monotonic()
            try:
                connection.request("POST", "/mutate", LIGHT)
                answer = connection.getresponse()
                mutated = b'"patch"' in answer.read()
                if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
                    self.shed += 1
                elif not mutated:
                    self.failures.append(f"status {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            self.seconds.append(time.monotonic() - began)
            if connection is not kept:
                connection.close()
        kept.close()


@contextmanager
def attack(name: str, replica: Replica) -> Iterator[subprocess.Popen[bytes]]:
    """Run an attack in a process of its own."""
    argv = [sys.executable, "-m", "tests.faults.attacks", name, str(replica.port), str(SECONDS)]
    with subprocess.Popen(argv) as process:
        try:
            yield process
        finally:
            process.kill()


FEW_FILES = "ulimit -Sn 1024; ulimit -Hn 1024"


@pytest.mark.parametrize(
    ("name", "reason", "replica"),
    [
        ("pipelined", "too-many-pipelined", ":"),
        ("unknown_namespaces", "overloaded", ":"),
        ("nested_lists", "too-many-values", ":"),
        ("slow_uploads", "overloaded", ":"),
        ("silent", "too-many-connections", ":"),
        ("handshakes", "too-many-connections", ":"),
        ("idle", "too-many-connections", FEW_FILES),
    ],
    indirect=["replica"],
)
def test_attack_stays_within_the_limits(replica: Replica, note: Callable[[str], None], name: str, reason: str) -> None:
    """During an attack memory stays below 256 MiB, others' median below 50 ms, and rejections are counted."""
    with Others(replica) as quiet:
        time.sleep(2)
    with Others(replica) as others, attack(name, replica) as process:
        process.wait(SECONDS + 20)
    rejected = replica.rejected()
    p50, p99 = (others.percentile(percent) * 1000 for percent in (50, 99))
    note(
        f"peak {replica.peak:.0f} MiB; others {len(others.seconds)}, failed {len(others.failures)}, "
        f"shed {others.shed}, p50 {p50:.1f} ms, "
        f"p99 {p99:.1f} ms (quiet {quiet.percentile(50) * 1000:.1f}, {quiet.percentile(99) * 1000:.1f}); {rejected}"
    )
    assert others.failures == []
    assert others.shed < MAX_SHED * len(others.seconds)
    assert replica.peak < MAX_RESIDENT
    assert p50 < MAX_MEDIAN * 1000
    assert rejected.get(reason, 0) > 0
