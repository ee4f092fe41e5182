"""Decisions of the rotation: which part is renewed, which authorities stay trusted, when a certificate is served."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs.x509.check import is_trusted, pair_problems, parse_certificates
from certs.x509.issue import KeyPair
from certs.x509.material import NO_KEY_PAIR, Material, material_from_data
from certs.x509.plan import DueRenewal, Part, due_renewal, forced_renewal, merge_bundle, renew, should_serve
from tests.unit.certs.factories import (
    DAY,
    NAMES,
    NOW,
    SPEC,
    make_authority,
    make_inputs,
    make_leaf,
    make_material,
    rotate_authority,
)

MATERIAL = make_material()
ROTATED = rotate_authority(MATERIAL)
LEAF, AUTHORITY = MATERIAL.leaf, MATERIAL.authority


def _due_part(material: Material, after: timedelta = timedelta(), jitter: float = 0.0) -> Part | None:
    due = due_renewal(material, SPEC, NOW + after, jitter)
    return due.part if due else None


def test_first_installation() -> None:
    """Without stored material, an authority, a leaf and a bundle are issued, and nothing is due afterwards."""
    assert due_renewal(Material(), SPEC, NOW) == DueRenewal(Part.AUTHORITY, ("nothing is stored yet",))
    assert pair_problems(LEAF, MATERIAL.bundle, NAMES, NOW) == ()
    assert due_renewal(MATERIAL, SPEC, NOW) is None


@pytest.mark.parametrize(
    ("material", "part"),
    [
        (replace(MATERIAL, leaf=NO_KEY_PAIR), Part.LEAF),
        (replace(MATERIAL, leaf=KeyPair(certificate=LEAF.key, key=LEAF.certificate)), Part.LEAF),
        (replace(MATERIAL, leaf=KeyPair(certificate=LEAF.certificate, key=AUTHORITY.key)), Part.LEAF),
        (replace(MATERIAL, leaf=make_leaf(make_authority())), Part.LEAF),
        (replace(MATERIAL, leaf=make_leaf(AUTHORITY, names=("renamed.apps.svc",))), Part.LEAF),
        (replace(MATERIAL, authority=NO_KEY_PAIR), Part.AUTHORITY),
        (replace(MATERIAL, authority=KeyPair(certificate=AUTHORITY.certificate, key=b"x")), Part.AUTHORITY),
        (replace(MATERIAL, authority=LEAF), Part.AUTHORITY),
        (replace(MATERIAL, bundle=b"garbage"), Part.BUNDLE),
    ],
)
def test_smallest_renewal(material: Material, part: Part) -> None:
    """An invalid leaf or bundle keeps the authority; an invalid authority renews all parts."""
    due = due_renewal(material, SPEC, NOW)
    assert due is not None
    assert due.part is part
    renewed = renew(material, part, SPEC, make_inputs())
    assert due_renewal(renewed, SPEC, NOW) is None
    assert (renewed.authority == AUTHORITY) is (part is not Part.AUTHORITY)


def test_due_after_two_thirds_plus_jitter() -> None:
    """A leaf is due after 60 days, or up to three days later by the replica's jitter; an authority likewise."""
    assert _due_part(MATERIAL, 59 * DAY) is None
    assert _due_part(MATERIAL, 61 * DAY) is Part.LEAF
    assert _due_part(MATERIAL, 61 * DAY, jitter=1.0) is None
    assert _due_part(MATERIAL, 64 * DAY, jitter=1.0) is Part.LEAF
    assert _due_part(MATERIAL, 2500 * DAY) is Part.AUTHORITY


def test_old_authority_stays_trusted_while_its_leaf_may_be_served() -> None:
    """After a rotation, the old leaf stays trusted until it expires; then the old authority is removed."""
    rotated = rotate_authority(MATERIAL, NOW + DAY)
    assert parse_certificates(rotated.bundle)[0] == parse_certificates(rotated.authority.certificate)[0]
    for days in (1, 45, 89):
        assert is_trusted(LEAF.certificate, rotated.bundle, NOW + days * DAY)
    later = NOW + 92 * DAY
    material = replace(rotated, leaf=make_leaf(rotated.authority, later))
    reason = "the bundle differs from the current authority and those still in use"
    assert due_renewal(material, SPEC, later) == DueRenewal(Part.BUNDLE, (reason,))
    assert renew(material, Part.BUNDLE, SPEC, make_inputs(later)).bundle == rotated.authority.certificate


def test_published_authorities_are_kept() -> None:
    """If the Secret is deleted, the published authority stays trusted: other replicas still serve its leaf."""
    renewed = renew(Material(), Part.AUTHORITY, SPEC, make_inputs(NOW, MATERIAL.bundle))
    assert is_trusted(LEAF.certificate, renewed.bundle, NOW)
    assert is_trusted(renewed.leaf.certificate, renewed.bundle, NOW)


def test_bundle_limit() -> None:
    """A bundle has at most eight authorities, the current one first."""
    material = MATERIAL
    for minute in range(12):
        material = rotate_authority(material, NOW + timedelta(minutes=minute))
    assert len(parse_certificates(material.bundle)) == 8
    assert parse_certificates(material.bundle)[0] == parse_certificates(material.authority.certificate)[0]


def test_bundle_without_expired_or_unreadable_authorities() -> None:
    """Expired authorities and unreadable data are removed from the bundle."""
    expired = make_authority(NOW - 3651 * DAY).certificate
    assert merge_bundle(AUTHORITY.certificate, [expired, b"garbage"], NOW) == MATERIAL.bundle


def test_forced_renewal_includes_an_invalid_authority() -> None:
    """A forced renewal of the leaf renews the authority too if the authority is invalid."""
    assert forced_renewal(Part.LEAF, MATERIAL, SPEC, NOW).part is Part.LEAF
    assert forced_renewal(Part.AUTHORITY, MATERIAL, SPEC, NOW).part is Part.AUTHORITY
    assert forced_renewal(Part.LEAF, replace(MATERIAL, authority=NO_KEY_PAIR), SPEC, NOW).part is Part.AUTHORITY


def test_bundle_first_leaf_second() -> None:
    """A leaf of a new authority is served once every published bundle trusts it and has propagated."""
    old, new = AUTHORITY.certificate, ROTATED.bundle
    assert not should_serve(LEAF, ROTATED.leaf, (old,), NOW, propagated=True)
    assert not should_serve(LEAF, ROTATED.leaf, (new,), NOW, propagated=False)
    assert should_serve(LEAF, ROTATED.leaf, (new,), NOW, propagated=True)
    assert not should_serve(LEAF, ROTATED.leaf, (new, old), NOW, propagated=True)


def test_leaf_is_served_at_once_if_calls_fail_anyway() -> None:
    """Without a served leaf, or if it is expired or not trusted, the new leaf is served at once."""
    assert should_serve(None, ROTATED.leaf, (AUTHORITY.certificate,), NOW, propagated=False)
    assert should_serve(LEAF, ROTATED.leaf, (AUTHORITY.certificate,), NOW + 91 * DAY, propagated=False)
    assert should_serve(LEAF, ROTATED.leaf, (b"",), NOW, propagated=False)


def test_unknown_published_bundles() -> None:
    """If caBundle cannot be read, a leaf of another authority is served only after the old leaf expired."""
    assert should_serve(LEAF, make_leaf(AUTHORITY), None, NOW, propagated=True)
    assert not should_serve(LEAF, ROTATED.leaf, None, NOW, propagated=True)
    assert should_serve(LEAF, ROTATED.leaf, None, NOW + 91 * DAY, propagated=True)


fragments = st.sampled_from(
    [b"", b"garbage", LEAF.certificate, LEAF.key, AUTHORITY.certificate, AUTHORITY.key, ROTATED.leaf.key]
)
pairs = st.builds(KeyPair, certificate=fragments, key=fragments)


@given(material=st.builds(Material, leaf=pairs, authority=pairs, bundle=fragments), days=st.integers(-1, 4000))
def test_any_material_is_repaired(material: Material, days: int) -> None:
    """After at most two renewals nothing is due and the leaf has no problem, for any stored material at any time.

    Two are needed if the leaf and the bundle are due: each pass renews one part.
    """
    at = NOW + days * DAY
    for _ in range(2):
        if due := due_renewal(material, SPEC, at):
            material = renew(material, due.part, SPEC, make_inputs(at))
    assert due_renewal(material, SPEC, at) is None
    assert pair_problems(material.leaf, material.bundle, NAMES, at) == ()


def test_invalid_secret_data() -> None:
    """Unreadable data of a Secret is kept as it is; the authority needs a certificate and its key."""
    assert material_from_data({}) == Material()
    material = material_from_data({"ca.crt": b"\xff\x00", "ca.key": AUTHORITY.key, "tls.crt": b"x"})
    assert material.authority.certificate == b""
    assert material.leaf.certificate == b"x"


def test_current_authority_of_a_bundle() -> None:
    """The current authority of a bundle is the one that `ca.key` belongs to."""
    data = {"ca.crt": MATERIAL.bundle + ROTATED.authority.certificate, "ca.key": ROTATED.authority.key}
    assert material_from_data(data).authority == ROTATED.authority
