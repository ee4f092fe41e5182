"""What to renew, what to trust and what to serve: the decisions of the rotation, pure.

The order that loses no call is one rule: *the bundle goes first, the leaf follows*. Whoever renews stores the
new authority, the new leaf and a bundle of old and new authorities at once; every replica goes on serving
what it has until the bundle in force trusts the new leaf.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs import issue
from certs.check import Code, Problem, certificates, chains, period, problems, renewal
from certs.issue import BACKDATED, Entropy, Pair

NOTHING = Pair(certificate=b"", key=b"")

_AUTHORITIES_KEPT = 8
"""A bundle's limit: eight forced rotations within the life of one leaf, about 5 KiB."""


class Part(StrEnum):
    """What is renewed; an authority brings a new leaf with it."""

    AUTHORITY = "authority"
    LEAF = "leaf"
    BUNDLE = "bundle"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the certificates are for."""

    names: tuple[str, ...]
    authority: str = "certs"
    authority_lasts: timedelta = issue.AUTHORITY_LASTS
    leaf_lasts: timedelta = issue.LEAF_LASTS


@dataclass(frozen=True, kw_only=True)
class Material:
    """What the replicas share; any part may be missing or broken, which ``due`` finds out.

    ``bundle`` is PEM: the current authority first, then retired ones.
    """

    leaf: Pair = NOTHING
    authority: Pair = NOTHING
    bundle: bytes = field(default=b"")


@dataclass(frozen=True)
class Due:
    """A part that has to be renewed now, and why."""

    part: Part
    reasons: tuple[str, ...]


def due(held: Material, subject: Subject, at: datetime, jitter: float = 0.0) -> Due | None:
    """What has to be renewed at an instant, the greater part first; ``None`` when all is well."""
    if held == Material():
        return Due(Part.AUTHORITY, ("nothing is stored yet",))
    if reasons := _reasons(problems(held.authority, None, (), at), held.authority, at, jitter):
        return Due(Part.AUTHORITY, reasons)
    if not issue.can_sign(held.authority):
        return Due(Part.AUTHORITY, ("the authority is not one that could sign a new leaf",))
    found = problems(held.leaf, held.authority.certificate, subject.names, at)
    if reasons := _reasons(found, held.leaf, at, jitter):
        return Due(Part.LEAF, reasons)
    if held.bundle != bundle(held.authority.certificate, [held.bundle], subject.leaf_lasts, at):
        return Due(Part.BUNDLE, ("the bundle is not the current authority and those still in use",))
    return None


def forced(part: Part, held: Material, subject: Subject, at: datetime) -> Due:
    """A renewal that somebody asked for, or a greater one where the part can't be renewed alone."""
    needed = due(held, subject, at)
    if needed is not None and needed.part is Part.AUTHORITY:
        return needed
    return Due(part, ("asked for",))


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """The circumstances of a renewal: the instant, what was trusted so far, and the randomness."""

    at: datetime
    trusted: Sequence[bytes] = ()
    entropy: tuple[Entropy, Entropy]


def renew(held: Material, part: Part, subject: Subject, renewal: Renewal) -> Material:
    """Renew a part, keeping in the bundle every authority whose leaf a replica may still serve."""
    at, (first, second) = renewal.at, renewal.entropy
    authority = held.authority
    if part is Part.AUTHORITY:
        authority = issue.authority(subject.authority, now=at, entropy=first, lasts=subject.authority_lasts)
    leaf = held.leaf
    if part is not Part.BUNDLE:
        leaf = issue.leaf(authority, subject.names, now=at, entropy=second, lasts=subject.leaf_lasts)
    trusted = bundle(authority.certificate, [held.bundle, *renewal.trusted], subject.leaf_lasts, at)
    return Material(leaf=leaf, authority=authority, bundle=trusted)


def bundle(authority: bytes, trusted: Iterable[bytes], leaf_lasts: timedelta, at: datetime) -> bytes:
    """The current authority, then those retired ones that a leaf still in use may come from, newest first.

    No leaf was signed by an older authority after the current one began, so when the current one is as old
    as a leaf can get, no replica can be serving such a leaf and the others go.
    """
    current = certificates(authority)[0]
    in_use = at < current.not_valid_before_utc + BACKDATED + leaf_lasts
    others = {one for pem in trusted for one in certificates(pem)} - {current} if in_use else set()
    living = [one for one in others if at <= one.not_valid_after_utc]
    living.sort(key=lambda one: (one.not_valid_before_utc, one.serial_number), reverse=True)
    return b"".join(one.public_bytes(Encoding.PEM) for one in [current, *living[: _AUTHORITIES_KEPT - 1]])


def trusted(certificate: bytes, in_force: Sequence[bytes], at: datetime) -> bool:
    """Whether every bundle in force trusts a certificate; true when nobody calls."""
    return all(chains(certificate, one, at) for one in in_force)


def adopts(
    served: Pair | None, offered: Pair, in_force: Sequence[bytes] | None, at: datetime, *, settled: bool
) -> bool:
    """Whether to serve an offered pair now rather than what is served.

    ``settled`` says that what is in force has been so for long enough to have reached every API server.

    ============================ =====================================================
    served                       the offered one goes live
    ============================ =====================================================
    nothing, or out of its time  at once
    anything                     when every bundle in force trusts it and has settled
    not trusted in force         at once: there is nothing to lose
    unknown what is in force     when it has the issuer of the one served
    ============================ =====================================================
    """
    if served is None or any(problem.blocking for problem in period(_leaf(served), at)):
        return True
    if in_force is None:
        return [_leaf(served).issuer] == [one.issuer for one in certificates(offered.certificate)[:1]]
    if trusted(served.certificate, in_force, at):
        return settled and trusted(offered.certificate, in_force, at)
    return True


def _leaf(pair: Pair) -> x509.Certificate:
    return certificates(pair.certificate)[0]


def _reasons(found: Iterable[Problem], pair: Pair, at: datetime, jitter: float) -> tuple[str, ...]:
    return tuple(
        problem.text for problem in found if problem.code is not Code.EXPIRING or at >= renewal(_leaf(pair), jitter)
    )
