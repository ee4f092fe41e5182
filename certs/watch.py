"""Follows one object of the Kubernetes API, only to say that something happened."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import urllib3

from certs.kube import ApiError

_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a broken watch is opened again, doubling: the loop also looks by itself now and then."""


@dataclass(kw_only=True)
class Watch:
    """One watch in a thread of its own, reopened for ever."""

    changes: Callable[[], AbstractContextManager[urllib3.BaseHTTPResponse]]
    """Opens a stream that yields bytes at every change, such as ``Api.changes`` of a resource."""
    changed: Callable[[], None]
    failed: Callable[[str], None]
    _stopped: threading.Event = field(default_factory=threading.Event)
    _pause: float = _PAUSE
    _stream: urllib3.BaseHTTPResponse | None = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._run, name="certs watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End within moments, also while the stream is silent."""
        self._stopped.set()
        if self._stream is not None and isinstance(self._stream, urllib3.HTTPResponse):
            self._stream.shutdown()
        if self._thread is not None:
            self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._follow()
            except (ApiError, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                if not self._stopped.is_set():
                    self.failed(str(error) or type(error).__name__)
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            self._stopped.wait(self._pause)

    def _follow(self) -> None:
        with self.changes() as stream:
            self._stream, self._pause = stream, _PAUSE
            self.changed()  # it may have changed while nobody watched
            try:
                for _ in stream.stream():
                    self.changed()
            finally:
                self._stream = None
