"""Certificate files: private, replaced atomically, and read as one version."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from certs.rotation.files import CertificateDirectory, MountedFiles, write_private_file
from certs.x509.check import pair_problems
from certs.x509.material import Material
from certs.x509.plan import Part, renew
from tests.unit.certs.factories import NAMES, NOW, SPEC, make_inputs, make_material


def test_directory_round_trip(tmp_path: Path) -> None:
    """A directory returns the material that was written, and no material if it is empty."""
    directory, material = CertificateDirectory(tmp_path / "tls"), make_material()
    assert directory.read().material == Material()
    directory.write(material)
    assert directory.read().material == material


def test_files_are_private(tmp_path: Path) -> None:
    """Every file has mode 0600, also if it replaces a file with another mode."""
    existing = tmp_path / "tls.key"
    existing.write_bytes(b"old")
    existing.chmod(0o666)
    CertificateDirectory(tmp_path).write(make_material())
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    assert {file.name for file in tmp_path.iterdir()} == {"tls.crt", "tls.key", "ca.crt", "ca.key"}


def test_atomic_replacement(tmp_path: Path) -> None:
    """A reader gets the old or the new content, never a mixture; an open file keeps the old content."""
    path, contents = tmp_path / "file", [bytes([letter]) * 100_000 for letter in b"ab"]
    write_private_file(path, contents[0])
    seen: set[bytes] = set()
    done = threading.Event()

    def read_repeatedly() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read_repeatedly)
    reader.start()
    with path.open("rb") as old:
        for version in range(50):
            write_private_file(path, contents[version % 2])
        assert old.read() == contents[0]
    done.set()
    reader.join()
    assert seen <= set(contents)


def test_failed_write(tmp_path: Path) -> None:
    """A write that fails leaves no temporary file with key material."""
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        write_private_file(tmp_path / "file", b"secret")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def mount(directory: Path, version: str, material: Material) -> MountedFiles:
    """Mount a version of a Secret as the kubelet does: write a new directory and replace one symbolic link."""
    CertificateDirectory(directory / version).write(material)
    link = directory / "..tmp"
    link.symlink_to(version)
    link.replace(directory / "..data")
    for name in ("tls.crt", "tls.key", "ca.crt"):
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(Path("..data") / name)
    return MountedFiles(certificate=directory / "tls.crt", key=directory / "tls.key", bundle=directory / "ca.crt")


def test_mounted_secret_after_an_update(tmp_path: Path) -> None:
    """After the symbolic link is replaced, the next read returns the new version."""
    old = make_material()
    new = renew(old, Part.LEAF, SPEC, make_inputs())
    assert mount(tmp_path, "..1", old).read() == (old.leaf, old.bundle)
    assert mount(tmp_path, "..2", new).read() == (new.leaf, new.bundle)


def test_update_during_a_read(tmp_path: Path) -> None:
    """The certificate and the key are of one version, also if the link is replaced between the two reads."""
    versions = [make_material() for _ in range(3)]
    updates = iter(versions[1:])

    class UpdatedKey(type(tmp_path)):  # type: ignore[misc] # the platform's Path
        """Key file whose read follows an update of the mount."""

        def read_bytes(self) -> bytes:
            """Mount the next version, then read."""
            if (material := next(updates, None)) is not None:
                mount(tmp_path, f"..{versions.index(material)}", material)
            return super().read_bytes()

    files = mount(tmp_path, "..0", versions[0])
    pair, bundle = MountedFiles(certificate=files.certificate, key=UpdatedKey(files.key), bundle=files.bundle).read()
    assert (pair, bundle) == (versions[2].leaf, versions[2].bundle)


def test_missing_bundle(tmp_path: Path) -> None:
    """A key pair without a bundle is read, and checked without trust."""
    CertificateDirectory(tmp_path).write(make_material())
    files = MountedFiles(certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key", bundle=tmp_path / "none.crt")
    pair, bundle = files.read()
    assert bundle is None
    assert not pair_problems(pair, bundle, NAMES, NOW)
