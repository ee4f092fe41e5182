"""Fixed instants and fixed entropy, so that every certificate of these tests is the same bytes on every run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from certs import issue
from certs.issue import Entropy, Pair
from certs.plan import Material, Part, Renewal, Subject, renew

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = ("hook.apps.svc", "hook.apps.svc.cluster.local")
SUBJECT = Subject(names=NAMES, authority="hook")


def entropy(seed: int) -> Entropy:
    """A key and a serial number that follow from the seed."""
    return Entropy(private=ec.derive_private_key(seed, ec.SECP256R1()), serial=seed << 140)


def authority(seed: int = 1, now: datetime = NOW, lasts: timedelta = issue.AUTHORITY_LASTS) -> Pair:
    """An authority that begins `now`."""
    return issue.authority("hook", now=now, entropy=entropy(seed), lasts=lasts)


def leaf(ca: Pair, seed: int = 2, now: datetime = NOW, lasts: timedelta = issue.LEAF_LASTS) -> Pair:
    """A leaf for `NAMES` that begins `now`."""
    return issue.leaf(ca, NAMES, now=now, entropy=entropy(seed), lasts=lasts)


def renewal(at: datetime = NOW, seed: int = 10, trusted: tuple[bytes, ...] = ()) -> Renewal:
    """The circumstances of a renewal; entropy of `seed` and `seed + 1`."""
    return Renewal(at=at, trusted=trusted, entropy=(entropy(seed), entropy(seed + 1)))


def installed(at: datetime = NOW, seed: int = 10) -> Material:
    """What a first install makes."""
    return renew(Material(), Part.AUTHORITY, SUBJECT, renewal(at, seed))
