"""Admissions at a fixed rate, and what became of each: server-side dry runs of a worker's pod.

The client is `http.client`, one connection a thread: what it takes of the processor, the cluster beside it lacks.
"""

from __future__ import annotations

import http
import http.client
import itertools
import json
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kubernetes.config import new_client_from_config

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "generateName": "load-",
        "labels": {"dask.org/component": "worker", "dask.org/cluster-name": "load"},
    },
    "spec": {"containers": [{"name": "worker", "image": "dask", "args": ["dask-worker"]}]},
}
BODY = json.dumps(POD).encode()
# At 200 a second and 30 ms each, 6 are under way; twice that and some more before the schedule slips.
THREADS = 16


@dataclass(frozen=True, kw_only=True)
class Server:
    """The API server that a kubeconfig names, and its credentials."""

    host: str
    context: ssl.SSLContext
    headers: dict[str, str]

    def connect(self) -> http.client.HTTPSConnection:
        """A connection that opens itself on its first request, and again whenever it was closed."""
        return http.client.HTTPSConnection(self.host, context=self.context, timeout=30)


def server(kubeconfig: Path) -> Server:
    """Who is to be asked, and as whom."""
    known: Any = new_client_from_config(str(kubeconfig)).configuration
    context = ssl.create_default_context(cafile=known.ssl_ca_cert)
    if known.cert_file:
        context.load_cert_chain(known.cert_file, known.key_file)
    headers = {each["key"]: each["value"] for each in known.auth_settings().values() if each["in"] == "header"}
    return Server(
        host=urlsplit(known.host).netloc, context=context, headers=headers | {"Content-Type": "application/json"}
    )


@dataclass(kw_only=True)
class Load:
    """`rate` admissions a second into a namespace while the block runs.

    Attributes:
        outcomes: How many were `mutated`, `missed` (admitted as they came) or refused (the HTTP status, or the error).
        seconds: How long it ran; known after the block.
        waits: Seconds that each took, as the client sees it.
    """

    server: Server
    namespace: str
    rate: float = 200
    outcomes: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    seconds: float = 0
    _adding: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        """Begin."""
        self._tickets, self._began, self._over = itertools.count(), time.monotonic(), threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(THREADS)]
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End, with all answers in."""
        self._over.set()
        for each in self._threads:
            each.join()
        self.seconds = time.monotonic() - self._began

    @property
    def achieved(self) -> float:
        """Admissions a second."""
        return sum(self.outcomes.values()) / self.seconds

    def __str__(self) -> str:
        """The outcomes in one line."""
        waits = sorted(self.waits)
        tail = f"p50 {waits[len(waits) // 2] * 1000:.0f} ms, p99 {waits[len(waits) * 99 // 100] * 1000:.0f} ms"
        return f"{self.achieved:.0f}/s for {self.seconds:.0f} s, {tail}: {dict(self.outcomes)}"

    def _run(self) -> None:
        connection, mine = self.server.connect(), Counter[str]()
        for ticket in self._tickets:
            due = self._began + ticket / self.rate
            if self._over.wait(max(0.0, due - time.monotonic())):
                break
            asked = time.monotonic()
            mine[self._ask(connection)] += 1
            self.waits.append(time.monotonic() - asked)
        connection.close()
        with self._adding:
            self.outcomes += mine

    def _ask(self, connection: http.client.HTTPSConnection) -> str:
        try:
            path = f"/api/v1/namespaces/{self.namespace}/pods?dryRun=All"
            connection.request("POST", path, BODY, self.server.headers)
            with connection.getresponse() as answer:
                body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return type(error).__name__
        if answer.status != http.HTTPStatus.CREATED:
            return str(answer.status)
        return "mutated" if b'"affinity"' in body else "missed"
