"""Certificates in words, for people. Pure; holds no key material."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from certs.check import alternatives, certificates, chains, presented, problems, renewal, signs
from certs.issue import Pair


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found somewhere; ``None`` is what could not be known there."""

    certificate: bytes
    key: bytes | None = field(default=None, repr=False)
    bundle: bytes | None = None
    in_force: Mapping[str, bytes] | None = None
    """By webhook, the ``caBundle`` of the configuration."""


def problem_lines(found: Findings, names: Sequence[str], at: datetime) -> tuple[str, ...]:
    """Every problem as ``code: sentence``."""
    if found.key is None:
        listed = presented(found.certificate, found.bundle, names, at)
    else:
        listed = problems(Pair(certificate=found.certificate, key=found.key), found.bundle, names, at)
    lines = [f"{problem.code}: {problem.text}" for problem in listed]
    for webhook, bundle in (found.in_force or {}).items():
        if not chains(found.certificate, bundle, at):
            lines.append(f"not-trusted-in-force: the caBundle of {webhook} does not trust the certificate")
    return tuple(lines)


def description(found: Findings, at: datetime) -> str:
    """What is served, who signed it, how long it lasts, and who trusts it."""
    chain = certificates(found.certificate)
    if not chain:
        return "no readable certificate\n"
    lines = ["certificate", *(f"  {line}" for line in _leaf(chain[0], at))]
    if found.bundle is not None:
        lines += ["bundle", *(f"  {line}" for line in _bundle(chain[0], found.bundle, at))]
    if found.in_force is not None:
        lines += ["caBundle in force", *(f"  {line}" for line in _in_force(found, at))]
    return "\n".join(lines) + "\n"


def _leaf(leaf: x509.Certificate, at: datetime) -> Iterator[str]:
    yield f"names       {', '.join(alternatives(leaf)) or '(none)'}"
    yield f"signed by   {leaf.issuer.rfc4514_string()}"
    yield f"valid       {_span(leaf, at)}"
    yield f"renewed     from {renewal(leaf):%Y-%m-%d %H:%M} UTC"
    yield f"serial      {leaf.serial_number:x}"


def _bundle(leaf: x509.Certificate, bundle: bytes, at: datetime) -> Iterator[str]:
    for authority in certificates(bundle):
        part = "signed the certificate" if signs(authority, leaf) else "retired: kept for leaves still in use"
        yield f"{authority.subject.rfc4514_string()}  {_span(authority, at)}  {part}"


def _in_force(found: Findings, at: datetime) -> Iterator[str]:
    for webhook, bundle in (found.in_force or {}).items():
        trusts = "trusts the certificate" if chains(found.certificate, bundle, at) else "DOES NOT trust the certificate"
        same = "the same as the bundle" if bundle == found.bundle else "other than the bundle"
        yield f"{webhook}  {trusts}{'' if found.bundle is None else ', ' + same}"


def _span(certificate: x509.Certificate, at: datetime) -> str:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    left = f"{(ends - at).days} days left" if at <= ends else "EXPIRED"
    return f"{begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC, {left}"
