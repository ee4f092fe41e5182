"""Findings about the serving certificate: whether `caBundle` trusts it, and its expiry."""

import binascii
from base64 import b64decode
from collections.abc import Iterator
from datetime import datetime
from itertools import chain

from certs.x509 import check
from certs.x509.check import ProblemCode
from webhook.status.installation import InstallationParts, flag, secret_of
from webhook.status.model import Finding
from webhook.status.snapshot import Snapshot, name, namespace
from webhook.workloads.unstructured import text, texts

# Replicas renew a certificate within the first tenth of the last third of its lifetime. 1.0 is the end of that tenth.
_LATEST_RENEWAL = 1.0
_INJECTED = "cert-manager.io/inject-ca-from"


def certificate_findings(parts: InstallationParts, snapshot: Snapshot) -> Iterator[Finding]:
    """Return the findings about the Secret and caBundle of an installation."""
    if parts.deployment is not None and parts.secret is None and snapshot.readable("secrets"):
        message = f"does not exist in namespace {namespace(parts.deployment)}"
        yield Finding(object=f"secret/{secret_of(parts.deployment)}", message=message, fix=parts.upgrade)
    if parts.called is None or parts.secret is None:
        yield from _bundle_findings(parts, snapshot.at)
    else:
        yield from _secret_findings(parts, ".".join(reversed(parts.called)) + ".svc", snapshot.at)


def expires(parts: InstallationParts) -> datetime | None:
    """Return the expiry of the serving certificate; None if it is unknown."""
    certificates = check.parse_certificates(_certificate(parts))
    return certificates[0].not_valid_after_utc if certificates else None


def _secret_findings(parts: InstallationParts, host: str, at: datetime) -> Iterator[Finding]:
    certificate = _certificate(parts)
    problems = (check.certificate_problems(certificate, bundle, [host], at) for bundle in _bundles(parts))
    for problem in dict.fromkeys(chain.from_iterable(problems)):
        if problem.code is not ProblemCode.EXPIRING or _overdue(certificate, at):
            yield Finding(object=f"secret/{name(parts.secret)}", message=problem.text, fix=_renew(parts))


def _bundle_findings(parts: InstallationParts, at: datetime) -> Iterator[Finding]:
    """Return the findings about caBundle without the serving certificate."""
    fix = _renew(parts) if parts.deployment is not None else parts.upgrade
    for bundle in _bundles(parts):
        authorities = check.parse_certificates(bundle)
        if not authorities:
            message = "caBundle is empty or not PEM: the API server trusts no certificate, and every call fails"
            yield Finding(object=parts.title, message=message, fix=fix)
        elif all(authority.not_valid_after_utc < at for authority in authorities):
            yield Finding(object=parts.title, message="every CA certificate in caBundle has expired", fix=fix)


def _renew(parts: InstallationParts) -> str:
    """Return the command that renews the certificate and caBundle, by the installation's certificate mode."""
    if (injected := texts(parts.configuration, "metadata", "annotations").get(_INJECTED)) is not None:
        where, _, certificate = injected.partition("/")
        return f"cmctl renew {certificate} -n {where}"
    if flag(parts.deployment, "certs") == "files":
        secret = f"kubectl create secret tls {secret_of(parts.deployment)} -n {namespace(parts.deployment)}"
        return f"{secret} --cert=tls.crt --key=tls.key --dry-run=client -o yaml | kubectl apply -f -"
    return parts.restart


def _overdue(certificate: bytes, at: datetime) -> bool:
    return at > check.renewal_time(check.parse_certificates(certificate)[0], _LATEST_RENEWAL)


def _certificate(parts: InstallationParts) -> bytes:
    """Return the certificate chain in the Secret, PEM; empty if there is none."""
    return _decode(text(parts.secret, "data", "tls.crt") or "")


def _bundles(parts: InstallationParts) -> tuple[bytes, ...]:
    """Return the caBundle of each webhook, PEM; empty if it cannot be decoded."""
    encoded = (text(webhook, "clientConfig", "caBundle") or "" for webhook in parts.webhooks)
    return tuple(dict.fromkeys(map(_decode, encoded)))


def _decode(encoded: str) -> bytes:
    try:
        return b64decode(encoded, validate=True)
    except binascii.Error:
        return b""
