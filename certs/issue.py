"""Issues certificates: a small authority of one's own and the leaves it signs.

Pure: the instant and the randomness are arguments, signatures are deterministic (RFC 6979), so the same
arguments give the same bytes.
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
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LASTS = timedelta(days=3650)
LEAF_LASTS = timedelta(days=90)
BACKDATED = timedelta(minutes=5)
"""How far a clock may lag behind ours and still find a new certificate valid."""

_COMMON_NAME_LIMIT = 64
"""RFC 5280, ub-common-name: longer names stay in the subject alternative names alone."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate, with any intermediates after it, and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Entropy:
    """What has to be random in one certificate. Never use one twice."""

    private: ec.EllipticCurvePrivateKey = field(repr=False)
    serial: int

    @classmethod
    def fresh(cls) -> Self:
        """A new P-256 key and a 159-bit serial number from the system's generator."""
        return cls(private=ec.generate_private_key(ec.SECP256R1()), serial=x509.random_serial_number())


def authority(name: str, *, now: datetime, entropy: Entropy, lasts: timedelta = AUTHORITY_LASTS) -> Pair:
    """A self-signed authority that may sign leaves and nothing below them.

    The common name ends with 8 digits of the serial number: people, too, can tell two authorities apart.
    """
    digits = f" {entropy.serial:040x}"[:9]
    subject = _name(name[: _COMMON_NAME_LIMIT - len(digits)] + digits)
    builder = (
        _begun(subject, now, now + lasts, entropy)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return _signed(builder, entropy.private, entropy)


def leaf(ca: Pair, names: Sequence[str], *, now: datetime, entropy: Entropy, lasts: timedelta = LEAF_LASTS) -> Pair:
    """A server's certificate for ``names`` (DNS names or IP addresses), never outlasting its authority.

    Raises:
        ValueError: ``names`` is empty, or ``ca`` is not a readable pair with an elliptic-curve key.
    """
    if not names:
        raise ValueError("a certificate needs at least one name")
    issuer = x509.load_pem_x509_certificate(ca.certificate)
    ends = min(now + lasts, issuer.not_valid_after_utc)
    common = _name(names[0]) if len(names[0]) <= _COMMON_NAME_LIMIT else x509.Name([])
    builder = (
        _begun(common, now, ends, entropy)
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_alternatives(names), critical=not list(common))
        .add_extension(_authority_key(issuer), critical=False)
    )
    return _signed(builder, _signing_key(ca), entropy)


def can_sign(ca: Pair) -> bool:
    """Whether ``leaf`` can use an authority: self-signed, allowed to sign, with its own elliptic-curve key."""
    try:
        certificate, key = x509.load_pem_x509_certificate(ca.certificate), _signing_key(ca)
        certificate.verify_directly_issued_by(certificate)
        allowed = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False
    return allowed and certificate.public_key() == key.public_key()


def service_names(service: str, namespace: str, cluster_domain: str = "cluster.local") -> tuple[str, ...]:
    """The names of a Service; the API server asks for the first."""
    return f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.{cluster_domain}"


def _begun(subject: x509.Name, now: datetime, ends: datetime, entropy: Entropy) -> x509.CertificateBuilder:
    public = entropy.private.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public)
        .serial_number(entropy.serial)
        .not_valid_before(now - min(BACKDATED, (ends - now) / 4))  # a quarter: else a short one is born expiring
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, signer: ec.EllipticCurvePrivateKey, entropy: Entropy) -> Pair:
    certificate = builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True)
    key = entropy.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(certificate=certificate.public_bytes(Encoding.PEM), key=key)


def _signing_key(ca: Pair) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(ca.key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is not an elliptic-curve key")  # noqa: TRY004 - a value from outside, not a wrong argument type
    return key


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
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


def _alternatives(names: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general(name) for name in names])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
