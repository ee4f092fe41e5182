"""TLS context of a server, with a certificate that can be replaced while the server runs."""

import os
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from certs.x509.check import parse_certificates
from certs.x509.issue import KeyPair


class InvalidKeyPairError(ValueError):
    """Key pair that cannot be served. The text contains no key material."""


class InvalidClientAuthorityError(ValueError):
    """Client authority without a readable certificate."""


class ReloadableContext:
    """SSL context of a server, and the key pair that new handshakes get.

    Each key pair gets an SSL context of its own. The SNI callback of the server's context switches each handshake to
    the newest one; OpenSSL calls it before it selects a certificate, also if the client sends no server name. So an
    invalid pair changes nothing, a replacement is one assignment, and no handshake sees a certificate without its key,
    as can happen with `load_cert_chain` on a context in use.
    """

    def __init__(self, client_authority: bytes | None = None) -> None:
        """Create the context without a key pair: handshakes fail until the first `load`.

        Args:
            client_authority: PEM of the authority that verifies client certificates. Clients may connect without one;
                the application checks `getpeercert` where a client certificate is required.

        Raises:
            InvalidClientAuthorityError: `client_authority` contains no certificate.
        """
        self._client_authority = client_authority
        self._lock = threading.Lock()  # `load` and `trust` run in different threads
        self._pair: KeyPair | None = None
        self._newest: ssl.SSLContext | None = None
        self.ssl_context = _create_context(client_authority)
        self.ssl_context.sni_callback = self._select_newest

    @property
    def pair(self) -> KeyPair | None:
        """The key pair of new handshakes; None before the first `load`."""
        return self._pair

    def load(self, pair: KeyPair) -> None:
        """Serve a key pair from the next handshake on. Open connections are not affected.

        Raises:
            InvalidKeyPairError: The pair cannot be served; the previous one stays.
        """
        with self._lock:
            self._load(pair)

    def trust(self, client_authority: bytes) -> None:
        """Verify client certificates with another authority from the next handshake on.

        Raises:
            InvalidClientAuthorityError: `client_authority` contains no certificate; the previous one stays.
        """
        with self._lock:
            _create_context(client_authority)
            self._client_authority = client_authority
            if self._pair:
                self._load(self._pair)

    def _load(self, pair: KeyPair) -> None:
        context = _create_context(self._client_authority)
        if not parse_certificates(pair.certificate):
            raise InvalidKeyPairError("there is no readable PEM certificate")
        try:
            with _as_file(pair.certificate + b"\n" + pair.key) as path:
                context.load_cert_chain(path, password="")
        except (ssl.SSLError, ValueError):
            text = "OpenSSL rejects the key pair: the key is unreadable or belongs to another certificate"
            raise InvalidKeyPairError(text) from None
        self._newest, self._pair = context, pair

    def _select_newest(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: ssl.SSLContext) -> None:
        if self._newest is not None:
            connection.context = self._newest


def _create_context(client_authority: bytes | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")  # TLS 1.2: forward secrecy and AEAD only
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = 0  # the API server's client has no session cache
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if client_authority is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        try:
            context.load_verify_locations(cadata=client_authority.decode("ascii"))
        except (ssl.SSLError, ValueError):
            raise InvalidClientAuthorityError("there is no readable PEM certificate") from None
    return context


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Provide a path with this content: OpenSSL loads keys only from paths, and the key must not reach a disk."""
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as file:  # mode 0600
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
