"""`status` against an API server that is slow, or does not know who asks. What it reads of a real one is in `e2e`."""

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

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


EMPTY = json.dumps({"kind": "List", "metadata": {}, "items": []})


@contextmanager
def api_server(
    folder: Path, status: int = 200, delay: float = 0, answers: Mapping[str, str] | None = None
) -> Iterator[list[str]]:
    """The command for a cluster without any object but `answers`, by what their path ends with.

    An answer takes `delay` seconds for webhook configurations; one that is empty takes 10 s, and a word is forbidden.
    """

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """An empty list, unless there is more."""
            path = unquote(self.path.partition("?")[0])
            time.sleep(delay if "mutatingwebhookconfigurations" in path else 0)
            text = next((text for end, text in (answers or {}).items() if path.endswith(end)), EMPTY)
            time.sleep(0 if text else 10)
            body = text.encode()
            self.send_response(403 if text.isalpha() else status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
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
    written = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [{"name": "x", "context": entry}],
        "users": [{"name": "x", "user": {}}],
        "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(written))
    return path


@pytest.mark.parametrize("text", ["[]", '"x"', "a: [b", "", "contexts: 7", "\x00"])
@pytest.mark.parametrize("command", ["status", "enable x --dry-run", "review --namespace x"])
def test_broken_kubeconfig(tmp_path: Path, command: str, text: str) -> None:
    """A kubeconfig that is none is told in one sentence, with what to do, and ends with status 2."""
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    argv = [sys.executable, "-m", "webhook", *command.split(), "--kubeconfig", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stderr.startswith("dask-colocate: cannot load a kubeconfig: ")
    assert "give --kubeconfig FILE" in done.stderr
    assert str(path) in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_empty_cluster(tmp_path: Path) -> None:
    """Nothing is installed, nothing is served, nothing is there: said in plain text, with the commands to begin by."""
    with api_server(tmp_path) as argv:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    for part in ("no webhook configuration: nothing is mutated", "helm install", "kubectl annotate namespace"):
        assert part in done.stdout


def test_progress_once_it_takes_long(tmp_path: Path) -> None:
    """A terminal on stderr is told after a second what is being read; stdout stays what it is."""
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
    """What a terminal was shown."""
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # what Linux says once nobody holds the other end
            os.close(terminal)
            return shown


def test_nobody_we_know(tmp_path: Path) -> None:
    """A token that is refused ends it: status 2, one line, what to do next."""
    with api_server(tmp_path, status=401) as argv:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("dask-colocate: the API server does not know us")
    assert "see: kubectl" in done.stderr


def test_server_in_trouble(tmp_path: Path) -> None:
    """What a broken API server answers is noted for each resource; nothing is concluded from what is missing."""
    with api_server(tmp_path, status=500) as argv:
        done = subprocess.run([*argv, "--output", "json"], capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert done.returncode == 2
    assert found["findings"] == []
    assert {one["resource"] for one in found["unread"]} >= {"mutatingwebhookconfigurations", "nodes", "pods"}


METRICS = "/namespaces/dask-colocate/pods/https:pod-0:8443/proxy/metrics"


def watching(replica: str) -> dict[str, str]:
    """An installation of one replica that is to watch capacity, a namespace that asks, and what the replica says."""
    made = {key: value[0] for key, value in installed(ready=1, arguments=("--capacity-hints",)).objects().items()}
    listed = {
        "/mutatingwebhookconfigurations": made["configurations"],
        "/namespaces/dask-colocate/deployments": made["deployments"],
        "/namespaces/dask-colocate/endpointslices": made["slices"],
        "/api/v1/namespaces": namespace(**{"capacity-hint": "true"}),
    }
    answers = {path: json.dumps({"metadata": {}, "items": [item]}) for path, item in listed.items()}
    service = {"/namespaces/dask-colocate/services/dask-colocate": json.dumps(made["services"])}
    return {METRICS: replica, **service, **answers}


def test_replicas_say_why_there_are_no_hints(tmp_path: Path) -> None:
    """Their metrics are read through the API server, from each pod behind the Service."""
    metrics = 'dask_colocate_capacity_problem{reason="capacity-stale"} 1.0\n'
    with api_server(tmp_path, answers=watching(metrics)) as argv:
        done = subprocess.run([*argv, "--output", "json"], capture_output=True, text=True, check=False)
    texts = [one["text"] for one in json.loads(done.stdout)["findings"]]
    assert any(
        each.startswith("1 of 1 replicas give no capacity hints: the API server was not heard") for each in texts
    )


@pytest.mark.parametrize(
    ("replica", "why"),
    [
        ("forbidden", "you may not get them"),
        ("", "no replica answered through the API server within 3 s"),
    ],
)
def test_replicas_that_may_not_be_asked(tmp_path: Path, replica: str, why: str) -> None:
    """Without the right to ask them, or without an answer, that is noted with a command, and all else is said."""
    with api_server(tmp_path, answers=watching(replica)) as argv:
        done = subprocess.run([*argv, "--output", "json"], capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    (one,) = (each for each in found["unread"] if each["resource"] == "pods/proxy")
    assert one["why"] == why
    assert one["next"].startswith("kubectl ")
    assert found["installation"]["ready"] == 1
