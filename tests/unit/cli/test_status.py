"""Command `status` against an API server that is slow, forbids requests or fails."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from tests.unit.status.factories import installed, namespace
from webhook.mutators.decision import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


EMPTY = json.dumps({"kind": "List", "metadata": {}, "items": []})


@contextmanager
def api_server(
    folder: Path, status: int = 200, delay: float = 0, responses: Mapping[str, str] | None = None
) -> Iterator[list[str]]:
    """Start an API server and yield the command `status` for it.

    Args:
        folder: Directory of the kubeconfig.
        status: HTTP status of all responses.
        delay: Seconds before the response for webhook configurations.
        responses: Suffix of a path to its response; all others are an empty list. An empty response takes 10 s, and a
            word has the status 403.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Send the response."""
            path = unquote(self.path.partition("?")[0])
            time.sleep(delay if "mutatingwebhookconfigurations" in path else 0)
            text = next((text for end, text in (responses or {}).items() if path.endswith(end)), EMPTY)
            time.sleep(0 if text else 10)
            body = text.encode()
            self.send_response(403 if text.isalpha() else status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Discard the log line."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield [sys.executable, "-m", "webhook", "status", "--kubeconfig", str(_kubeconfig(folder, server.server_port))]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _kubeconfig(folder: Path, port: int) -> Path:
    entry = {"cluster": "x", "user": "x"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [{"name": "x", "context": entry}],
        "users": [{"name": "x", "user": {}}],
        "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("text", ["[]", '"x"', "a: [b", "", "contexts: 7", "\x00"])
@pytest.mark.parametrize("command", ["status", "enable x --dry-run", "review --namespace x"])
def test_broken_kubeconfig(tmp_path: Path, command: str, text: str) -> None:
    """A malformed kubeconfig is an error in one line with its path, and status 2."""
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    argv = [sys.executable, "-m", "webhook", *command.split(), "--kubeconfig", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stderr.startswith("dask-colocate: cannot load a kubeconfig: ")
    assert "use --kubeconfig FILE" in done.stderr
    assert str(path) in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_empty_cluster(tmp_path: Path) -> None:
    """An empty cluster gives plain text with the commands to install the chart and enable a namespace."""
    with api_server(tmp_path) as argv:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    for part in ("no webhook configuration: nothing is mutated", "helm install", "dask-colocate enable"):
        assert part in done.stdout


def test_progress(tmp_path: Path) -> None:
    """After a second a terminal on stderr shows what is being read; stdout has only the report."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    with api_server(tmp_path, delay=2.5) as argv:
        done = subprocess.run(
            [*argv, "--output", "json"], stdout=subprocess.PIPE, stderr=theirs, env=environment, check=False
        )
    os.close(theirs)
    assert b"reading" in _all(ours)
    assert json.loads(done.stdout)["exit_status"] == 1


def _all(terminal: int) -> bytes:
    """Return the output of a terminal."""
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # Linux raises it when the other end is closed
            os.close(terminal)
            return shown


def test_failed_authentication(tmp_path: Path) -> None:
    """A rejected token gives status 2 and one line with a command."""
    with api_server(tmp_path, status=401) as argv:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("dask-colocate: authentication failed (401)")
    assert "kubectl auth whoami" in done.stderr


def test_server_errors(tmp_path: Path) -> None:
    """Server errors make each resource unreadable, and give no finding."""
    with api_server(tmp_path, status=500) as argv:
        done = subprocess.run([*argv, "--output", "json"], capture_output=True, text=True, check=False)
    document = json.loads(done.stdout)
    assert done.returncode == 2
    assert document["findings"] == []
    assert {item["resource"] for item in document["unreadable"]} >= {"mutatingwebhookconfigurations", "nodes", "pods"}


METRICS = "/namespaces/dask-colocate/pods/https:pod-0:8443/proxy/metrics"


def watching(replica: str) -> dict[str, str]:
    """Return the responses for a replica that watches capacity and a namespace that requests hints."""
    objects = {key: value[0] for key, value in installed(ready=1, arguments=("--capacity-hints",)).objects().items()}
    listed = {
        "/mutatingwebhookconfigurations": objects["configurations"],
        "/namespaces/dask-colocate/deployments": objects["deployments"],
        "/namespaces/dask-colocate/endpointslices": objects["slices"],
        "/api/v1/namespaces": namespace(**{"capacity-hint": "true"}),
    }
    lists = {path: json.dumps({"metadata": {}, "items": [item]}) for path, item in listed.items()}
    service = {"/namespaces/dask-colocate/services/dask-colocate": json.dumps(objects["services"])}
    return {METRICS: replica, **service, **lists}


def test_metrics_of_replicas(tmp_path: Path) -> None:
    """The metrics of each endpoint are read through the API server."""
    metrics = 'dask_colocate_capacity_problem{reason="capacity-stale"} 1.0\n'
    with api_server(tmp_path, responses=watching(metrics)) as argv:
        done = subprocess.run([*argv, "--output", "json"], capture_output=True, text=True, check=False)
    messages = [item["message"] for item in json.loads(done.stdout)["findings"]]
    expected = f"1 of 1 replicas give no capacity hints: {Reason.CAPACITY_STALE.meaning}"
    assert expected in messages


@pytest.mark.parametrize(
    ("replica", "reason"),
    [
        ("forbidden", "no permission to get"),
        ("", "no replica answered through the API server within 3 s"),
    ],
)
def test_unreadable_metrics(tmp_path: Path, replica: str, reason: str) -> None:
    """Without permission or without a response, the metrics are listed as unreadable with a command."""
    with api_server(tmp_path, responses=watching(replica)) as argv:
        done = subprocess.run([*argv, "--output", "json"], capture_output=True, text=True, check=False)
    document = json.loads(done.stdout)
    (unreadable,) = (item for item in document["unreadable"] if item["resource"] == "pods/proxy")
    assert unreadable["reason"] == reason
    assert unreadable["command"].startswith("kubectl ")
    assert document["installation"]["ready"] == 1


INTERRUPTS = """
import random, signal
from webhook.cli.status import _interrupt

generator = random.Random(1)
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
for _ in range(3000):
    with _interrupt() as interrupted:
        signal.setitimer(signal.ITIMER_REAL, 1e-5 + generator.random() * 1e-4)
        while not interrupted(2e-5):
            pass
"""


def test_interrupts_do_not_deadlock() -> None:
    """3,000 interrupts at random moments of the wait of --watch each end it; `threading.Event` deadlocks here."""
    subprocess.run([sys.executable, "-c", INTERRUPTS], check=True, timeout=120)
