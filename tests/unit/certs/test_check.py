"""Checks of certificates: each problem is reported with its stable code."""

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from certs.x509.check import (
    ProblemCode,
    certificate_problems,
    is_trusted,
    pair_problems,
    parse_certificates,
    renewal_time,
)
from certs.x509.issue import KeyPair
from tests.unit.certs.factories import DAY, NAMES, NOW, make_authority, make_leaf

AUTHORITY, OTHER = make_authority(), make_authority()
LEAF = make_leaf(AUTHORITY)


def _self_signed(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> KeyPair:
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
    return KeyPair(
        certificate=builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
        key=pem,
    )


def _codes(
    pair: KeyPair, bundle: bytes | None = AUTHORITY.certificate, names: tuple[str, ...] = NAMES, at: datetime = NOW
) -> list[ProblemCode]:
    return [problem.code for problem in pair_problems(pair, bundle, names, at)]


def _encrypted() -> KeyPair:
    key = serialization.load_pem_private_key(LEAF.key, None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return KeyPair(certificate=LEAF.certificate, key=pem)


def test_valid_pair_has_no_problems() -> None:
    """A new leaf of the bundle's authority has no problem for any of its names."""
    assert _codes(LEAF) == []


@pytest.mark.parametrize(
    ("pair", "code"),
    [
        (KeyPair(certificate=b"", key=LEAF.key), ProblemCode.UNREADABLE),
        (KeyPair(certificate=LEAF.certificate[:200], key=LEAF.key), ProblemCode.UNREADABLE),
        (KeyPair(certificate=LEAF.certificate, key=b"garbage"), ProblemCode.UNREADABLE),
        (KeyPair(certificate=LEAF.key, key=LEAF.certificate), ProblemCode.UNREADABLE),
        (_encrypted(), ProblemCode.UNREADABLE),
        (KeyPair(certificate=LEAF.certificate, key=AUTHORITY.key), ProblemCode.KEY_MISMATCH),
        (make_leaf(AUTHORITY, names=("other.apps.svc",)), ProblemCode.WRONG_NAME),
        (make_leaf(OTHER), ProblemCode.NOT_SIGNED_BY_BUNDLE),
        (make_leaf(AUTHORITY, NOW - 91 * DAY), ProblemCode.EXPIRED),
        (make_leaf(AUTHORITY, NOW - 61 * DAY), ProblemCode.EXPIRING),
        (make_leaf(AUTHORITY, NOW + timedelta(minutes=6)), ProblemCode.NOT_YET_VALID),
    ],
    ids=lambda value: value if isinstance(value, ProblemCode) else "",
)
def test_each_problem_is_reported(pair: KeyPair, code: ProblemCode) -> None:
    """One defect gives one problem, with a sentence that contains no key material."""
    problems = pair_problems(pair, AUTHORITY.certificate, NAMES, NOW)
    assert [problem.code for problem in problems] == [code]
    assert "PRIVATE" not in problems[0].text
    assert problems[0].text


def test_all_problems_are_reported() -> None:
    """A key pair with four defects has four problems."""
    pair = KeyPair(certificate=make_leaf(OTHER, NOW - 91 * DAY).certificate, key=AUTHORITY.key)
    assert _codes(pair, names=("other",)) == [
        ProblemCode.KEY_MISMATCH,
        ProblemCode.EXPIRED,
        ProblemCode.WRONG_NAME,
        ProblemCode.NOT_SIGNED_BY_BUNDLE,
    ]


def test_weak_keys() -> None:
    """RSA below 2048 bits and curves below 256 bits are weak; RSA of 2048 bits is not."""
    weak = _self_signed(rsa.generate_private_key(65537, 1024))  # noqa: S505 - the test needs a weak key
    assert _codes(weak, weak.certificate) == [ProblemCode.WEAK]
    small = _self_signed(ec.generate_private_key(ec.SECP192R1()))
    assert _codes(small, small.certificate) == [ProblemCode.WEAK]
    strong = _self_signed(rsa.generate_private_key(65537, 2048))
    assert _codes(strong, strong.certificate) == []


def test_client_certificate() -> None:
    """An extended key usage without server authentication is a problem."""
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    pair = _self_signed(ec.generate_private_key(ec.SECP256R1()), usage)
    assert _codes(pair, pair.certificate) == [ProblemCode.NOT_FOR_SERVERS]


def test_bundle_with_two_authorities() -> None:
    """A bundle of two authorities trusts the leaves of both, but not of a third one."""
    both = OTHER.certificate + AUTHORITY.certificate
    assert is_trusted(LEAF.certificate, both, NOW)
    assert is_trusted(make_leaf(OTHER).certificate, both, NOW)
    assert not is_trusted(make_leaf(make_authority()).certificate, both, NOW)


def test_expired_authority_is_no_trust_anchor() -> None:
    """A leaf of an expired authority is not signed by the bundle, and the sentence gives the reason."""
    at = NOW + 3651 * DAY
    problems = {problem.code: problem.text for problem in pair_problems(LEAF, AUTHORITY.certificate, NAMES, at)}
    assert "an expired one did" in problems[ProblemCode.NOT_SIGNED_BY_BUNDLE]


def test_intermediates() -> None:
    """A bundle with the root alone trusts a certificate file with a leaf and an intermediate."""
    root_key, intermediate_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, intermediate_name = _name("root"), _name("intermediate")
    root = _authority(root_name, root_name, root_key, root_key)
    intermediate = _authority(intermediate_name, root_name, intermediate_key, root_key)
    pem = intermediate_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    leaf = make_leaf(KeyPair(certificate=intermediate, key=pem)).certificate
    assert is_trusted(leaf + intermediate, root, NOW)
    assert not is_trusted(leaf, root, NOW)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _authority(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> bytes:
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), 7)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 900 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("hook.apps.svc", "HOOK.apps.svc.", True),
        ("*.apps.svc", "hook.apps.svc", True),
        ("*.apps.svc", "a.hook.apps.svc", False),
        ("*.apps.svc", "apps.svc", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
    ],
)
def test_name_matching(pattern: str, name: str, *, matches: bool) -> None:
    """Case and a final dot are ignored, a wildcard matches one label, and addresses must be equal."""
    assert (_codes(make_leaf(AUTHORITY, names=(pattern,)), names=(name,)) == []) is matches


def test_renewal_time() -> None:
    """A 90-day leaf is due after about 60 days; jitter adds at most a tenth of the last third."""
    leaf = parse_certificates(LEAF.certificate)[0]
    assert abs(renewal_time(leaf) - (NOW + 60 * DAY)) < timedelta(minutes=5)
    assert renewal_time(leaf) < renewal_time(leaf, 1.0) < renewal_time(leaf) + 3.01 * DAY


def test_certificate_without_key() -> None:
    """A certificate is checked without its private key, as a client checks it."""
    assert certificate_problems(LEAF.certificate, AUTHORITY.certificate, NAMES, NOW) == ()


@given(certificate=st.binary(max_size=300), key=st.binary(max_size=300), bundle=st.binary(max_size=300))
def test_random_bytes_give_problems(certificate: bytes, key: bytes, bundle: bytes) -> None:
    """Random bytes give problems and never an exception."""
    assert pair_problems(KeyPair(certificate=certificate, key=key), bundle, NAMES, NOW)


@given(cut=st.integers(0, 2000), noise=st.binary(min_size=1, max_size=4))
def test_damaged_certificates_never_raise(cut: int, noise: bytes) -> None:
    """A valid certificate with changed bytes never raises an exception."""
    start = cut % len(LEAF.certificate)
    damaged = LEAF.certificate[:start] + noise + LEAF.certificate[start + len(noise) :]
    pair_problems(KeyPair(certificate=damaged, key=LEAF.key), AUTHORITY.certificate, NAMES, NOW)
