"""Limits of what clients of the port can cost: time, sockets, bytes and parsed values, each counted where it arises.

The API server, its retries and the largest objects that it sends stay below every limit. All limits together keep the
process below 256 MiB; it uses 75 to 85 MiB without load.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

if sys.platform != "win32":
    import resource

# ---- time, in seconds ---------------------------------------------------------------------------------

# From a request's first byte (or the start of the connection) to its last byte, and again to send the response.
# The API server waits at most 5 s for a webhook (`timeoutSeconds` of the chart).
REQUEST_TIMEOUT = 5.0
# For a TLS handshake, as in Go's client (net/http, TLSHandshakeTimeout). Under overload, handshakes queue like
# requests; 5 s were too few.
TLS_HANDSHAKE_TIMEOUT = 10.0
# That a complete request may wait for the event loop. It may wait as long again in the kernel; together that is a
# fraction of the API server's timeout, 5 s.
MAX_QUEUE_SECONDS = 0.5
CHECK_INTERVAL = 1.0  # between checks of all connections
FULL_COLLECTION_INTERVAL = 10.0  # between garbage collections of all objects; others cover new objects

# ---- sockets ------------------------------------------------------------------------------------------

# Including connections whose TLS handshake is incomplete: each costs about 60 KiB from its start. An API server opens
# a connection for each request in flight, at most 600 by default.
MAX_CONNECTIONS = 2048
# Requests that wait on one connection for the response to the request before. HTTP clients of Go, and so API servers,
# send the next request after the response.
MAX_PIPELINED = 4
# Files of the process that are not connections of clients: listener, log, watches, live reads, certificates.
RESERVED_FILES = 128
# Closed connections after which garbage is collected: each leaves a reference cycle with 256 KiB of TLS buffers in
# uvloop, and the C library keeps freed buffers until the heap is trimmed.
CLOSED_PER_COLLECTION = 8

# ---- bytes and values ---------------------------------------------------------------------------------

# Of request line and headers; an API server sends about 300.
MAX_HEADER_SIZE = 16 * 1024
# Of one body. An API server accepts objects of at most 3 MiB, and an UPDATE carries two. controller-runtime derives
# 7 MiB from the same limits (pkg/webhook/admission/http.go).
MAX_BODY_SIZE = 7 * 1024 * 1024
# Of one request: its body, and 1 MiB for headers, chunk framing and trailers.
MAX_REQUEST_SIZE = MAX_BODY_SIZE + 1024 * 1024
# Of all bodies without a response: four of the largest, or 3,000 of the usual 10 KiB.
MAX_BYTES_IN_FLIGHT = 4 * MAX_BODY_SIZE
# Above this size a body is inspected before it is parsed, and takes turns with other large bodies. Parsing takes up to
# 35 bytes for each byte of JSON, so a smaller body takes 2 MiB at most, for a few milliseconds.
LARGE_BODY = 64 * 1024
# Values and keys of one body, which take up to 85 bytes each once parsed: 90 MiB. An object of 3 MiB that consists of
# environment variables with names of one letter has 726,000; the old object of an UPDATE comes from etcd, which stores
# 1.5 MiB: 363,000 more.
MAX_VALUES = 1_100_000
_SEPARATORS = b"[{,:"  # each value but the first, and each key, follows one

# ---- keys of the ASGI scope ---------------------------------------------------------------------------

RECEIVED_AT = "received_at"
"""`time.monotonic` when the last byte of the request arrived."""
CLIENT_VERIFIED = "client_verified"
"""True if the client presented a certificate of the required CA."""

OnReject: TypeAlias = Callable[[str], None]
"""Callback with the reason of a closed connection.

Reasons: `timeout`, `headers-too-large`, `request-too-large`, `too-many-pipelined` and `too-many-connections`.
"""


def has_too_many_values(body: bytes) -> bool:
    """Return whether JSON in `body` has more keys and values than any object of an API server.

    A JSON parser has no such limit. Separators in strings count too: a shell script of 3 MiB has fewer.
    """
    return len(body) - len(body.translate(None, _SEPARATORS)) > MAX_VALUES


def raise_file_limit() -> int:
    """Raise the soft limit on open files to the hard limit, and return the number of connections that it allows."""
    if sys.platform == "win32":
        return MAX_CONNECTIONS
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, hard - RESERVED_FILES)


class OverloadedError(Exception):
    """Request that cannot be answered in time or within the limits."""


@dataclass(slots=True, eq=False)
class BytesInFlight:
    """Size of one body without a response, and the task that reads and answers it."""

    task: "asyncio.Task[object] | None"
    size: int = 0
    evicted: bool = False


@dataclass(slots=True)
class BodyBudget:
    """Total size of the bodies without a response.

    Above `MAX_BYTES_IN_FLIGHT` the largest body is evicted, not the newest: the API server's bodies are small, and
    large ones must not keep them out.
    """

    size: int = 0
    bodies: set[BytesInFlight] = field(default_factory=set)

    @contextmanager
    def body(self) -> Iterator[BytesInFlight]:
        """Count a body inside the block.

        Raises:
            OverloadedError: The body was evicted.
        """
        body = BytesInFlight(asyncio.current_task())
        self.bodies.add(body)
        try:
            yield body
        except asyncio.CancelledError:
            if body.evicted:
                raise OverloadedError from None
            raise
        finally:
            self.bodies.remove(body)
            self.size -= 0 if body.evicted else body.size

    def add(self, body: BytesInFlight, size: int) -> None:
        """Add bytes to a body, and evict the largest body above the limit.

        Raises:
            OverloadedError: This body is the largest.
        """
        body.size += size
        self.size += size
        if self.size <= MAX_BYTES_IN_FLIGHT:
            return
        largest = max((other for other in self.bodies if not other.evicted), key=lambda other: other.size)
        if largest is body:
            raise OverloadedError
        largest.evicted = True
        self.size -= largest.size
        if largest.task:
            largest.task.cancel()
