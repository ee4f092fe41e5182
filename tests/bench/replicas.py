"""Several replicas of the webhook behind one address, as a Service has them."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle
from typing import TYPE_CHECKING

from tests.e2e.webhook_process import CONFIGURATION, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.e2e.bed.bed import Bed

# Seconds. The API server keeps a connection for 90 s, and would ask one replica only; one that is idle for longer than
# between two requests of one burst is closed, so that the next request goes to the next replica.
IDLE = 0.02


@contextmanager
def replicas(bed: Bed, count: int, *flags: str) -> Iterator[None]:
    """`count` processes that share nothing, called in turns by the configuration that is deployed."""
    with ExitStack() as stack:
        served = [stack.enter_context(serving(bed, *flags, name=f"webhook-{number}")) for number in range(count)]
        ports = [int(each.url.rpartition(":")[2]) for each in served]
        port = ports[0] if count == 1 else stack.enter_context(balanced(ports))
        stack.enter_context(bed.webhook_configuration(CONFIGURATION, f"https://127.0.0.1:{port}/mutate", bed.plane.ca))
        yield


@contextmanager
def balanced(ports: Sequence[int]) -> Iterator[int]:
    """A port whose connections go to one of `ports` after the other, and end when idle."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    targets = cycle(ports)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", next(targets)))
                threading.Thread(target=_pass_on, args=(near, far), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _pass_on(near: socket.socket, far: socket.socket) -> None:
    """Both ways until either end is closed, or nothing came for `IDLE` seconds after an answer."""
    other, answered = {near: far, far: near}, False
    with near, far, suppress(OSError):
        while True:
            ready = select.select([near, far], [], [], IDLE)[0]
            if not ready and answered:
                return
            for source in ready:
                data = source.recv(65536)
                if not data:
                    return
                other[source].sendall(data)
                answered = source is far
