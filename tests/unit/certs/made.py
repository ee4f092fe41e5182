"""Certificates that tests are about, at one fixed instant."""

from datetime import UTC, datetime, timedelta

from certs.issue import Entropy, Pair, authority, leaf
from certs.plan import Material, Part, Renewal, Subject, renew

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NAMES = ("hook.apps.svc", "hook.apps.svc.cluster.local")
SUBJECT = Subject(names=NAMES, authority="hook")
DAY = timedelta(days=1)


def ca(now: datetime = NOW) -> Pair:
    """An authority."""
    return authority("hook", now=now, entropy=Entropy.fresh())


def signed(by: Pair, now: datetime = NOW, names: tuple[str, ...] = NAMES) -> Pair:
    """A leaf."""
    return leaf(by, names, now=now, entropy=Entropy.fresh())


def renewal(at: datetime = NOW, *trusted: bytes) -> Renewal:
    """The circumstances of a renewal."""
    return Renewal(at=at, trusted=trusted, entropy=(Entropy.fresh(), Entropy.fresh()))


def installed(at: datetime = NOW) -> Material:
    """What a first installation stores."""
    return renew(Material(), Part.AUTHORITY, SUBJECT, renewal(at))
