"""A TCP proxy on loopback that can be cut, held up and healed: a network, and a Service's spreading of connections."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Proxy:
    """Passes connections on to the first of `ports` that takes them, beginning with another one each time.

    Attributes:
        ports: Of 127.0.0.1.
        state: `open`; `refused`: connections end at once; `stuck`: what is sent goes nowhere, and nothing ends.
    """

    ports: list[int]
    state: str = "open"
    taken: int = 0
    _pairs: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=512))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Take connections from now on."""
        threading.Thread(target=self._take, daemon=True).start()

    def cut(self) -> None:
        """End all connections, wherever their bytes are."""
        for pair in self._pairs:
            for each in pair:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def stop(self) -> None:
        """End everything."""
        self._listener.close()
        self.cut()

    def _take(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:  # stopped
                return
            self.taken += 1
            far = None if self.state == "refused" else self._connected()
            if far is None:
                near.close()
                continue
            self._pairs.append((near, far))
            threading.Thread(target=self._join, args=(near, far), daemon=True).start()

    def _connected(self) -> socket.socket | None:
        for turn in range(len(self.ports)):
            with suppress(OSError):
                return socket.create_connection(("127.0.0.1", self.ports[(self.taken + turn) % len(self.ports)]), 5)
        return None

    def _join(self, near: socket.socket, far: socket.socket) -> None:
        back = threading.Thread(target=self._pass, args=(far, near), daemon=True)
        back.start()
        self._pass(near, far)
        back.join()
        near.close()
        far.close()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            one.settimeout(None)
            while data := one.recv(65536):
                if self.state != "stuck":
                    other.sendall(data)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
