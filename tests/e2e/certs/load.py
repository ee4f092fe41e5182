"""Admission calls at a constant rate, through the API server as far as it keeps up, the rest directly.

Every call is due at an instant of a fixed timetable. The threads that go through the API server take the
next one; when they fall behind, a thread of its own takes it and calls the webhook over TLS, verified
against the caBundle in force at that moment.
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
"""Seconds behind the timetable from which a call goes directly."""
_REVIEW = json.dumps({"request": {"uid": "direct"}})


@dataclass(kw_only=True)
class Load:
    """`rate` calls a second from `start` to `finish`, at least for `seconds`."""

    installation: Installation
    rate: int = 200
    seconds: int = 20
    through: int = 0
    direct: int = 0
    failures: list[str] = field(default_factory=list)
    _taken: int = 0
    _began: float = 0.0
    _bundle: tuple[float, bytes] = (0.0, b"")
    _ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin to call."""
        self._began = time.monotonic()
        self._threads += [threading.Thread(target=self._through) for _ in range(_THREADS)]
        self._threads += [threading.Thread(target=self._directly) for _ in range(_DIRECT_THREADS)]
        for thread in self._threads:
            thread.start()

    def finish(self) -> float:
        """End; the seconds that all calls took."""
        time.sleep(max(0.0, self._began + self.seconds - time.monotonic()))
        self._ended.set()
        for thread in self._threads:
            thread.join()
        return time.monotonic() - self._began

    def _take(self, late: float = 0.0) -> bool | None:
        """Take the next call once it is due, or `late` seconds later; `None` at the end."""
        if self._ended.is_set():
            return None
        with self._lock:
            if time.monotonic() < self._began + self._taken / self.rate + late:
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
            if bundle != (bundle := self._in_force()):  # as the API server does: another bundle, another client
                connection.close()
                context = ssl.create_default_context(cadata=bundle.decode())
                connection = HTTPSConnection(ADDRESS, self.installation.port, timeout=10, context=context)
            self._note(self._call(connection, "/", _REVIEW, {}, 200), direct=True)
        connection.close()

    def _in_force(self) -> bytes:
        """The caBundle, at most a tenth of a second old."""
        read, bundle = self._bundle
        if time.monotonic() - read > 0.1:
            bundle = self.installation.bundle()
            self._bundle = time.monotonic(), bundle
        return bundle

    def _call(self, connection: HTTPSConnection, path: str, body: str, headers: dict[str, str], expected: int) -> str:
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, HTTPException) as error:
            connection.close()
            return repr(error)
        return "" if answer.status == expected else f"{answer.status} {text[:300]}"

    def _note(self, failure: str, *, direct: bool = False) -> None:
        with self._lock:
            self.direct += direct
            self.through += not direct
            if failure:
                self.failures.append(f"{time.monotonic() - self._began:.1f} s: {failure}")
