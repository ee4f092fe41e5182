"""Client certificates (`--client-ca`) and the TLS versions and ciphers of a real process."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.serving import InvalidClientAuthorityError, ReloadableContext
from certs.x509.issue import Entropy, issue_authority, issue_leaf
from tests.unit.http.test_graceful_shutdown import until_ready
from tests.unit.objects import cluster, review
from webhook.cli.client_authority import INTERVAL
from webhook.http.limits import TLS_HANDSHAKE_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[3] / "webhook" / "cli" / "examples"
BODY = json.dumps(review(cluster())).encode()
Key = ec.EllipticCurvePrivateKey


def certified(name: str, key: Key, issuer: tuple[str, Key] | None) -> bytes:
    """Return the PEM of a client certificate, or of a CA if there is no issuer."""
    now, (by, signing) = datetime.now(UTC), issuer or (name, key)
    builder = x509.CertificateBuilder(
        issuer_name=_named(by),
        subject_name=_named(name),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(hours=1),
        not_valid_after=now + timedelta(hours=1),
    ).add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    if issuer:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    return builder.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def client_of(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a CA certificate and the certificate and key of a client; return both files."""
    ca, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority, pair = folder / f"{name}-authority", folder / f"{name}-client"
    authority.write_bytes(certified(name, ca, None))
    written = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pair.write_bytes(certified("kube-apiserver", key, (name, ca)) + written)
    return authority, pair


@contextmanager
def serving(*flags: str) -> Iterator[int]:
    """Run `serve` and yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    argv = [sys.executable, "-m", "webhook", "serve", "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--namespaces-file", str(EXAMPLES / "namespace.yaml"), "--drain-seconds", "0", *flags]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
        try:
            until_ready(port)
            yield port
        finally:
            process.kill()


def asking(port: int, pair: Path | None = None) -> httpx.Client:
    """Return a client with or without a certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if pair:
        context.load_cert_chain(pair)
    return httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, trust_env=False, timeout=5)


def test_client_certificate_is_required(tmp_path: Path) -> None:
    """With --client-ca, clients of that CA are served, clients without a certificate get 403, others no handshake."""
    authority, good = client_of(tmp_path, "front-proxy")
    _, other = client_of(tmp_path, "other")
    with serving("--client-ca", str(authority)) as port:
        with asking(port, good) as client:
            assert client.post("/mutate", content=BODY).status_code == 200
        with asking(port) as client:
            assert client.post("/mutate", content=BODY).status_code == 403
            assert client.get("/healthz").status_code == 200
            metrics = client.get("/metrics").text
            assert 'dask_colocate_requests_rejected_total{reason="no-client-certificate"} 1.0' in metrics
        with asking(port, other) as client, pytest.raises(httpx.TransportError):
            client.get("/healthz")


def test_client_ca_is_read_again(tmp_path: Path) -> None:
    """A new CA in the file of --client-ca replaces the old one; a file without a certificate changes nothing."""
    authority, old = client_of(tmp_path, "old")
    other, new = client_of(tmp_path, "new")

    def accepted(port: int, pair: Path) -> bool:
        try:
            with asking(port, pair) as client:
                return client.post("/mutate", content=BODY).status_code == 200
        except httpx.TransportError:
            return False

    with serving("--client-ca", str(authority)) as port:
        authority.write_text("nothing")
        time.sleep(3 * INTERVAL)
        assert accepted(port, old)
        authority.write_bytes(other.read_bytes())
        deadline = time.monotonic() + 20
        while not accepted(port, new):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert not accepted(port, old)


def test_client_ca_must_be_readable(tmp_path: Path) -> None:
    """A file without a certificate ends `serve` with status 2 and an error message."""
    with pytest.raises(InvalidClientAuthorityError, match="no readable PEM"):
        ReloadableContext(b"\xff nothing")
    (tmp_path / "empty").write_text("")
    argv = [sys.executable, "-m", "webhook", "serve", "--namespaces-file", str(EXAMPLES / "namespace.yaml")]
    argv += ["--client-ca", str(tmp_path / "empty")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, "no readable PEM" in done.stderr) == (2, True)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Run a server with default options."""
    with serving() as port:
        yield port


def test_missing_handshake_times_out(port: int) -> None:
    """A connection without a TLS handshake is closed before asyncio's default of 60 s."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(3 * TLS_HANDSHAKE_TIMEOUT)
        assert connection.recv(1) == b""


def handshake(port: int, version: ssl.TLSVersion, ciphers: str) -> str | None:
    """Return the cipher of a handshake, or None if it fails."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(ciphers)
    context.minimum_version = context.maximum_version = version
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            agreed = connection.cipher()
            return agreed[0] if agreed else None
    except (ssl.SSLError, OSError):
        return None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls_versions_are_rejected(port: int, lenient: int, version: ssl.TLSVersion) -> None:
    """TLS 1.0 and 1.1 are rejected, for a client that a lenient server accepts."""
    anything = "ALL:@SECLEVEL=0"
    if handshake(lenient, version, anything) is None:
        pytest.skip(f"NOT SHOWN: this OpenSSL does not speak {version.name} itself")
    assert handshake(port, version, anything) is None


@pytest.fixture
def lenient(tmp_path: Path) -> Iterator[int]:
    """Run a server that accepts every TLS version."""
    ca = issue_authority("lenient", now=datetime.now(UTC), entropy=Entropy.fresh())
    pair = issue_leaf(ca, ["localhost"], now=datetime.now(UTC), entropy=Entropy.fresh())
    (tmp_path / "pair").write_bytes(pair.key + pair.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(tmp_path / "pair")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_shake_hands, args=(listener, context), daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Accept one client."""
    with suppress(OSError), context.wrap_socket(listener.accept()[0], server_side=True) as connection:
        connection.recv(1)


@pytest.mark.parametrize("ciphers", ["kRSA", "AES128-SHA", "ECDHE+SHA1", "ECDHE+SHA256+AES:!AESGCM", "aNULL", "DHE"])
def test_weak_ciphers_are_rejected(port: int, ciphers: str) -> None:
    """TLS 1.2 ciphers without forward secrecy, AEAD or certificate are rejected."""
    assert handshake(port, ssl.TLSVersion.TLSv1_2, f"{ciphers}:@SECLEVEL=0") is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_strong_ciphers_are_accepted(port: int, version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3 negotiate an AEAD cipher."""
    assert any(name in (handshake(port, version, "DEFAULT") or "") for name in ("GCM", "CHACHA20"))
