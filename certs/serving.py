"""The TLS context of a server whose certificate changes while it serves."""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from certs.check import certificates
from certs.issue import Pair


class BadPairError(ValueError):
    """A pair that can't be served. Its text says why and holds no key material."""


class BadAuthorityError(ValueError):
    """Clients can't be checked against it. Its text says why."""


class Serving:
    """Owns the one context a server listens with, and the pair that new handshakes get.

    Every pair gets a context of its own; the context the server holds only hands a handshake over to the
    newest good one (OpenSSL asks for it before it needs a certificate, also when the client names no
    server). So a bad pair touches nothing, a change is one assignment, and no handshake can meet a
    certificate whose key is still being loaded, as with ``load_cert_chain`` on a live context.
    """

    def __init__(self, clients: bytes | None = None) -> None:
        """Start without a pair: handshakes fail until the first ``use``.

        Args:
            clients: PEM of the authority that clients' certificates are checked against. A client may still show
                none: whoever serves asks ``getpeercert`` where one is needed.

        Raises:
            BadAuthorityError: there is no certificate in ``clients``.
        """
        self._clients = clients
        self._pair: Pair | None = None
        self._newest: ssl.SSLContext | None = None
        self.context = _context(clients)
        self.context.sni_callback = self._hand_over

    @property
    def pair(self) -> Pair | None:
        """What new handshakes get; ``None`` before the first."""
        return self._pair

    def use(self, pair: Pair) -> None:
        """Serve a pair from the next handshake on; connections that stand are left alone.

        Raises:
            BadPairError: it can't be served; what was served before still is.
        """
        context = _context(self._clients)
        if not certificates(pair.certificate):
            raise BadPairError("there is no readable PEM certificate")
        try:
            with _as_file(pair.certificate + b"\n" + pair.key) as path:
                context.load_cert_chain(path, password="")
        except (ssl.SSLError, ValueError):
            raise BadPairError("OpenSSL refuses the pair: key unreadable, or of another certificate") from None
        self._newest, self._pair = context, pair

    def _hand_over(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _base: ssl.SSLContext) -> None:
        if self._newest is not None:
            connection.context = self._newest


def _context(clients: bytes | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")  # TLS 1.2: forward secrecy and AEAD only
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = 0  # the API server's client keeps no session cache: tickets would be waste
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if clients is not None:
        _check_clients(context, clients)
    return context


def _check_clients(context: ssl.SSLContext, authority: bytes) -> None:
    context.verify_mode = ssl.CERT_OPTIONAL
    try:
        context.load_verify_locations(cadata=authority.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise BadAuthorityError("there is no readable PEM certificate") from None


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path to read ``content`` from: OpenSSL's loader takes paths alone, and a key should meet no disk."""
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as file:  # created 0600
            file.write(content)
            file.flush()
            yield file.name
        return
    descriptor = os.memfd_create("pair", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
