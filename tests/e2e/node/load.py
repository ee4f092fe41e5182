"""Load of admissions at a fixed rate, by server-side dry runs of a worker pod, and the outcome of each.

The client is `http.client` with one connection for each thread. It shares the CPU with the cluster and must use little.
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
# At 200 requests per second and 30 ms each, 6 are in flight. 16 threads keep the rate at up to 80 ms each.
THREADS = 16


@dataclass(frozen=True, kw_only=True)
class Server:
    """Address and credentials of an API server."""

    host: str
    context: ssl.SSLContext
    headers: dict[str, str]

    def connect(self) -> http.client.HTTPSConnection:
        """Return a connection that opens on its first request and reopens after it was closed."""
        return http.client.HTTPSConnection(self.host, context=self.context, timeout=30)


def server(kubeconfig: Path) -> Server:
    """Return the API server and the credentials of a kubeconfig."""
    configuration: Any = new_client_from_config(str(kubeconfig)).configuration
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    settings = configuration.auth_settings().values()
    headers = {setting["key"]: setting["value"] for setting in settings if setting["in"] == "header"}
    return Server(
        host=urlsplit(configuration.host).netloc,
        context=context,
        headers=headers | {"Content-Type": "application/json"},
    )


@dataclass(kw_only=True)
class Load:
    """Load of `rate` admissions per second in a namespace while the block runs.

    Attributes:
        outcomes: Number of admissions by outcome: `mutated`, `missed` (not mutated), or the HTTP status or error.
        seconds: Duration of the load; set at the end of the block.
        waits: Client-side latency of each admission in seconds.
    """

    server: Server
    namespace: str
    rate: float = 200
    outcomes: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    seconds: float = 0
    _adding: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        """Start the threads."""
        self._tickets, self._began, self._over = itertools.count(), time.monotonic(), threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(THREADS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop the threads and wait for all responses."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._began

    @property
    def achieved(self) -> float:
        """Admissions per second."""
        return sum(self.outcomes.values()) / self.seconds

    def __str__(self) -> str:
        """Return rate, latency and outcomes in one line."""
        waits = sorted(self.waits)
        tail = f"p50 {waits[len(waits) // 2] * 1000:.0f} ms, p99 {waits[len(waits) * 99 // 100] * 1000:.0f} ms"
        return f"{self.achieved:.0f}/s for {self.seconds:.0f} s, {tail}: {dict(self.outcomes)}"

    def _run(self) -> None:
        connection, outcomes = self.server.connect(), Counter[str]()
        for ticket in self._tickets:
            due = self._began + ticket / self.rate
            if self._over.wait(max(0.0, due - time.monotonic())):
                break
            sent = time.monotonic()
            outcomes[self._create(connection)] += 1
            self.waits.append(time.monotonic() - sent)
        connection.close()
        with self._adding:
            self.outcomes += outcomes

    def _create(self, connection: http.client.HTTPSConnection) -> str:
        try:
            path = f"/api/v1/namespaces/{self.namespace}/pods?dryRun=All"
            connection.request("POST", path, BODY, self.server.headers)
            with connection.getresponse() as response:
                body = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return type(error).__name__
        if response.status != http.HTTPStatus.CREATED:
            return str(response.status)
        return "mutated" if b'"affinity"' in body else "missed"
