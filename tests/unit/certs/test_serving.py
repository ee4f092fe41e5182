"""Real handshakes with a context whose pair changes."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from certs.issue import Pair
from certs.plan import Part, renew
from certs.serving import BadPairError, Serving
from tests.unit.certs.material import NAMES, SUBJECT, authority, installed, renewal

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD = installed()
NEW = renew(OLD, Part.AUTHORITY, SUBJECT, renewal(seed=20))


def client_context() -> ssl.SSLContext:
    """A client that takes any certificate: the test compares it itself, in 2030."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@contextmanager
def connected(serving: Serving, context: ssl.SSLContext, name: str | None = NAMES[0]) -> Iterator[ssl.SSLSocket]:
    """A client's end of a handshake; the server echoes what it is sent."""
    near, far = socket.socketpair()

    def serve() -> None:
        try:
            with serving.context.wrap_socket(far, server_side=True) as server:
                while data := server.recv(100):
                    server.sendall(data)
        except (ssl.SSLError, OSError):
            far.close()

    server = threading.Thread(target=serve)
    server.start()
    try:
        with context.wrap_socket(near, server_hostname=name) as client:
            yield client
    finally:
        near.close()
        server.join(5)


def served(serving: Serving, name: str | None = NAMES[0]) -> bytes:
    """The PEM certificate that a new handshake gets."""
    with connected(serving, client_context(), name) as client:
        return ssl.DER_cert_to_PEM_cert(client.getpeercert(binary_form=True) or b"").encode()


def holding(pair: Pair) -> Serving:
    """A server's context with a pair."""
    serving = Serving()
    serving.use(pair)
    return serving


@pytest.mark.parametrize("name", [NAMES[0], None])
def test_the_newest_pair_is_served(name: str | None) -> None:
    """Each handshake gets the newest pair, also of a client that names no server, as with an address."""
    serving = holding(OLD.leaf)
    assert served(serving, name) == OLD.leaf.certificate
    serving.use(NEW.leaf)
    assert served(serving, name) == NEW.leaf.certificate


def test_without_a_pair_handshakes_fail() -> None:
    """Nothing is served before there is something, and the server lives on."""
    serving = Serving()
    with pytest.raises((ssl.SSLError, OSError)):
        served(serving)
    serving.use(OLD.leaf)
    assert served(serving) == OLD.leaf.certificate


@pytest.mark.parametrize(
    "bad",
    [
        Pair(certificate=NEW.leaf.certificate, key=OLD.leaf.key),
        Pair(certificate=NEW.leaf.key, key=NEW.leaf.certificate),
        Pair(certificate=b"garbage", key=NEW.leaf.key),
        Pair(certificate=NEW.leaf.certificate, key=b"garbage"),
        Pair(certificate=NEW.leaf.certificate, key=NEW.leaf.key[:80]),
        Pair(certificate=b"", key=b""),
    ],
)
def test_a_bad_pair_keeps_the_old_one_serving(bad: Pair) -> None:
    """Mismatched, swapped, garbage, half-written or empty: refused without key material, the old one serves."""
    serving = holding(OLD.leaf)
    with pytest.raises(BadPairError) as refused:
        serving.use(bad)
    assert served(serving) == OLD.leaf.certificate
    assert serving.pair == OLD.leaf
    chain = f"{refused.value!r} {refused.value.__cause__!r}"
    assert not any(line in chain for line in NEW.leaf.key.decode().splitlines())


def test_connections_that_stand_are_left_alone() -> None:
    """A change of the pair cuts nobody off."""
    serving = holding(OLD.leaf)
    with connected(serving, client_context()) as client:
        serving.use(NEW.leaf)
        client.sendall(b"still there")
        assert client.recv(100) == b"still there"


def test_a_handshake_never_meets_half_a_change() -> None:
    """While the pair changes all the time, every handshake succeeds with one pair or the other."""
    serving, done = holding(OLD.leaf), threading.Event()

    def change() -> None:
        while not done.is_set():
            serving.use(NEW.leaf)
            serving.use(OLD.leaf)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        seen = {served(serving) for _ in range(50)}
    finally:
        done.set()
        changing.join()
    assert seen <= {OLD.leaf.certificate, NEW.leaf.certificate}


def test_old_protocols_are_refused() -> None:
    """TLS 1.2 is the oldest, and it has forward secrecy."""
    serving, context = holding(OLD.leaf), client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with connected(serving, context) as client:
        assert (client.cipher() or ("",))[0].startswith("ECDHE-")
    assert serving.context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_client_verifies_the_chain() -> None:
    """A client that trusts the bundle and asks for the service's name is content with a real verification."""
    context = ssl.create_default_context(cadata=OLD.bundle.decode())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    other = ssl.create_default_context(cadata=authority(7).certificate.decode())
    serving = holding(OLD.leaf)
    with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"), connected(serving, context):
        pass  # the signature is right; only the year is 2030
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"), connected(serving, other):
        pass
