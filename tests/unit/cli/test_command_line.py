"""Command line: errors of one style, versions, and what each command rejects before it starts."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import urllib3
import yaml

from webhook.cli import main
from webhook.kube.kubeconfig import load_client

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[3]


def stopped(monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]) -> int | str | None:
    """Run the command line and return its exit status."""
    monkeypatch.setattr("sys.argv", ["dask-colocate", *arguments])
    with pytest.raises(SystemExit) as caught:
        main.main()
    return caught.value.code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["statu"], 'Unknown command "statu". Did you mean "status"?'),
        (["status", "--outptu", "json"], "Unknown option: --outptu. Did you mean --output?"),
        (["review", "--output", "xml", "x"], 'Invalid value "xml" for --output.'),
        (["review", "nowhere.yaml"], "nowhere.yaml: No such file or directory"),
        (["status", "--kubeconfig", "/nowhere/config"], "cannot load a kubeconfig: /nowhere/config does not exist"),
        (["serve", "--tls-cert", "/nowhere/a", "--tls-key", "/b"], "--tls-cert /nowhere/a: the file does not exist"),
        (["serve", "--client-ca", "/nowhere/ca"], "--client-ca /nowhere/ca: the file does not exist"),
    ],
)
def test_errors_have_one_style(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """Every invalid input ends with status 2 and one line on stderr that starts with the command's name."""
    assert stopped(monkeypatch, arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"dask-colocate: {message}")
    assert output.err.count("\n") == 1


@pytest.mark.parametrize("command", ["", "serve", "review", "status", "enable", "demo", "certs", "certs show"])
def test_version_is_printed_by_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """--version prints the version, whatever the command."""
    assert not stopped(monkeypatch, [*command.split(), "--version"])
    assert capsys.readouterr().out.strip() == main.version("dask-colocate")


def test_missing_files_of_the_environment_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several files in KUBECONFIG, all are named if none exists."""
    monkeypatch.setenv("KUBECONFIG", "/nowhere/a:/nowhere/b")
    with pytest.raises(Exception, match="/nowhere/a, /nowhere/b do not exist"):
        load_client()


def test_unverified_tls_gives_no_warnings(tmp_path: Path) -> None:
    """With `insecure-skip-tls-verify` in the kubeconfig, requests cause no InsecureRequestWarning."""
    file = tmp_path / "config"
    cluster = {"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": True}
    config = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": cluster}],
        "users": [{"name": "x", "user": {"token": "x"}}],
    }
    file.write_text(yaml.safe_dump(config))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_client(file)
        warnings.warn("a request", urllib3.exceptions.InsecureRequestWarning, stacklevel=1)
    assert caught == []


def test_make_help_lists_the_targets() -> None:
    """`make help` lists every documented target with its purpose."""
    done = subprocess.run(["make", "help"], capture_output=True, text=True, check=True, cwd=ROOT)
    targets = {line.split()[0] for line in done.stdout.splitlines()}
    assert {"demo", "test", "lint", "render", "help"} <= targets
    assert all(len(line.split()) > 2 for line in done.stdout.splitlines())
