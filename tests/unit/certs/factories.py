"""Factories of certificates with fixed validity. `NOW` is in the future, so a test that uses the real clock fails."""

from datetime import UTC, datetime, timedelta

from certs.x509.issue import Entropy, KeyPair, issue_authority, issue_leaf
from certs.x509.material import Material
from certs.x509.plan import CertificateSpec, Part, RenewalInputs, renew

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = ("hook.apps.svc", "hook.apps.svc.cluster.local")
SPEC = CertificateSpec(names=NAMES, authority_name="hook")


def make_authority(now: datetime = NOW) -> KeyPair:
    """Issue an authority."""
    return issue_authority("hook", now=now, entropy=Entropy.fresh())


def make_leaf(authority: KeyPair, now: datetime = NOW, names: tuple[str, ...] = NAMES) -> KeyPair:
    """Issue a leaf certificate."""
    return issue_leaf(authority, names, now=now, entropy=Entropy.fresh())


def make_inputs(at: datetime = NOW, *trusted: bytes) -> RenewalInputs:
    """Return the inputs of a renewal."""
    return RenewalInputs(at=at, trusted=trusted, entropy=(Entropy.fresh(), Entropy.fresh()))


def make_material(at: datetime = NOW) -> Material:
    """Return the material of a first installation."""
    return renew(Material(), Part.AUTHORITY, SPEC, make_inputs(at))


def rotate_authority(material: Material, at: datetime = NOW) -> Material:
    """Renew the authority."""
    return renew(material, Part.AUTHORITY, SPEC, make_inputs(at))
