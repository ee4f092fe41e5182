"""Certificate material of an installation, and its form as the data of a Secret of type `kubernetes.io/tls`."""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from certs.x509.check import parse_certificates
from certs.x509.issue import KeyPair

NO_KEY_PAIR = KeyPair(certificate=b"", key=b"")


@dataclass(frozen=True, kw_only=True)
class Material:
    """Certificates and keys that the replicas share. Any part may be missing or invalid.

    Attributes:
        leaf: Serving certificate.
        authority: CA that signs the leaf certificates.
        bundle: PEM CA bundle: the current authority first, then retired ones.
    """

    leaf: KeyPair = NO_KEY_PAIR
    authority: KeyPair = NO_KEY_PAIR
    bundle: bytes = b""


def material_from_data(data: Mapping[str, bytes]) -> Material:
    """Parse the data of a Secret. The authority is the certificate in `ca.crt` that belongs to `ca.key`."""
    key, bundle = data.get("ca.key", b""), data.get("ca.crt", b"")
    return Material(
        leaf=KeyPair(certificate=data.get("tls.crt", b""), key=data.get("tls.key", b"")),
        authority=KeyPair(certificate=_certificate_of_key(key, bundle), key=key),
        bundle=bundle,
    )


def material_to_data(material: Material) -> dict[str, bytes]:
    """Return the data of a Secret. Kubernetes defines `tls.*`, and `ca.crt` is the name that cert-manager uses."""
    return {
        "tls.crt": material.leaf.certificate,
        "tls.key": material.leaf.key,
        "ca.crt": material.bundle,
        "ca.key": material.authority.key,
    }


def _certificate_of_key(key: bytes, bundle: bytes) -> bytes:
    try:
        public_key = load_pem_private_key(key, password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return b""
    matches = [certificate for certificate in parse_certificates(bundle) if certificate.public_key() == public_key]
    return matches[0].public_bytes(Encoding.PEM) if matches else b""
