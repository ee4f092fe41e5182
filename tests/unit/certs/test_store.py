"""Files: private from their first byte, replaced whole, and read as one version."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from certs.check import problems
from certs.plan import Material, Part, renew
from certs.store import Directory, Files, material, write_private
from tests.unit.certs.material import NAMES, NOW, SUBJECT, installed, renewal


def test_a_folder_gives_back_what_was_written(tmp_path: Path) -> None:
    """Whole material survives a folder, and an empty folder is nothing at all."""
    folder = Directory(tmp_path / "tls")
    assert folder.read().material == Material()
    folder.write(installed())
    assert folder.read().material == installed()


def test_files_are_private(tmp_path: Path) -> None:
    """Every file has mode 0600, also where a file with an open mode was before."""
    loose = tmp_path / "tls.key"
    loose.write_bytes(b"old")
    loose.chmod(0o666)
    Directory(tmp_path).write(installed())
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    assert {file.name for file in tmp_path.iterdir()} == {"tls.crt", "tls.key", "ca.crt", "ca.key"}


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """A reader sees the old content or the new, never a part, and an open file keeps the old."""
    path, contents = tmp_path / "file", [bytes([letter]) * 100_000 for letter in b"ab"]
    write_private(path, contents[0])
    seen: set[bytes] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=watch)
    reader.start()
    with path.open("rb") as old:
        for turn in range(50):
            write_private(path, contents[turn % 2])
        assert old.read() == contents[0]
    done.set()
    reader.join()
    assert seen <= set(contents)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """The old file stays, and no half-written key lies beside it."""
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        write_private(tmp_path / "file", b"secret")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def mount(folder: Path, version: str, held: Material) -> Files:
    """Put a version of a Secret there as the kubelet does: a new folder, and one link swapped to it."""
    Directory(folder / version).write(held)
    link = folder / "..tmp"
    link.symlink_to(version)
    link.replace(folder / "..data")
    for name in ("tls.crt", "tls.key", "ca.crt"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    return Files(certificate=folder / "tls.crt", key=folder / "tls.key", bundle=folder / "ca.crt")


def test_a_mounted_secret_is_read_again_after_its_swap(tmp_path: Path) -> None:
    """After the swap of the symbolic link the next read is the new version, key and all."""
    old = installed()
    new = renew(old, Part.LEAF, SUBJECT, renewal(seed=20))
    assert mount(tmp_path, "..1", old).read() == (old.leaf, old.bundle)
    assert mount(tmp_path, "..2", new).read() == (new.leaf, new.bundle)


def test_a_swap_during_a_read_tears_no_pair(tmp_path: Path) -> None:
    """Whatever moment the link is swapped at, certificate and key are of one version."""
    versions = [installed(), renew(installed(), Part.LEAF, SUBJECT, renewal(seed=20))]
    for number, held in enumerate(versions):
        files = mount(tmp_path, f"..{number}", held)
    done = threading.Event()

    def swap() -> None:
        turn = 0
        while not done.wait(0.001):  # hundreds of times more often than any kubelet
            turn += 1
            (tmp_path / "..tmp").symlink_to(f"..{turn % 2}")
            (tmp_path / "..tmp").replace(tmp_path / "..data")

    swapping = threading.Thread(target=swap)
    swapping.start()
    pairs = [files.read()[0] for _ in range(200)]
    done.set()
    swapping.join()
    assert set(pairs) <= {held.leaf for held in versions}


def test_a_missing_bundle_is_no_error(tmp_path: Path) -> None:
    """Who mounts a pair alone gets it judged without trust."""
    Directory(tmp_path).write(installed())
    files = Files(certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key", bundle=tmp_path / "none.crt")
    pair, bundle = files.read()
    assert bundle is None
    assert not problems(pair, bundle, NAMES, NOW)


def test_a_secret_with_garbage_is_missing_parts() -> None:
    """What can't be read is kept as it is and never raises; the authority needs both its parts."""
    held = installed()
    assert material({}) == Material()
    found = material({"ca.crt": b"\xff\x00", "ca.key": held.authority.key, "tls.crt": b"x"})
    assert found.authority.certificate == b""
    assert found.leaf.certificate == b"x"


def test_the_authority_of_a_bundle_is_the_one_of_the_key() -> None:
    """Retired authorities stand in the same bundle: the key says which one is current."""
    held = renew(installed(), Part.AUTHORITY, SUBJECT, renewal(seed=20))
    data = {"ca.crt": installed().bundle + held.authority.certificate, "ca.key": held.authority.key}
    assert material(data).authority == held.authority
