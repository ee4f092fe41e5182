"""TLS handshakes with a context whose key pair changes."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from certs.serving import InvalidKeyPairError, ReloadableContext
from certs.x509.issue import KeyPair
from tests.unit.certs.factories import NAMES, make_authority, make_material, rotate_authority

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD = make_material()
NEW = rotate_authority(OLD)


def client_context() -> ssl.SSLContext:
    """Return a client context without verification; the test compares the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@contextmanager
def connect(server: ReloadableContext, context: ssl.SSLContext, name: str | None = NAMES[0]) -> Iterator[ssl.SSLSocket]:
    """Connect a client to a server that echoes its input."""
    near, far = socket.socketpair()

    def serve() -> None:
        try:
            with server.ssl_context.wrap_socket(far, server_side=True) as connection:
                while data := connection.recv(100):
                    connection.sendall(data)
        except (ssl.SSLError, OSError):
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with context.wrap_socket(near, server_hostname=name) as client:
            yield client
    finally:
        near.close()
        thread.join(5)


def served(server: ReloadableContext, name: str | None = NAMES[0]) -> bytes:
    """Return the PEM certificate of a new handshake."""
    with connect(server, client_context(), name) as client:
        return ssl.DER_cert_to_PEM_cert(client.getpeercert(binary_form=True) or b"").encode()


def serve(pair: KeyPair) -> ReloadableContext:
    """Return a server context with a key pair."""
    server = ReloadableContext()
    server.load(pair)
    return server


@pytest.mark.parametrize("name", [NAMES[0], None])
def test_newest_pair_is_served(name: str | None) -> None:
    """Each handshake gets the newest pair, also if the client sends no server name (as with an IP address)."""
    server = serve(OLD.leaf)
    assert served(server, name) == OLD.leaf.certificate
    server.load(NEW.leaf)
    assert served(server, name) == NEW.leaf.certificate


def test_handshake_without_a_pair_fails() -> None:
    """A handshake before the first pair fails, and later ones succeed."""
    server = ReloadableContext()
    with pytest.raises((ssl.SSLError, OSError)):
        served(server)
    server.load(OLD.leaf)
    assert served(server) == OLD.leaf.certificate


@pytest.mark.parametrize(
    "invalid",
    [
        KeyPair(certificate=NEW.leaf.certificate, key=OLD.leaf.key),
        KeyPair(certificate=NEW.leaf.key, key=NEW.leaf.certificate),
        KeyPair(certificate=b"garbage", key=NEW.leaf.key),
        KeyPair(certificate=NEW.leaf.certificate, key=b"garbage"),
        KeyPair(certificate=NEW.leaf.certificate, key=NEW.leaf.key[:80]),
        KeyPair(certificate=b"", key=b""),
    ],
)
def test_invalid_pair_is_rejected(invalid: KeyPair) -> None:
    """A mismatched, swapped, unreadable, truncated or empty pair is rejected without key material in the error."""
    server = serve(OLD.leaf)
    with pytest.raises(InvalidKeyPairError) as rejected:
        server.load(invalid)
    assert served(server) == OLD.leaf.certificate
    assert server.pair == OLD.leaf
    errors = f"{rejected.value!r} {rejected.value.__cause__!r}"
    assert not any(line in errors for line in NEW.leaf.key.decode().splitlines())


def test_open_connections_are_kept() -> None:
    """A new pair closes no open connection."""
    server = serve(OLD.leaf)
    with connect(server, client_context()) as client:
        server.load(NEW.leaf)
        client.sendall(b"still open")
        assert client.recv(100) == b"still open"


def test_handshakes_during_changes() -> None:
    """While the pair changes continuously, every handshake succeeds with one of the two pairs."""
    server, done = serve(OLD.leaf), threading.Event()

    def change() -> None:
        while not done.is_set():
            server.load(NEW.leaf)
            server.load(OLD.leaf)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        certificates = {served(server) for _ in range(50)}
    finally:
        done.set()
        thread.join()
    assert certificates <= {OLD.leaf.certificate, NEW.leaf.certificate}


def test_minimum_protocol_version() -> None:
    """TLS 1.2 is the minimum version, and its ciphers have forward secrecy."""
    server, context = serve(OLD.leaf), client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(server, context) as client:
        assert (client.cipher() or ("",))[0].startswith("ECDHE-")
    assert server.ssl_context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_client_verifies_the_chain() -> None:
    """A verifying client that trusts the bundle accepts the signature; one with another authority does not."""
    context = ssl.create_default_context(cadata=OLD.bundle.decode())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    other = ssl.create_default_context(cadata=make_authority().certificate.decode())
    server = serve(OLD.leaf)
    with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"), connect(server, context):
        pass  # the signature is valid; only the validity starts in 2030
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"), connect(server, other):
        pass
