"""Check a certificate at a given time and report each problem as a code and a sentence.

Pure. The API server is the client, so trust follows Go's crypto/x509 (`Certificate.Verify`, `VerifyHostname`): any
certificate of the bundle is a trust anchor, and the common name is ignored.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import MD5, SHA1
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.x509.issue import KeyPair

RENEW_AFTER = 2 / 3
"""Fraction of the lifetime after which a certificate is renewed: 60 of 90 days, so 30 days remain to fix a failure."""

_MIN_RSA_BITS = 2048
_MIN_CURVE_BITS = 256


class ProblemCode(StrEnum):
    """Stable code of a problem, for scripts and tests."""

    UNREADABLE = "unreadable"
    KEY_MISMATCH = "key-mismatch"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    WRONG_NAME = "wrong-name"
    NOT_FOR_SERVERS = "not-for-servers"
    NOT_SIGNED_BY_BUNDLE = "not-signed-by-bundle"
    EXPIRING = "expiring"
    WEAK = "weak"


@dataclass(frozen=True)
class Problem:
    """One problem: a stable code and a sentence for people. The sentence contains no key material."""

    code: ProblemCode
    text: str

    @property
    def blocking(self) -> bool:
        """True if a client rejects the certificate now. `expiring` and `weak` are warnings."""
        return self.code not in {ProblemCode.EXPIRING, ProblemCode.WEAK}


def pair_problems(pair: KeyPair, bundle: bytes | None, names: Sequence[str], at: datetime) -> tuple[Problem, ...]:
    """Return all problems of serving a key pair under the given names to clients that trust a bundle.

    Args:
        pair: PEM; the leaf first, then intermediates.
        bundle: PEM of the trusted authorities; None skips the trust check.
        names: DNS names or IP addresses that clients verify.
        at: Time of the check, with a time zone.
    """
    chain = parse_certificates(pair.certificate)
    key_problems = _key_problems(chain[0], pair.key) if chain else ()
    return (*key_problems, *certificate_problems(pair.certificate, bundle, names, at))


def certificate_problems(
    certificate: bytes, bundle: bytes | None, names: Sequence[str], at: datetime
) -> tuple[Problem, ...]:
    """Return the problems that a client finds: those of `pair_problems` without the private key."""
    chain = parse_certificates(certificate)
    if not chain:
        return (Problem(ProblemCode.UNREADABLE, "there is no readable PEM certificate"),)
    leaf = chain[0]
    return (
        *validity_problems(leaf, at),
        *_name_problems(leaf, names),
        *_usage_problems(leaf),
        *(() if bundle is None else _trust_problems(chain, parse_certificates(bundle), at)),
        *_strength_problems(leaf),
    )


def parse_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Parse the certificates of a PEM file, in order. Return none if any of them is invalid."""
    try:
        return tuple(_parse_eagerly(certificate) for certificate in x509.load_pem_x509_certificates(pem))
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return ()


def _parse_eagerly(certificate: x509.Certificate) -> x509.Certificate:
    """Access the lazily parsed fields, so that an invalid one raises here and not later."""
    _ = certificate.extensions, certificate.public_key(), certificate.not_valid_after_utc
    return certificate


def validity_problems(certificate: x509.Certificate, at: datetime) -> Iterator[Problem]:
    """Report a certificate that is expired, not yet valid or due for renewal."""
    not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if at > not_after:
        yield Problem(ProblemCode.EXPIRED, f"the certificate expired on {_format_time(not_after)}")
    elif at < not_before:
        text = f"the certificate is not valid before {_format_time(not_before)}; check the clocks"
        yield Problem(ProblemCode.NOT_YET_VALID, text)
    elif at >= renewal_time(certificate):
        text = f"the certificate expires on {_format_time(not_after)}; two thirds of its lifetime have passed"
        yield Problem(ProblemCode.EXPIRING, text)


def renewal_time(certificate: x509.Certificate, jitter: float = 0.0) -> datetime:
    """Return the time to renew: after two thirds of the lifetime, plus jitter of up to a tenth of the last third.

    Args:
        certificate: Certificate to renew.
        jitter: 0 to 1, different in each replica, so that one replica renews and the others read the result.
    """
    not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    fraction = RENEW_AFTER + jitter * (1 - RENEW_AFTER) / 10
    return not_before + (not_after - not_before) * fraction


def is_trusted(certificate: bytes, bundle: bytes, at: datetime) -> bool:
    """Return whether a PEM bundle trusts a served PEM certificate (with its intermediates) at a given time."""
    chain = parse_certificates(certificate)
    return bool(chain) and not any(_trust_problems(chain, parse_certificates(bundle), at))


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Return whether an authority signed a certificate and its constraints allow that."""
    try:
        certificate.verify_directly_issued_by(authority)
        return authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False


def subject_alternative_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the DNS names and IP addresses of a certificate."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = names.get_values_for_type(x509.IPAddress)
    return (*names.get_values_for_type(x509.DNSName), *map(str, addresses))


def _key_problems(leaf: x509.Certificate, pem: bytes) -> Iterator[Problem]:
    try:
        private_key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        yield Problem(ProblemCode.UNREADABLE, "there is no readable, unencrypted PEM private key")
        return
    if private_key.public_key() != leaf.public_key():
        yield Problem(ProblemCode.KEY_MISMATCH, "the private key belongs to another certificate")


def _name_problems(leaf: x509.Certificate, names: Sequence[str]) -> Iterator[Problem]:
    patterns = subject_alternative_names(leaf)
    missing = [name for name in names if not any(_name_matches(pattern, name) for pattern in patterns)]
    if missing:
        valid = ", ".join(patterns) or "no name"
        yield Problem(ProblemCode.WRONG_NAME, f"the certificate is for {valid}, not for {', '.join(missing)}")


def _name_matches(pattern: str, name: str) -> bool:
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if _is_address(name) or not pattern.startswith("*."):
        return pattern == name
    return name.partition(".")[2] == pattern[2:] and not name.startswith(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _usage_problems(leaf: x509.Certificate) -> Iterator[Problem]:
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return  # no restriction (RFC 5280, 4.2.1.12)
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages):
        text = "the certificate's extended key usage does not include server authentication"
        yield Problem(ProblemCode.NOT_FOR_SERVERS, text)


def _trust_problems(
    chain: Sequence[x509.Certificate], bundle: Sequence[x509.Certificate], at: datetime
) -> Iterator[Problem]:
    leaf, *intermediates = chain
    if not bundle:
        yield Problem(ProblemCode.NOT_SIGNED_BY_BUNDLE, "the CA bundle is empty or not readable as PEM")
    elif not _reaches_anchor(leaf, intermediates, [anchor for anchor in bundle if _is_valid(anchor, at)]):
        authorities = ", ".join(anchor.subject.rfc4514_string() for anchor in bundle)
        issuer = leaf.issuer.rfc4514_string()
        text = f"the certificate was issued by {issuer}; no valid authority of the bundle ({authorities}) signed it"
        if _reaches_anchor(leaf, intermediates, bundle):
            text += "; an expired one did"
        yield Problem(ProblemCode.NOT_SIGNED_BY_BUNDLE, text)


def _reaches_anchor(
    certificate: x509.Certificate, intermediates: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]
) -> bool:
    if certificate in anchors or any(is_signed_by(certificate, anchor) for anchor in anchors):
        return True
    return any(
        is_signed_by(certificate, issuer)
        and _reaches_anchor(issuer, [other for other in intermediates if other != issuer], anchors)
        for issuer in intermediates
    )


def _is_valid(certificate: x509.Certificate, at: datetime) -> bool:
    return certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc


def _strength_problems(leaf: x509.Certificate) -> Iterator[Problem]:
    match leaf.public_key():
        case rsa.RSAPublicKey(key_size=bits) if bits >= _MIN_RSA_BITS:
            pass
        case ec.EllipticCurvePublicKey(key_size=bits) if bits >= _MIN_CURVE_BITS:
            pass
        case ed25519.Ed25519PublicKey():
            pass
        case key:
            size = f" of {key.key_size} bits" if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) else ""
            text = f"the key ({type(key).__name__}{size}) is weaker than RSA 2048 or P-256"
            yield Problem(ProblemCode.WEAK, text)
    if isinstance(leaf.signature_hash_algorithm, SHA1 | MD5):
        text = f"the signature uses {leaf.signature_hash_algorithm.name}, which clients reject"
        yield Problem(ProblemCode.WEAK, text)


def _format_time(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
