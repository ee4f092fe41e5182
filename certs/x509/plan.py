"""Decisions of the rotation: which part to renew, which authorities to trust, when to serve a new certificate.

Pure. One rule keeps every call working during a rotation: publish the CA bundle first, serve the leaf second. A renewal
stores the new authority, the new leaf and a bundle of old and new authorities at once. Each replica serves its old
leaf until the published bundle trusts the new one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.x509 import issue
from certs.x509.check import ProblemCode, is_trusted, pair_problems, parse_certificates, renewal_time, validity_problems
from certs.x509.issue import BACKDATE, LEAF_LIFETIME, Entropy, KeyPair
from certs.x509.material import Material

_MAX_AUTHORITIES = 8
"""Limit of a bundle: eight forced rotations within the lifetime of one leaf, about 5 KiB."""


class Part(StrEnum):
    """Part of the material to renew. A new authority includes a new leaf."""

    AUTHORITY = "authority"
    LEAF = "leaf"
    BUNDLE = "bundle"


@dataclass(frozen=True, kw_only=True)
class CertificateSpec:
    """Names of the certificates to issue. The API server verifies the first one."""

    names: tuple[str, ...]
    authority_name: str = "certs"


@dataclass(frozen=True)
class DueRenewal:
    """Part to renew now, with the reasons."""

    part: Part
    reasons: tuple[str, ...]


def due_renewal(material: Material, spec: CertificateSpec, at: datetime, jitter: float = 0.0) -> DueRenewal | None:
    """Return the renewal that is due: of the authority, else of the leaf, else of the bundle; None if none is."""
    authority, leaf = material.authority, material.leaf
    if material == Material():
        return DueRenewal(Part.AUTHORITY, ("nothing is stored yet",))
    if reasons := _renewal_reasons(authority, None, (), at, jitter):
        return DueRenewal(Part.AUTHORITY, reasons)
    if not issue.can_sign(authority):
        return DueRenewal(Part.AUTHORITY, ("the authority cannot sign a new leaf",))
    if reasons := _renewal_reasons(leaf, authority.certificate, spec.names, at, jitter):
        return DueRenewal(Part.LEAF, reasons)
    if material.bundle != merge_bundle(authority.certificate, [material.bundle], at):
        return DueRenewal(Part.BUNDLE, ("the bundle differs from the current authority and those still in use",))
    return None


def forced_renewal(part: Part, material: Material, spec: CertificateSpec, at: datetime) -> DueRenewal:
    """Return a requested renewal, extended to the authority if the authority is due."""
    due = due_renewal(material, spec, at)
    return due if due is not None and due.part is Part.AUTHORITY else DueRenewal(part, ("requested",))


@dataclass(frozen=True, kw_only=True)
class RenewalInputs:
    """Inputs of a renewal: the time, the bundles that clients trust until now, and randomness."""

    at: datetime
    trusted: Sequence[bytes] = ()
    entropy: tuple[Entropy, Entropy]


def renew(material: Material, part: Part, spec: CertificateSpec, inputs: RenewalInputs) -> Material:
    """Renew a part. The bundle keeps every authority whose leaf a replica may still serve."""
    at, (authority_entropy, leaf_entropy) = inputs.at, inputs.entropy
    authority, leaf = material.authority, material.leaf
    if part is Part.AUTHORITY:
        authority = issue.issue_authority(spec.authority_name, now=at, entropy=authority_entropy)
    if part is not Part.BUNDLE:
        leaf = issue.issue_leaf(authority, spec.names, now=at, entropy=leaf_entropy)
    bundle = merge_bundle(authority.certificate, [material.bundle, *inputs.trusted], at)
    return Material(leaf=leaf, authority=authority, bundle=bundle)


def merge_bundle(authority: bytes, trusted: Iterable[bytes], at: datetime) -> bytes:
    """Return the current authority, followed by the retired ones whose leaves may be in use, newest first.

    A retired authority signs no leaf after the current one is issued. Once the current authority is older than the
    lifetime of a leaf, no replica can serve a leaf of a retired one, so the retired ones are removed.
    """
    current = parse_certificates(authority)[0]
    in_use = at < current.not_valid_before_utc + BACKDATE + LEAF_LIFETIME
    retired = {certificate for pem in trusted for certificate in parse_certificates(pem)} - {current} if in_use else ()
    valid = [certificate for certificate in retired if at <= certificate.not_valid_after_utc]
    valid.sort(key=lambda certificate: (certificate.not_valid_before_utc, certificate.serial_number), reverse=True)
    kept = [current, *valid[: _MAX_AUTHORITIES - 1]]
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in kept)


def should_serve(
    served: KeyPair | None, candidate: KeyPair, published: Sequence[bytes] | None, at: datetime, *, propagated: bool
) -> bool:
    """Return whether to replace the served key pair by a candidate now.

    `propagated`: the published bundles are old enough to have reached every API server.

    ====================================== ====================================================
    served                                 serve the candidate
    ====================================== ====================================================
    nothing, or outside its validity       at once
    trusted by every published bundle      when the candidate is trusted too, and `propagated`
    not trusted by some published bundle   at once: calls fail already
    anything, published bundles unknown    if the candidate has the same issuer
    ====================================== ====================================================
    """
    if served is None or any(problem.blocking for problem in validity_problems(_first_certificate(served), at)):
        return True
    if published is None:
        issuers = [certificate.issuer for certificate in parse_certificates(candidate.certificate)[:1]]
        return issuers == [_first_certificate(served).issuer]
    if all(is_trusted(served.certificate, bundle, at) for bundle in published):
        return propagated and all(is_trusted(candidate.certificate, bundle, at) for bundle in published)
    return True


def _first_certificate(pair: KeyPair) -> x509.Certificate:
    return parse_certificates(pair.certificate)[0]


def _renewal_reasons(
    pair: KeyPair, bundle: bytes | None, names: Sequence[str], at: datetime, jitter: float
) -> tuple[str, ...]:
    return tuple(
        problem.text
        for problem in pair_problems(pair, bundle, names, at)
        if problem.code is not ProblemCode.EXPIRING or at >= renewal_time(_first_certificate(pair), jitter)
    )
