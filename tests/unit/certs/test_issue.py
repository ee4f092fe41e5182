"""Issued certificates, read back with `cryptography.x509`."""

import ipaddress
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from certs.x509.issue import (
    AUTHORITY_LIFETIME,
    BACKDATE,
    LEAF_LIFETIME,
    Entropy,
    KeyPair,
    can_sign,
    issue_authority,
    issue_leaf,
    service_names,
)
from tests.unit.certs.factories import DAY, NAMES, NOW, make_authority, make_leaf


def _read(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


def test_authority() -> None:
    """An authority is a P-256 CA with path length 0, valid for ten years and backdated by five minutes."""
    certificate = _read(make_authority())
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.key_encipherment
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    assert certificate.not_valid_before_utc == NOW - BACKDATE == NOW - timedelta(minutes=5)
    assert certificate.not_valid_after_utc == NOW + AUTHORITY_LIFETIME


def test_leaf() -> None:
    """A leaf has exactly its names, server authentication, 90 days and the key identifier of its authority."""
    authority = make_authority()
    certificate = _read(make_leaf(authority, names=(*NAMES, "127.0.0.1")))
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    issuer = _read(authority).extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert tuple(names.get_values_for_type(x509.DNSName)) == NAMES
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == issuer.key_identifier
    assert certificate.not_valid_after_utc == NOW + LEAF_LIFETIME


def test_independent_verifier_accepts_the_leaf() -> None:
    """The Web PKI verifier of `cryptography` accepts a leaf for its name and authority."""
    authority = make_authority()
    store = Store([_read(authority)])
    verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(x509.DNSName(NAMES[0]))
    assert len(verifier.verify(_read(make_leaf(authority)), [])) == 2


def test_issuing_is_deterministic() -> None:
    """The same arguments give the same bytes."""
    authority_entropy, leaf_entropy = Entropy.fresh(), Entropy.fresh()
    authority = issue_authority("hook", now=NOW, entropy=authority_entropy)
    assert authority == issue_authority("hook", now=NOW, entropy=authority_entropy)
    leaf = issue_leaf(authority, NAMES, now=NOW, entropy=leaf_entropy)
    assert leaf == issue_leaf(authority, NAMES, now=NOW, entropy=leaf_entropy)


def test_serial_numbers() -> None:
    """Serial numbers do not repeat and fit into the 20 octets of RFC 5280."""
    serials = {Entropy.fresh().serial for _ in range(50)}
    assert len(serials) == 50
    assert all(0 < serial < 2**159 for serial in serials)


def test_leaf_expires_no_later_than_its_authority() -> None:
    """The expiry of a leaf is limited to that of its authority."""
    authority = make_authority(NOW - AUTHORITY_LIFETIME + DAY)
    assert _read(make_leaf(authority)).not_valid_after_utc == NOW + DAY


def test_backdating_of_a_short_lifetime() -> None:
    """A leaf is backdated by at most a quarter of its lifetime, so that a new one is not due for renewal."""
    leaf = issue_leaf(make_authority(), NAMES, now=NOW, entropy=Entropy.fresh(), lifetime=timedelta(minutes=1))
    assert _read(leaf).not_valid_before_utc == NOW - timedelta(seconds=15)


def test_long_names() -> None:
    """A name over 64 characters is only in the alternative names; the name of an authority is truncated."""
    name = f"{'a' * 63}.{'b' * 63}.svc"
    authority = issue_authority("n" * 200, now=NOW, entropy=Entropy.fresh())
    certificate = _read(issue_leaf(authority, [name], now=NOW, entropy=Entropy.fresh()))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical
    assert names.value.get_values_for_type(x509.DNSName) == [name]


def test_leaf_without_names() -> None:
    """A leaf without names is rejected."""
    with pytest.raises(ValueError, match="at least one name"):
        issue_leaf(make_authority(), [], now=NOW, entropy=Entropy.fresh())


def test_can_sign() -> None:
    """A leaf, or an authority with the key of another one, cannot sign."""
    authority, other = make_authority(), make_authority()
    assert can_sign(authority)
    assert not can_sign(make_leaf(authority))
    assert not can_sign(KeyPair(certificate=authority.certificate, key=other.key))
    assert not can_sign(KeyPair(certificate=b"", key=b""))


def test_service_names() -> None:
    """A Service has the names NAME.NAMESPACE.svc and NAME.NAMESPACE.svc.DOMAIN."""
    assert service_names("hook", "apps") == NAMES
    assert service_names("hook", "apps", "corp.example")[1] == "hook.apps.svc.corp.example"


def test_repr_contains_no_key() -> None:
    """The repr of a key pair or of entropy contains no private key."""
    pair, entropy = make_authority(), Entropy.fresh()
    assert "PRIVATE" not in repr(pair)
    assert "private" not in repr(entropy)
