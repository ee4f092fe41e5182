"""`python -m certs` as people type it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certs.__main__ import main
from certs.issue import Pair
from certs.plan import Material
from certs.store import Directory
from tests.unit.certs.material import NOW, installed

if TYPE_CHECKING:
    from pathlib import Path


class Terminal:
    """Runs commands in this process; what they wrote is in `out` and `err`."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        """Take what pytest captures."""
        self._capture = capture
        self.out = self.err = ""

    def __call__(self, *arguments: str | Path) -> int:
        """Run a command; its exit status."""
        with pytest.raises(SystemExit) as ended:
            main([str(each) for each in arguments])
        self.out, self.err = self._capture.readouterr()
        return int(ended.value.code or 0)


@pytest.fixture
def certs(capsys: pytest.CaptureFixture[str]) -> Terminal:
    """A terminal."""
    return Terminal(capsys)


def test_issue_check_show(certs: Terminal, tmp_path: Path) -> None:
    """A folder of certificates is made, found sound, described, and not made again."""
    folder = tmp_path / "tls"
    assert certs("issue", folder, "--name", "localhost", "--name", "127.0.0.1") == 0
    assert certs.out == "renewed the authority: nothing is stored yet\n"
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert certs("check", folder, "--name", "localhost") == 0
    assert certs.out == "no problems\n"
    assert certs("show", folder) == 0
    for words in ("localhost, 127.0.0.1", "signed by   CN=localhost ", "89 days left", "signed the certificate"):
        assert words in certs.out
    assert certs("issue", folder, "--name", "localhost") == 0
    assert certs.out.startswith("nothing is due")


@pytest.mark.parametrize(("part", "authority_stays"), [("leaf", True), ("authority", False)])
def test_issue_by_force(certs: Terminal, tmp_path: Path, part: str, *, authority_stays: bool) -> None:
    """A forced renewal replaces that part though it is not due, and keeps the old authority trusted."""
    certs("issue", tmp_path, "--name", "localhost")
    before = Directory(tmp_path).read().material
    assert certs("issue", tmp_path, "--name", "localhost", "--force", part) == 0
    after = Directory(tmp_path).read().material
    assert after.leaf != before.leaf
    assert (after.authority == before.authority) is authority_stays
    assert before.authority.certificate in after.bundle


def test_check_lists_every_problem(certs: Terminal, tmp_path: Path) -> None:
    """Exit status 1, and one line for each problem that starts with its code."""
    held = installed(NOW)
    broken = Pair(certificate=held.leaf.certificate, key=held.authority.key)
    Directory(tmp_path).write(Material(leaf=broken, bundle=b""))
    assert certs("check", tmp_path, "--name", "else.apps.svc") == 1
    listed = [line.partition(":")[0] for line in certs.out.splitlines()]
    assert {"key-mismatch", "wrong-name"} <= set(listed)


def test_an_empty_folder(certs: Terminal, tmp_path: Path) -> None:
    """Nothing there is said, not raised."""
    assert certs("show", tmp_path) == 0
    assert certs.out == "no readable certificate\n"
    assert certs("check", tmp_path) == 1
    assert certs.out.startswith("unreadable: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show"], "name one place"),
        (["show", "x", "--server", "localhost:1"], "name one place"),
        (["check", "--secret", "x"], "expected NAMESPACE/NAME"),
        (["show", "--server", "localhost"], "expected HOST:PORT"),
        (["show", "--secret", "a/b", "--kubeconfig", "missing"], "no way to a cluster"),
    ],
)
def test_what_is_wrong_is_one_line(certs: Terminal, arguments: list[str], said: str) -> None:
    """Exit status 2 and a sentence on stderr, no traceback."""
    assert certs(*arguments) == 2
    assert said in certs.err
    assert len(certs.err.splitlines()) == 1


def test_no_key_is_printed(certs: Terminal, tmp_path: Path) -> None:
    """No command writes key material, also where the files are swapped."""
    held = installed(NOW)
    Directory(tmp_path).write(Material(leaf=Pair(certificate=held.leaf.key, key=held.leaf.certificate)))
    key = held.leaf.key.decode().splitlines()[1]
    for command in ("show", "check"):
        certs(command, tmp_path)
        assert key not in certs.out + certs.err


def test_help_teaches(certs: Terminal) -> None:
    """What it is for, where certificates are found, what each code means, and an example of each command."""
    assert certs("--help") == 0
    assert "renews its certificates by itself" in " ".join(certs.out.split())
    for command, words in (("issue", "--force"), ("check", "not-signed-by-bundle"), ("show", "--configuration")):
        assert certs(command, "--help") == 0
        assert words in certs.out
        assert f"python -m certs {command}" in " ".join(certs.out.split())
