"""The rotation's decisions: what is renewed, what stays trusted, what goes live."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs.check import certificates, chains, problems
from certs.issue import Pair
from certs.plan import NOTHING, Due, Material, Part, adopts, bundle, due, forced, renew
from tests.unit.certs.made import DAY, NAMES, NOW, SUBJECT, ca, installed, renewal, signed

GOOD = installed()


def _part(held: Material, at: timedelta = timedelta(), jitter: float = 0.0) -> Part | None:
    found = due(held, SUBJECT, NOW + at, jitter)
    return found.part if found else None


def test_a_first_installation_makes_everything() -> None:
    """From nothing come an authority, a leaf of it and a bundle, with no problem and nothing due."""
    assert due(Material(), SUBJECT, NOW) == Due(Part.AUTHORITY, ("nothing is stored yet",))
    assert problems(GOOD.leaf, GOOD.bundle, NAMES, NOW) == ()
    assert due(GOOD, SUBJECT, NOW) is None


@pytest.mark.parametrize(
    ("held", "part"),
    [
        (replace(GOOD, leaf=NOTHING), Part.LEAF),
        (replace(GOOD, leaf=Pair(certificate=GOOD.leaf.key, key=GOOD.leaf.certificate)), Part.LEAF),
        (replace(GOOD, leaf=Pair(certificate=GOOD.leaf.certificate, key=GOOD.authority.key)), Part.LEAF),
        (replace(GOOD, leaf=signed(ca())), Part.LEAF),
        (replace(GOOD, leaf=signed(GOOD.authority, names=("renamed.apps.svc",))), Part.LEAF),
        (replace(GOOD, authority=NOTHING), Part.AUTHORITY),
        (replace(GOOD, authority=Pair(certificate=GOOD.authority.certificate, key=b"x")), Part.AUTHORITY),
        (replace(GOOD, authority=GOOD.leaf), Part.AUTHORITY),
        (replace(GOOD, bundle=b"garbage"), Part.BUNDLE),
    ],
)
def test_the_least_that_heals_is_renewed(held: Material, part: Part) -> None:
    """A broken leaf keeps its authority, a broken bundle both; only a broken authority takes all with it."""
    needed = due(held, SUBJECT, NOW)
    assert needed is not None
    assert needed.part is part
    healed = renew(held, part, SUBJECT, renewal())
    assert due(healed, SUBJECT, NOW) is None
    assert (healed.authority == GOOD.authority) is (part is not Part.AUTHORITY)


def test_renewal_comes_at_two_thirds_and_waits_for_the_jitter() -> None:
    """A leaf is due after 60 days, or up to three days later as the replica's jitter says; an authority too."""
    assert _part(GOOD, 59 * DAY) is None
    assert _part(GOOD, 61 * DAY) is Part.LEAF
    assert _part(GOOD, 61 * DAY, jitter=1.0) is None
    assert _part(GOOD, 64 * DAY, jitter=1.0) is Part.LEAF
    assert _part(GOOD, 2500 * DAY) is Part.AUTHORITY


def test_the_old_authority_stays_trusted_while_its_leaf_may_be_served() -> None:
    """After a new authority the old leaf is trusted for as long as it lasts, then the old authority goes."""
    rotated = renew(GOOD, Part.AUTHORITY, SUBJECT, renewal(NOW + DAY))
    assert certificates(rotated.bundle)[0] == certificates(rotated.authority.certificate)[0]
    for days in (1, 45, 89):
        assert chains(GOOD.leaf.certificate, rotated.bundle, NOW + days * DAY)
    later = NOW + 92 * DAY
    held = replace(rotated, leaf=signed(rotated.authority, later))
    assert due(held, SUBJECT, later) == Due(
        Part.BUNDLE, ("the bundle is not the current authority and those still in use",)
    )
    assert renew(held, Part.BUNDLE, SUBJECT, renewal(later)).bundle == rotated.authority.certificate


def test_what_is_in_force_is_carried_into_a_new_bundle() -> None:
    """When the Secret is gone, the authority in force stays trusted: others still serve its leaf."""
    fresh = renew(Material(), Part.AUTHORITY, SUBJECT, renewal(NOW, GOOD.bundle))
    assert chains(GOOD.leaf.certificate, fresh.bundle, NOW)
    assert chains(fresh.leaf.certificate, fresh.bundle, NOW)


def test_a_bundle_has_a_limit() -> None:
    """However often an authority is replaced, a bundle holds eight at most, the current one first."""
    held = GOOD
    for minute in range(12):
        held = renew(held, Part.AUTHORITY, SUBJECT, renewal(NOW + timedelta(minutes=minute)))
    assert len(certificates(held.bundle)) == 8
    assert certificates(held.bundle)[0] == certificates(held.authority.certificate)[0]


def test_a_bundle_drops_what_is_expired_or_unreadable() -> None:
    """Garbage and authorities that ran out are not carried."""
    old = ca(NOW - 3651 * DAY)
    assert bundle(GOOD.authority.certificate, [old.certificate, b"garbage"], 90 * DAY, NOW) == GOOD.bundle


def test_a_forced_leaf_of_a_broken_authority_renews_both() -> None:
    """What is asked for grows to what can be done."""
    assert forced(Part.LEAF, GOOD, SUBJECT, NOW).part is Part.LEAF
    assert forced(Part.AUTHORITY, GOOD, SUBJECT, NOW).part is Part.AUTHORITY
    assert forced(Part.LEAF, replace(GOOD, authority=NOTHING), SUBJECT, NOW).part is Part.AUTHORITY


OLD, NEW, SAME = GOOD.leaf, installed().leaf, signed(GOOD.authority)
OLD_CA = GOOD.authority.certificate


def _new() -> tuple[Pair, bytes]:
    rotated = renew(GOOD, Part.AUTHORITY, SUBJECT, renewal())
    return rotated.leaf, rotated.bundle


def test_the_bundle_goes_first_and_the_leaf_follows() -> None:
    """A leaf of a new authority waits until it is trusted in force, and for that to settle."""
    fresh, both = _new()
    assert not adopts(OLD, fresh, (OLD_CA,), NOW, settled=True)
    assert not adopts(OLD, fresh, (both,), NOW, settled=False)
    assert adopts(OLD, fresh, (both,), NOW, settled=True)
    assert not adopts(OLD, fresh, (both, OLD_CA), NOW, settled=True)


def test_a_leaf_goes_live_at_once_where_there_is_nothing_to_lose() -> None:
    """At the start, after its end, and when nobody trusts what is served, the offered leaf is taken."""
    fresh, _ = _new()
    assert adopts(None, fresh, (OLD_CA,), NOW, settled=False)
    assert adopts(OLD, fresh, (OLD_CA,), NOW + 91 * DAY, settled=False)
    assert adopts(OLD, fresh, (b"",), NOW, settled=False)


def test_with_nothing_known_of_the_trust_only_the_same_issuer_is_taken() -> None:
    """Where caBundle may not be read, a leaf of another authority waits for the end of the one served."""
    fresh, _ = _new()
    assert adopts(OLD, SAME, None, NOW, settled=True)
    assert not adopts(OLD, fresh, None, NOW, settled=True)
    assert adopts(OLD, fresh, None, NOW + 91 * DAY, settled=True)


pieces = st.sampled_from(
    [b"", b"garbage", GOOD.leaf.certificate, GOOD.leaf.key, GOOD.authority.certificate, GOOD.authority.key, NEW.key]
)
pairs = st.builds(Pair, certificate=pieces, key=pieces)


@given(held=st.builds(Material, leaf=pairs, authority=pairs, bundle=pieces), days=st.integers(-1, 4000))
def test_one_renewal_heals_anything(held: Material, days: int) -> None:
    """Whatever is stored and whenever: after at most two renewals nothing is due and the leaf has no problem.

    Two, where the leaf and the bundle are due: each pass renews the greatest part and looks again.
    """
    at = NOW + days * DAY
    for _ in range(2):
        if needed := due(held, SUBJECT, at):
            held = renew(held, needed.part, SUBJECT, renewal(at))
    assert due(held, SUBJECT, at) is None
    assert problems(held.leaf, held.bundle, NAMES, at) == ()
