"""Admission calls at a constant rate: through the API server, and directly when it is too slow.

Each call has a scheduled time. Threads that call through the API server take the next call. When they are late, another
thread takes it and calls the webhook over TLS, verified with the caBundle that is published at that time.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.e2e.certs.install import ADDRESS

if TYPE_CHECKING:
    from tests.e2e.certs.install import Installation

_THREADS, _DIRECT_THREADS = 12, 2
_LATE = 0.5
"""Seconds after its scheduled time at which a call is made directly."""
_REVIEW = json.dumps({"request": {"uid": "direct"}})


@dataclass(kw_only=True)
class Load:
    """Load of `rate` calls per second from `start` to `finish`, for at least `seconds`."""

    installation: Installation
    rate: int = 200
    seconds: int = 20
    through: int = 0
    direct: int = 0
    failures: list[str] = field(default_factory=list)
    _taken: int = 0
    _started: float = 0.0
    _bundle: tuple[float, bytes] = (0.0, b"")
    _ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Start to call."""
        self._started = time.monotonic()
        self._threads += [threading.Thread(target=self._through) for _ in range(_THREADS)]
        self._threads += [threading.Thread(target=self._directly) for _ in range(_DIRECT_THREADS)]
        for thread in self._threads:
            thread.start()

    def finish(self) -> float:
        """Stop. Return the seconds that all calls took."""
        time.sleep(max(0.0, self._started + self.seconds - time.monotonic()))
        self._ended.set()
        for thread in self._threads:
            thread.join()
        return time.monotonic() - self._started

    def _take(self, late: float = 0.0) -> bool | None:
        """Return whether the next call is at least `late` seconds due, and take it; None at the end."""
        if self._ended.is_set():
            return None
        with self._lock:
            if time.monotonic() < self._started + self._taken / self.rate + late:
                return False
            self._taken += 1
            return True

    def _through(self) -> None:
        plane = self.installation.bed.plane
        path = f"/api/v1/namespaces/{self.installation.namespace}/configmaps?dryRun=All"
        headers = {"Authorization": f"Bearer {plane.token}", "Content-Type": "application/json"}
        address, context = urlsplit(plane.url), ssl.create_default_context(cafile=str(plane.ca))
        connection = HTTPSConnection(address.hostname or "", address.port, timeout=30, context=context)
        body = json.dumps({"metadata": {"name": "load"}})
        while (taken := self._take()) is not None:
            if taken:
                self._note(self._call(connection, path, body, headers, 201))
            else:
                time.sleep(0.005)
        connection.close()

    def _directly(self) -> None:
        bundle, connection = b"", HTTPSConnection(ADDRESS)
        while (taken := self._take(_LATE)) is not None:
            if not taken:
                time.sleep(0.02)
                continue
            if bundle != (bundle := self._published()):  # as the API server does: a new client for each bundle
                connection.close()
                context = ssl.create_default_context(cadata=bundle.decode())
                connection = HTTPSConnection(ADDRESS, self.installation.port, timeout=10, context=context)
            self._note(self._call(connection, "/", _REVIEW, {}, 200), direct=True)
        connection.close()

    def _published(self) -> bytes:
        """Return the published caBundle, cached for 0.1 s."""
        read, bundle = self._bundle
        if time.monotonic() - read > 0.1:
            bundle = self.installation.bundle()
            self._bundle = time.monotonic(), bundle
        return bundle

    def _call(self, connection: HTTPSConnection, path: str, body: str, headers: dict[str, str], expected: int) -> str:
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, HTTPException) as error:
            connection.close()
            return repr(error)
        return "" if response.status == expected else f"{response.status} {text[:300]}"

    def _note(self, failure: str, *, direct: bool = False) -> None:
        with self._lock:
            self.direct += direct
            self.through += not direct
            if failure:
                self.failures.append(f"{time.monotonic() - self._started:.1f} s: {failure}")
