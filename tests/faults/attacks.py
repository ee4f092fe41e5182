"""Attacks on the port of the webhook: `python -m tests.faults.attacks NAME PORT SECONDS` runs one on loopback."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BODY_SIZE = 7 * 1024 * 1024  # the largest that is read
CLIENTS = 20
SOCKETS = 9_000
IDLE_SOCKETS = 1_010
NAMESPACE = "rapids"
_HEAD = '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"a","operation":"CREATE",'
_OBJECT = (
    '"kind":{"kind":"DaskCluster"},"namespace":"%s","object":{"apiVersion":"kubernetes.dask.org/v1",'
    '"kind":"DaskCluster","metadata":{"name":"a"},"spec":{"worker":{"spec":{"containers":[]}},"x":['
)
_TAIL = b"]}}}}"


def review(namespace: str, element: bytes, size: int = BODY_SIZE) -> bytes:
    """Return an AdmissionReview of a DaskCluster that contains a list of equal elements, of about `size` bytes."""
    head = (_HEAD + _OBJECT % namespace).encode()
    count = (size - len(head) - len(_TAIL)) // (len(element) + 1)
    return head + b",".join([element] * count) + _TAIL


def post(body: bytes) -> bytes:
    """Return a request with a body."""
    return b"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body


async def pipelined(port: int, until: float) -> None:
    """Send requests on one connection at a time and read no response."""
    while time.monotonic() < until:
        with suppress(OSError):
            _, writer = await connect(port)
            while time.monotonic() < until:
                writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 2048)
                await writer.drain()


async def unknown_namespaces(port: int, until: float) -> None:
    """Send reviews of 7 MiB that name namespaces without a cached entry, from three clients."""
    body = review("unknown", b'{"a":"aaaaaaaaaaaaaaaaaaaa"}')
    await _repeat([post(body)] * 3, port, until)


async def nested_lists(port: int, until: float) -> None:
    """Send reviews of 7 MiB of lists in lists in a known namespace, from 20 clients."""
    await _repeat([post(review(NAMESPACE, b"[[[[]]]]"))] * CLIENTS, port, until)


async def slow_uploads(port: int, until: float) -> None:
    """Send reviews of 7 MiB without their last byte, from 20 clients."""
    await _repeat([post(review(NAMESPACE, b"[[[[]]]]"))[:-1]] * CLIENTS, port, until)


async def silent(port: int, until: float) -> None:
    """Open TCP connections that never start TLS."""
    await _open(port, until, SOCKETS, b"")


async def handshakes(port: int, until: float) -> None:
    """Open TCP connections that send the first byte of a TLS handshake."""
    await _open(port, until, SOCKETS, b"\x16")


async def idle(port: int, until: float) -> None:
    """Open as many TCP connections as a process with 1,024 files can hold, and close none."""
    await _open(port, until, IDLE_SOCKETS, b"\x16")


async def _open(port: int, until: float, count: int, data: bytes) -> None:
    writers = []
    for _ in range(count):
        with suppress(OSError):
            writers.append((await asyncio.open_connection("127.0.0.1", port))[1])
            writers[-1].write(data)
    await asyncio.sleep(max(0.0, until - time.monotonic()))


async def _repeat(requests: list[bytes], port: int, until: float) -> None:
    async with asyncio.TaskGroup() as group:
        for request in requests:
            group.create_task(_client(request, port, until))


async def _client(request: bytes, port: int, until: float) -> None:
    while time.monotonic() < until:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await connect(port)
            while time.monotonic() < until:
                writer.write(request)
                answer = await reader.readuntil(b"\r\n\r\n")
                length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a TLS connection without verifying the certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return await asyncio.open_connection("127.0.0.1", port, ssl=context)


ATTACKS: dict[str, Callable[[int, float], Awaitable[None]]] = {
    attack.__name__: attack
    for attack in (pipelined, unknown_namespaces, nested_lists, slow_uploads, silent, handshakes, idle)
}


async def _run(name: str, port: int, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds + 1):
            await ATTACKS[name](port, time.monotonic() + seconds)


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
