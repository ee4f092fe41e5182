"""What is wrong with a certificate at an instant: every problem as text, never a bare yes or no.

Pure. The judge to please is the API server, so trust is Go's: any certificate of the bundle is an anchor,
the common name counts for nothing (crypto/x509 ``Certificate.Verify``, ``VerifyHostname``).
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

from certs.issue import Pair

RENEWED_AFTER = 2 / 3
"""The part of its life after which a certificate is renewed: 60 of 90 days, so 30 remain to see a fault."""

_RSA_BITS = 2048
_CURVE_BITS = 256


class Code(StrEnum):
    """What kind of problem; stable, for metrics and tests."""

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
    """One thing wrong: a stable code and a sentence for people, which never holds key material."""

    code: Code
    text: str

    @property
    def blocking(self) -> bool:
        """Whether a client would refuse the certificate now. ``expiring`` and ``weak`` are warnings."""
        return self.code not in {Code.EXPIRING, Code.WEAK}


def problems(pair: Pair, bundle: bytes | None, names: Sequence[str], at: datetime) -> tuple[Problem, ...]:
    """Everything wrong with serving ``pair`` as ``names`` to clients that trust ``bundle``.

    Args:
        pair: PEM; the leaf first, intermediates after it.
        bundle: PEM of the trusted authorities; ``None`` leaves trust unjudged.
        names: DNS names or IP addresses that clients will ask for.
        at: the instant to judge for, with a time zone.
    """
    chain = certificates(pair.certificate)
    return (*(_key(chain[0], pair.key) if chain else ()), *presented(pair.certificate, bundle, names, at))


def presented(certificate: bytes, bundle: bytes | None, names: Sequence[str], at: datetime) -> tuple[Problem, ...]:
    """The same for a certificate whose key can't be known, as a client sees it."""
    chain = certificates(certificate)
    if not chain:
        return (Problem(Code.UNREADABLE, "there is no readable PEM certificate"),)
    leaf = chain[0]
    return (
        *period(leaf, at),
        *_names(leaf, names),
        *_purpose(leaf),
        *(() if bundle is None else _trust(chain, certificates(bundle), at)),
        *_strength(leaf),
    )


def certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM file in its order; empty when it has none or any of it can't be read."""
    try:
        return tuple(_parsed(one) for one in x509.load_pem_x509_certificates(pem))
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return ()


def _parsed(certificate: x509.Certificate) -> x509.Certificate:
    """The same; what is parsed on first use is parsed here, so that no later look at it can fail."""
    _ = certificate.extensions, certificate.public_key(), certificate.not_valid_after_utc
    return certificate


def period(certificate: x509.Certificate, at: datetime) -> Iterator[Problem]:
    """Whether a certificate is expired, not yet valid or due for renewal at an instant."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if at > ends:
        yield Problem(Code.EXPIRED, f"the certificate expired on {_day(ends)}")
    elif at < begins:
        yield Problem(Code.NOT_YET_VALID, f"the certificate is valid only from {_day(begins)}; is a clock wrong?")
    elif at >= renewal(certificate):
        yield Problem(Code.EXPIRING, f"the certificate expires on {_day(ends)}, two thirds of its life are over")


def renewal(certificate: x509.Certificate, jitter: float = 0.0) -> datetime:
    """When to renew: after two thirds of the life, and up to a tenth of the last third later.

    Args:
        certificate: whose renewal.
        jitter: 0 to 1; each replica draws its own, so that one renews and the others find it done.
    """
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    share = RENEWED_AFTER + jitter * (1 - RENEWED_AFTER) / 10
    return begins + (ends - begins) * share


def chains(certificate: bytes, bundle: bytes, at: datetime) -> bool:
    """Whether a served PEM certificate (with its intermediates) is trusted by a PEM bundle at an instant."""
    chain = certificates(certificate)
    return bool(chain) and not any(_trust(chain, certificates(bundle), at))


def signs(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether an authority signed a certificate and was allowed to."""
    try:
        certificate.verify_directly_issued_by(authority)
        return authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False


def _key(leaf: x509.Certificate, pem: bytes) -> Iterator[Problem]:
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        yield Problem(Code.UNREADABLE, "there is no readable, unencrypted PEM private key")
        return
    if private.public_key() != leaf.public_key():
        yield Problem(Code.KEY_MISMATCH, "the private key belongs to another certificate")


def _names(leaf: x509.Certificate, names: Sequence[str]) -> Iterator[Problem]:
    held = alternatives(leaf)
    missing = [name for name in names if not any(_covers(pattern, name) for pattern in held)]
    if missing:
        valid = ", ".join(held) or "no name at all"
        yield Problem(Code.WRONG_NAME, f"the certificate is for {valid}, not for {', '.join(missing)}")


def alternatives(leaf: x509.Certificate) -> tuple[str, ...]:
    """The DNS names and IP addresses of a certificate."""
    try:
        held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = held.get_values_for_type(x509.IPAddress)
    return (*held.get_values_for_type(x509.DNSName), *(str(address) for address in addresses))


def _covers(pattern: str, name: str) -> bool:
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


def _purpose(leaf: x509.Certificate) -> Iterator[Problem]:
    try:
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return  # no restriction: any use is allowed (RFC 5280, 4.2.1.12)
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(uses):
        yield Problem(Code.NOT_FOR_SERVERS, "the certificate's extended key usage leaves out server authentication")


def _trust(chain: Sequence[x509.Certificate], bundle: Sequence[x509.Certificate], at: datetime) -> Iterator[Problem]:
    leaf, *between = chain
    if not bundle:
        yield Problem(Code.NOT_SIGNED_BY_BUNDLE, "the CA bundle is empty or not readable as PEM")
    elif not _anchored(leaf, between, [anchor for anchor in bundle if _valid(anchor, at)]):
        held = ", ".join(anchor.subject.rfc4514_string() for anchor in bundle)
        issuer = leaf.issuer.rfc4514_string()
        reason = ", though an expired one did" if _anchored(leaf, between, bundle) else ""
        yield Problem(
            Code.NOT_SIGNED_BY_BUNDLE,
            f"the certificate was issued by {issuer}; no valid authority of the bundle ({held}) signed it{reason}",
        )


def _anchored(
    certificate: x509.Certificate, between: Sequence[x509.Certificate], bundle: Sequence[x509.Certificate]
) -> bool:
    if certificate in bundle or any(signs(anchor, certificate) for anchor in bundle):
        return True
    return any(
        signs(step, certificate) and _anchored(step, [other for other in between if other != step], bundle)
        for step in between
    )


def _valid(certificate: x509.Certificate, at: datetime) -> bool:
    return certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc


def _strength(leaf: x509.Certificate) -> Iterator[Problem]:
    match leaf.public_key():
        case rsa.RSAPublicKey(key_size=bits) if bits >= _RSA_BITS:
            pass
        case ec.EllipticCurvePublicKey(key_size=bits) if bits >= _CURVE_BITS:
            pass
        case ed25519.Ed25519PublicKey():
            pass
        case key:
            size = f" of {key.key_size} bits" if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) else ""
            yield Problem(Code.WEAK, f"the key ({type(key).__name__}{size}) is weaker than RSA 2048 or P-256")
    if isinstance(leaf.signature_hash_algorithm, SHA1 | MD5):
        yield Problem(Code.WEAK, f"the signature uses {leaf.signature_hash_algorithm.name}, which clients refuse")


def _day(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
