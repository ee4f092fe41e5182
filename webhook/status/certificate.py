"""Whether the API server will trust who answers: `caBundle` against the certificate in the serving Secret."""

import binascii
from base64 import b64decode
from collections.abc import Iterator
from datetime import datetime

from certs.x509 import check
from certs.x509.check import ProblemCode
from webhook.status.installation import Parts, flag, secret_of
from webhook.status.model import Finding
from webhook.status.snapshot import name, namespace
from webhook.workloads.unstructured import (
    Unstructured,
    sequence,
    text,
    texts,
)

# Replicas renew within the first tenth of the last third of a certificate's life; later than that, none does.
_LATEST_RENEWAL = 1.0
_INJECTED = "cert-manager.io/inject-ca-from"


def findings(one: Parts, at: datetime) -> Iterator[Finding]:
    """Everything wrong with trust, and with the certificate where there is one, at an instant."""
    if one.called is None or one.secret is None:
        yield from _bundle_findings(one, at)
    else:
        yield from _secret_findings(one, ".".join(reversed(one.called)) + ".svc", at)


def missing(one: Parts) -> Iterator[Finding]:
    """That there is no serving Secret; only for who could read it."""
    if one.deployment is not None and one.secret is None:
        where = f"secret/{secret_of(one.deployment)}"
        yield Finding(where=where, text=f"is not there, in namespace {namespace(one.deployment)}", mend=one.upgrade)


def _secret_findings(one: Parts, host: str, at: datetime) -> Iterator[Finding]:
    held = served(one)
    found = dict.fromkeys(
        problem for bundle in bundles(one) for problem in check.certificate_problems(held, bundle or b"", [host], at)
    )
    for problem in found:
        if problem.code is not ProblemCode.EXPIRING or _overdue(held, at):
            yield Finding(where=f"secret/{name(one.secret)}", text=problem.text, mend=mend(one))


def served(one: Parts) -> bytes:
    """The certificate chain in the serving Secret, PEM; empty without one."""
    return _decoded(one.secret, "tls.crt")


def expires(one: Parts) -> datetime | None:
    """When the serving certificate ends."""
    chain = check.parse_certificates(served(one))
    return chain[0].not_valid_after_utc if chain else None


def bundles(one: Parts) -> tuple[bytes | None, ...]:
    """What the API server trusts, PEM, for each webhook of the configuration; None where nothing can be decoded."""
    held = (text(webhook, "clientConfig", "caBundle") for webhook in sequence(one.configuration, "webhooks"))
    return tuple(dict.fromkeys(_base64(bundle or "") for bundle in held))


def mend(one: Parts) -> str:
    """The command that renews certificate and trust, by how certificates come."""
    if (injected := texts(one.configuration, "metadata", "annotations").get(_INJECTED)) is not None:
        where, _, certificate = injected.partition("/")
        return f"cmctl renew {certificate} -n {where}"
    if flag(one.deployment, "certs") == "files":
        secret = f"kubectl create secret tls {secret_of(one.deployment)} -n {namespace(one.deployment)}"
        return f"{secret} --cert=tls.crt --key=tls.key --dry-run=client -o yaml | kubectl apply -f -"
    return one.restart


def _bundle_findings(one: Parts, at: datetime) -> Iterator[Finding]:
    """What can be said of `caBundle` alone."""
    command = mend(one) if one.deployment is not None else one.upgrade
    for bundle in bundles(one):
        authorities = check.parse_certificates(bundle or b"")
        if not authorities:
            text_ = "caBundle is empty or no PEM: the API server trusts nobody and every call fails"
            yield Finding(where=one.title, text=text_, mend=command)
        elif all(authority.not_valid_after_utc < at for authority in authorities):
            yield Finding(where=one.title, text="every authority in caBundle has expired", mend=command)


def _overdue(certificate: bytes, at: datetime) -> bool:
    return at > check.renewal_time(check.parse_certificates(certificate)[0], _LATEST_RENEWAL)


def _decoded(secret: Unstructured, key: str) -> bytes:
    return _base64(text(secret, "data", key) or "") or b""


def _base64(written: str) -> bytes | None:
    try:
        return b64decode(written, validate=True)
    except binascii.Error:
        return None
