"""Describe certificates in text for people. Pure; the text contains no key material."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from certs.x509 import check
from certs.x509.issue import KeyPair


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Certificate read from a directory, a Secret or a server; None for the parts that cannot be read there.

    Attributes:
        certificate: PEM.
        key: PEM.
        bundle: PEM CA bundle stored with the certificate.
        published: `caBundle` of each webhook in the webhook configuration, by webhook name.
    """

    certificate: bytes
    key: bytes | None = field(default=None, repr=False)
    bundle: bytes | None = None
    published: Mapping[str, bytes] | None = None


def problem_lines(inspection: Inspection, names: Sequence[str], at: datetime) -> tuple[str, ...]:
    """Return every problem as `code: sentence`."""
    certificate, bundle = inspection.certificate, inspection.bundle
    if inspection.key is None:
        problems = check.certificate_problems(certificate, bundle, names, at)
    else:
        problems = check.pair_problems(KeyPair(certificate=certificate, key=inspection.key), bundle, names, at)
    untrusted = [
        f"not-trusted-by-webhook: the caBundle of {webhook} does not trust the certificate"
        for webhook, published in (inspection.published or {}).items()
        if not check.is_trusted(certificate, published, at)
    ]
    return (*(f"{problem.code}: {problem.text}" for problem in problems), *untrusted)


def description(inspection: Inspection, at: datetime) -> str:
    """Describe the certificate, its issuer, its lifetime and the bundles that trust it."""
    chain = check.parse_certificates(inspection.certificate)
    if not chain:
        return "no readable certificate\n"
    lines = ["certificate", *(f"  {line}" for line in _leaf_lines(chain[0], at))]
    if inspection.bundle is not None:
        lines += ["bundle", *(f"  {line}" for line in _bundle_lines(chain[0], inspection.bundle, at))]
    if inspection.published is not None:
        lines += ["published caBundle", *(f"  {line}" for line in _published_lines(inspection, at))]
    return "\n".join(lines) + "\n"


def _leaf_lines(leaf: x509.Certificate, at: datetime) -> Iterator[str]:
    yield f"names       {', '.join(check.subject_alternative_names(leaf)) or '(none)'}"
    yield f"signed by   {leaf.issuer.rfc4514_string()}"
    yield f"valid       {_lifetime(leaf, at)}"
    yield f"renewed     from {check.renewal_time(leaf):%Y-%m-%d %H:%M} UTC"
    yield f"serial      {leaf.serial_number:x}"


def _bundle_lines(leaf: x509.Certificate, bundle: bytes, at: datetime) -> Iterator[str]:
    for authority in check.parse_certificates(bundle):
        role = "signed the certificate" if check.is_signed_by(leaf, authority) else "retired, for leaves still in use"
        yield f"{authority.subject.rfc4514_string()}  {_lifetime(authority, at)}  {role}"


def _published_lines(inspection: Inspection, at: datetime) -> Iterator[str]:
    for webhook, bundle in (inspection.published or {}).items():
        trusted = check.is_trusted(inspection.certificate, bundle, at)
        verdict = "trusts the certificate" if trusted else "DOES NOT trust the certificate"
        comparison = "same as the bundle" if bundle == inspection.bundle else "differs from the bundle"
        yield f"{webhook}  {verdict}{'' if inspection.bundle is None else ', ' + comparison}"


def _lifetime(certificate: x509.Certificate, at: datetime) -> str:
    not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    remaining = f"{(not_after - at).days} days left" if at <= not_after else "EXPIRED"
    return f"{not_before:%Y-%m-%d %H:%M} to {not_after:%Y-%m-%d %H:%M} UTC, {remaining}"
