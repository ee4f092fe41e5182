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

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def api_server(folder: Path, status: int = 200, delay: float = 0) -> Iterator[list[str]]:
    """The command for a cluster without any object, whose answers take `delay` seconds for webhook configurations."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """An empty list."""
            time.sleep(delay if "mutatingwebhookconfigurations" in self.path else 0)
            body = json.dumps({"kind": "List", "metadata": {}, "items": []}).encode()
            self.send_response(status)
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
