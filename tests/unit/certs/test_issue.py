"""What an issued certificate is, read back with X.509's own words."""

import ipaddress
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from certs.issue import AUTHORITY_LASTS, BACKDATED, LEAF_LASTS, Entropy, authority, can_sign, leaf, service_names
from tests.unit.certs.made import DAY, NAMES, NOW, ca, signed


def _read(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def test_an_authority_signs_certificates_and_nothing_else() -> None:
    """An authority is a P-256 CA of path length 0 for ten years, begun five minutes ago."""
    certificate = _read(ca().certificate)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.key_encipherment
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    assert certificate.not_valid_before_utc == NOW - BACKDATED == NOW - timedelta(minutes=5)
    assert certificate.not_valid_after_utc == NOW + AUTHORITY_LASTS


def test_a_leaf_serves_its_names_and_signs_nothing() -> None:
    """A leaf has exactly its names, server authentication, 90 days and its authority's key identifier."""
    by = ca()
    certificate = _read(signed(by, names=(*NAMES, "127.0.0.1")).certificate)
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    issuer = _read(by.certificate).extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert tuple(names.get_values_for_type(x509.DNSName)) == NAMES
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == issuer.key_identifier
    assert certificate.not_valid_after_utc == NOW + LEAF_LASTS


def test_a_strict_verifier_of_another_make_agrees() -> None:
    """The Web PKI verifier accepts a leaf for its name, at an instant, under its authority."""
    by = ca()
    store = Store([_read(by.certificate)])
    verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(x509.DNSName(NAMES[0]))
    assert len(verifier.verify(_read(signed(by).certificate), [])) == 2


def test_the_same_arguments_give_the_same_bytes() -> None:
    """Issuing is pure: the instant and the randomness decide every byte."""
    one, two = Entropy.fresh(), Entropy.fresh()
    by = authority("hook", now=NOW, entropy=one)
    assert by == authority("hook", now=NOW, entropy=one)
    assert leaf(by, NAMES, now=NOW, entropy=two) == leaf(by, NAMES, now=NOW, entropy=two)


def test_serial_numbers_are_random_and_long() -> None:
    """Serial numbers never repeat and stay within the 20 octets of RFC 5280."""
    serials = {Entropy.fresh().serial for _ in range(50)}
    assert len(serials) == 50
    assert all(0 < serial < 2**159 for serial in serials)


def test_a_leaf_never_outlasts_its_authority() -> None:
    """A leaf ends with its authority at the latest."""
    by = ca(NOW - AUTHORITY_LASTS + DAY)
    assert _read(signed(by).certificate).not_valid_after_utc == NOW + DAY


def test_a_short_life_is_backdated_by_a_quarter_at_most() -> None:
    """A leaf of a minute is not born at two thirds of its life."""
    brief = leaf(ca(), NAMES, now=NOW, entropy=Entropy.fresh(), lasts=timedelta(minutes=1))
    assert _read(brief.certificate).not_valid_before_utc == NOW - timedelta(seconds=15)


def test_long_names_fit() -> None:
    """A name longer than a common name may be stands in the alternative names, an authority's is cut."""
    name = f"{'a' * 63}.{'b' * 63}.svc"
    by = authority("n" * 200, now=NOW, entropy=Entropy.fresh())
    certificate = _read(leaf(by, [name], now=NOW, entropy=Entropy.fresh()).certificate)
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert alternatives.critical
    assert alternatives.value.get_values_for_type(x509.DNSName) == [name]


def test_a_certificate_for_nobody_is_refused() -> None:
    """No names, no certificate."""
    with pytest.raises(ValueError, match="at least one name"):
        leaf(ca(), [], now=NOW, entropy=Entropy.fresh())


def test_only_an_authority_with_its_own_key_can_sign() -> None:
    """A leaf, and an authority with another's key, can't sign."""
    one, other = ca(), ca()
    assert can_sign(one)
    assert not can_sign(signed(one))
    assert not can_sign(type(one)(certificate=one.certificate, key=other.key))
    assert not can_sign(type(one)(certificate=b"", key=b""))


def test_a_service_has_two_names() -> None:
    """The API server asks for NAME.NAMESPACE.svc; people may use the cluster's domain."""
    assert service_names("hook", "apps") == NAMES
    assert service_names("hook", "apps", "corp.example")[1] == "hook.apps.svc.corp.example"


def test_keys_are_not_shown() -> None:
    """No representation of a pair or of randomness holds the key."""
    pair, entropy = ca(), Entropy.fresh()
    assert "PRIVATE" not in repr(pair)
    assert "private" not in repr(entropy)
