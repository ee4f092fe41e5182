"""Every problem of a certificate is found, alone and with its stable code."""

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from certs.check import Code, certificates, chains, presented, problems, renewal
from certs.issue import Pair
from tests.unit.certs.made import DAY, NAMES, NOW, ca, signed

CA = ca()
OTHER = ca()
LEAF = signed(CA)


def _custom(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> Pair:
    name = x509.Name([])
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 90 * DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in NAMES]), critical=True)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Pair(
        certificate=builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
        key=pem,
    )


def _found(
    pair: Pair, bundle: bytes | None = CA.certificate, names: tuple[str, ...] = NAMES, at: datetime = NOW
) -> list[Code]:
    return [problem.code for problem in problems(pair, bundle, names, at)]


def _encrypted() -> Pair:
    key = serialization.load_pem_private_key(LEAF.key, None)
    kept = serialization.BestAvailableEncryption(b"secret")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kept)
    return Pair(certificate=LEAF.certificate, key=pem)


def test_a_good_pair_has_no_problems() -> None:
    """A fresh leaf of the bundle's authority is fine for each of its names."""
    assert _found(LEAF) == []


@pytest.mark.parametrize(
    ("pair", "code"),
    [
        (Pair(certificate=b"", key=LEAF.key), Code.UNREADABLE),
        (Pair(certificate=LEAF.certificate[:200], key=LEAF.key), Code.UNREADABLE),
        (Pair(certificate=LEAF.certificate, key=b"garbage"), Code.UNREADABLE),
        (Pair(certificate=LEAF.key, key=LEAF.certificate), Code.UNREADABLE),
        (_encrypted(), Code.UNREADABLE),
        (Pair(certificate=LEAF.certificate, key=CA.key), Code.KEY_MISMATCH),
        (signed(CA, names=("other.apps.svc",)), Code.WRONG_NAME),
        (signed(OTHER), Code.NOT_SIGNED_BY_BUNDLE),
        (signed(CA, NOW - 91 * DAY), Code.EXPIRED),
        (signed(CA, NOW - 61 * DAY), Code.EXPIRING),
        (signed(CA, NOW + timedelta(minutes=6)), Code.NOT_YET_VALID),
    ],
    ids=lambda value: value if isinstance(value, Code) else "",
)
def test_each_problem_is_found_alone(pair: Pair, code: Code) -> None:
    """One fault gives one problem, with a sentence that holds no key material."""
    found = problems(pair, CA.certificate, NAMES, NOW)
    assert [problem.code for problem in found] == [code]
    assert "PRIVATE" not in found[0].text
    assert found[0].text


def test_several_problems_are_all_found() -> None:
    """A pair that is wrong in four ways is told four problems."""
    pair = Pair(certificate=signed(OTHER, NOW - 91 * DAY).certificate, key=CA.key)
    assert _found(pair, names=("elsewhere",)) == [
        Code.KEY_MISMATCH,
        Code.EXPIRED,
        Code.WRONG_NAME,
        Code.NOT_SIGNED_BY_BUNDLE,
    ]


def test_weak_keys_are_found() -> None:
    """RSA below 2048 bits and curves below 256 bits are weak; RSA of 2048 bits is not."""
    weak = _custom(rsa.generate_private_key(65537, 1024))  # noqa: S505 - weak on purpose
    assert _found(weak, weak.certificate) == [Code.WEAK]
    small = _custom(ec.generate_private_key(ec.SECP192R1()))
    assert _found(small, small.certificate) == [Code.WEAK]
    strong = _custom(rsa.generate_private_key(65537, 2048))
    assert _found(strong, strong.certificate) == []


def test_a_client_certificate_is_not_for_servers() -> None:
    """An extended key usage without server authentication is told."""
    pair = _custom(ec.generate_private_key(ec.SECP256R1()), x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))
    assert _found(pair, pair.certificate) == [Code.NOT_FOR_SERVERS]


def test_a_bundle_may_hold_more_than_one_authority() -> None:
    """While authorities overlap, leaves of both are trusted; of a third they are not."""
    both = OTHER.certificate + CA.certificate
    assert chains(LEAF.certificate, both, NOW)
    assert chains(signed(OTHER).certificate, both, NOW)
    assert not chains(signed(ca()).certificate, both, NOW)


def test_an_expired_authority_is_no_anchor_and_the_text_says_so() -> None:
    """A leaf whose authority ran out is not signed by the bundle, with the reason in the sentence."""
    at = NOW + 3651 * DAY
    found = [one for one in problems(LEAF, CA.certificate, NAMES, at) if one.code is Code.NOT_SIGNED_BY_BUNDLE]
    assert "expired one did" in found[0].text


def test_intermediates_lead_to_the_anchor() -> None:
    """A chain file with an intermediate is trusted by a bundle with the root alone."""
    root_key, step_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root, step = _name("root"), _name("step")
    anchor = _authority(root, root, root_key, root_key)
    between = _authority(step, root, step_key, root_key)
    pem = step_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    last = signed(Pair(certificate=between, key=pem))
    assert chains(last.certificate + between, anchor, NOW)
    assert not chains(last.certificate, anchor, NOW)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _authority(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey
) -> bytes:
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), 7)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 900 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("held", "asked", "covered"),
    [
        ("hook.apps.svc", "HOOK.apps.svc.", True),
        ("*.apps.svc", "hook.apps.svc", True),
        ("*.apps.svc", "a.hook.apps.svc", False),
        ("*.apps.svc", "apps.svc", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
    ],
)
def test_names_match_as_clients_match_them(held: str, asked: str, *, covered: bool) -> None:
    """Case and a final dot don't count, a wildcard stands for one label, addresses are compared whole."""
    assert (_found(signed(CA, names=(held,)), names=(asked,)) == []) is covered


def test_renewal_is_due_after_two_thirds_and_jitter_is_bounded() -> None:
    """A 90-day leaf is renewed after about 60 days, at most a tenth of the last third later."""
    leaf = certificates(LEAF.certificate)[0]
    assert abs(renewal(leaf) - (NOW + 60 * DAY)) < timedelta(minutes=5)
    assert renewal(leaf) < renewal(leaf, 1.0) < renewal(leaf) + 3.01 * DAY


def test_a_certificate_alone_can_be_judged() -> None:
    """What a client sees is judged without the key."""
    assert presented(LEAF.certificate, CA.certificate, NAMES, NOW) == ()


@given(certificate=st.binary(max_size=300), key=st.binary(max_size=300), bundle=st.binary(max_size=300))
def test_garbage_is_judged_and_never_raises(certificate: bytes, key: bytes, bundle: bytes) -> None:
    """Any bytes whatever give problems, never an exception."""
    assert problems(Pair(certificate=certificate, key=key), bundle, NAMES, NOW)


@given(cut=st.integers(0, 2000), noise=st.binary(min_size=1, max_size=4))
def test_damaged_certificates_never_raise(cut: int, noise: bytes) -> None:
    """A good certificate with bytes changed anywhere is judged without an exception."""
    pem = LEAF.certificate
    at = cut % len(pem)
    problems(Pair(certificate=pem[:at] + noise + pem[at + len(noise) :], key=LEAF.key), CA.certificate, NAMES, NOW)
