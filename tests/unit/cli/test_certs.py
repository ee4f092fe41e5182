"""The command `dask-colocate certs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certs.rotation.files import CertificateDirectory
from certs.x509.issue import KeyPair
from certs.x509.material import Material
from tests.unit.certs.factories import make_material
from webhook.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


class CommandLine:
    """Runs `dask-colocate certs` in this process; the output is in `out` and `err`."""

    def __init__(self, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Use the capture of pytest."""
        self._capture, self._monkeypatch = capture, monkeypatch
        self.out = self.err = ""

    def __call__(self, *arguments: str | Path) -> int:
        """Run a command and return its exit status."""
        self._monkeypatch.setattr("sys.argv", ["dask-colocate", "certs", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        self.out, self.err = self._capture.readouterr()
        return int(exited.value.code or 0)


@pytest.fixture
def certs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line."""
    return CommandLine(capsys, monkeypatch)


def test_issue_check_show(certs: CommandLine, tmp_path: Path) -> None:
    """Certificates are issued into a directory, checked, described, and not renewed before they are due."""
    directory = tmp_path / "tls"
    assert certs("issue", directory, "--name", "localhost", "--name", "127.0.0.1") == 0
    assert certs.out == "renewed the authority: nothing is stored yet\n"
    assert {file.stat().st_mode & 0o777 for file in directory.iterdir()} == {0o600}
    assert certs("check", directory, "--name", "localhost") == 0
    assert certs.out == "no problems\n"
    assert certs("show", directory) == 0
    for text in ("localhost, 127.0.0.1", "signed by   CN=localhost ", "89 days left", "signed the certificate"):
        assert text in certs.out
    assert certs("issue", directory, "--name", "localhost") == 0
    assert certs.out.startswith("nothing is due")


@pytest.mark.parametrize(("part", "authority_stays"), [("leaf", True), ("authority", False)])
def test_forced_renewal(certs: CommandLine, tmp_path: Path, part: str, *, authority_stays: bool) -> None:
    """`--force` renews a part that is not due, and the old authority stays trusted."""
    certs("issue", tmp_path, "--name", "localhost")
    before = CertificateDirectory(tmp_path).read().material
    assert certs("issue", tmp_path, "--name", "localhost", "--force", part) == 0
    after = CertificateDirectory(tmp_path).read().material
    assert after.leaf != before.leaf
    assert (after.authority == before.authority) is authority_stays
    assert before.authority.certificate in after.bundle


def test_check_lists_every_problem(certs: CommandLine, tmp_path: Path) -> None:
    """`check` exits with status 1 and prints one line for each problem, with its code."""
    material = make_material()
    mismatch = KeyPair(certificate=material.leaf.certificate, key=material.authority.key)
    CertificateDirectory(tmp_path).write(Material(leaf=mismatch, bundle=b""))
    assert certs("check", tmp_path, "--name", "other.apps.svc") == 1
    codes = [line.partition(":")[0] for line in certs.out.splitlines()]
    assert {"key-mismatch", "wrong-name"} <= set(codes)


def test_empty_directory(certs: CommandLine, tmp_path: Path) -> None:
    """An empty directory is reported without an exception."""
    assert certs("show", tmp_path) == 0
    assert certs.out == "no readable certificate\n"
    assert certs("check", tmp_path) == 1
    assert certs.out.startswith("unreadable: ")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["show"], "give one location"),
        (["show", "x", "--server", "localhost:1"], "give one location"),
        (["check", "--secret", "x"], "expected NAMESPACE/NAME"),
        (["show", "--server", "localhost"], "expected HOST:PORT"),
        (["show", "--secret", "a/b", "--kubeconfig", "missing"], "cannot load a kubeconfig"),
    ],
)
def test_errors_are_one_line(certs: CommandLine, arguments: list[str], error: str) -> None:
    """An error exits with status 2 and prints one sentence on stderr, without a traceback."""
    assert certs(*arguments) == 2
    assert error in certs.err
    assert len(certs.err.splitlines()) == 1


def test_no_key_is_printed(certs: CommandLine, tmp_path: Path) -> None:
    """No command prints key material, even if the key is in the certificate file."""
    leaf = make_material().leaf
    CertificateDirectory(tmp_path).write(Material(leaf=KeyPair(certificate=leaf.key, key=leaf.certificate)))
    key = leaf.key.decode().splitlines()[1]
    for command in ("show", "check"):
        certs(command, tmp_path)
        assert key not in certs.out + certs.err


def test_help(certs: CommandLine) -> None:
    """The help describes the purpose, the problem codes, and an example of each command."""
    assert certs("--help") == 0
    assert "renews its certificates itself" in " ".join(certs.out.split())
    for command, text in (("issue", "--force"), ("check", "not-signed-by-bundle"), ("show", "--configuration")):
        assert certs(command, "--help") == 0
        assert text in certs.out
        assert f"dask-colocate certs {command} " in " ".join(certs.out.split())
