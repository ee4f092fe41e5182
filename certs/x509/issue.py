"""Issue certificates: a self-signed authority (CA) and the leaf certificates that it signs.

Pure: time and randomness are arguments, and ECDSA signatures are deterministic (RFC 6979). The same arguments give
the same bytes.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=90)
BACKDATE = timedelta(minutes=5)
"""A client whose clock is at most this much behind accepts a new certificate."""

_COMMON_NAME_LIMIT = 64
"""RFC 5280, ub-common-name. Longer names are only in the subject alternative names."""


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """Certificate, followed by any intermediates, and its private key; both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Entropy:
    """Random inputs of one certificate. Use each instance once."""

    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    serial: int

    @classmethod
    def fresh(cls) -> Self:
        """Generate a P-256 key and a 159-bit serial number."""
        return cls(private_key=ec.generate_private_key(ec.SECP256R1()), serial=x509.random_serial_number())


def issue_authority(name: str, *, now: datetime, entropy: Entropy, lifetime: timedelta = AUTHORITY_LIFETIME) -> KeyPair:
    """Issue a self-signed authority with path length 0: it signs leaf certificates only.

    The common name ends with 8 digits of the serial number, so that people can tell two authorities apart.
    """
    digits = f" {entropy.serial:040x}"[:9]
    subject = _distinguished_name(name[: _COMMON_NAME_LIMIT - len(digits)] + digits)
    builder = (
        _certificate_builder(subject, now, now + lifetime, entropy)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    return _sign(builder, entropy.private_key, entropy)


def issue_leaf(
    authority: KeyPair, names: Sequence[str], *, now: datetime, entropy: Entropy, lifetime: timedelta = LEAF_LIFETIME
) -> KeyPair:
    """Issue a server certificate for DNS names or IP addresses. It expires no later than its authority.

    Raises:
        ValueError: `names` is empty, or `authority` is not a readable pair with an elliptic-curve key.
    """
    if not names:
        raise ValueError("a certificate needs at least one name")
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    not_after = min(now + lifetime, issuer.not_valid_after_utc)
    subject = _distinguished_name(names[0]) if len(names[0]) <= _COMMON_NAME_LIMIT else x509.Name([])
    builder = (
        _certificate_builder(subject, now, not_after, entropy)
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(list(map(_general_name, names))), critical=not list(subject))
        .add_extension(_authority_key_identifier(issuer), critical=False)
    )
    return _sign(builder, _signing_key(authority), entropy)


def can_sign(authority: KeyPair) -> bool:
    """Return whether `issue_leaf` can use an authority: self-signed, a CA, with its own elliptic-curve key."""
    try:
        certificate, key = x509.load_pem_x509_certificate(authority.certificate), _signing_key(authority)
        certificate.verify_directly_issued_by(certificate)
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False
    return is_ca and certificate.public_key() == key.public_key()


def service_names(service: str, namespace: str, cluster_domain: str = "cluster.local") -> tuple[str, ...]:
    """Return the DNS names of a Service. The API server verifies the first one."""
    return f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.{cluster_domain}"


def _certificate_builder(
    subject: x509.Name, now: datetime, not_after: datetime, entropy: Entropy
) -> x509.CertificateBuilder:
    public_key = entropy.private_key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(entropy.serial)
        .not_valid_before(now - min(BACKDATE, (not_after - now) / 4))  # a short-lived one must not be due at once
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _sign(builder: x509.CertificateBuilder, signer: ec.EllipticCurvePrivateKey, entropy: Entropy) -> KeyPair:
    certificate = builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True)
    key = entropy.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return KeyPair(certificate=certificate.public_bytes(Encoding.PEM), key=key)


def _signing_key(authority: KeyPair) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(authority.key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is not an elliptic-curve key")  # noqa: TRY004 - invalid data, not a wrong argument type
    return key


def _distinguished_name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
