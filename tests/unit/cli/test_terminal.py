"""Output in a terminal and in a pipe."""

from __future__ import annotations

import os
import subprocess
import threading
from importlib import resources
from pathlib import Path
from typing import Literal

import pytest

from tests.terminal import SECONDS, Terminal, argv, environment
from webhook.cli.main import app

EXAMPLES = Path(str(resources.files("webhook.cli"))) / "examples"
STRIPPED = str(EXAMPLES / "cluster.yaml")
ESCAPE = "\x1b["
GREEN = "\x1b[32m"


def test_terminal_has_colour() -> None:
    """In a terminal, added lines are green and have a reason."""
    with Terminal("review", STRIPPED) as terminal:
        assert terminal.wait() == 0
    added = next(line for line in terminal.output.splitlines() if "dask-cuda-worker" in line)
    assert added.startswith(GREEN)
    assert "# command: command-converted" in added


def test_no_color_is_respected() -> None:
    """With NO_COLOR a terminal shows the same lines without colours."""
    with Terminal("review", STRIPPED, NO_COLOR="1") as terminal:
        assert terminal.wait() == 0
    assert "+            - dask-cuda-worker" in terminal.output
    assert "\x1b[3" not in terminal.output


def test_pipe_is_plain() -> None:
    """In a pipe there are no escape codes, and long lines are not folded."""
    variables = environment()
    del variables["COLUMNS"]
    done = subprocess.run(
        argv("review", STRIPPED), capture_output=True, text=True, env=variables, timeout=SECONDS, check=True
    )
    assert ESCAPE not in done.stdout
    assert done.stderr == ""
    assert any(line.split()[:2] == ["affinity", "applied"] and "zone" in line for line in done.stdout.splitlines())


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """Return a FIFO, which blocks the reader until a writer opens it."""
    path = tmp_path / "slow.yaml"
    os.mkfifo(path)
    return path


def test_progress_is_shown_in_a_terminal(slow: Path) -> None:
    """After a second a progress message appears; it is removed at the end."""
    with Terminal("review", str(slow)) as terminal:
        terminal.read_until("reading 0 of 1 files")
        slow.write_text(Path(STRIPPED).read_text())
        assert terminal.wait() == 0
    assert "command-converted" in terminal.output


def test_progress_is_not_shown_in_a_pipe(slow: Path) -> None:
    """If stderr is not a terminal, no progress message is written."""
    writer = threading.Timer(2.0, slow.write_text, [Path(STRIPPED).read_text()])
    writer.start()
    done = subprocess.run(
        argv("review", str(slow)), capture_output=True, text=True, env=environment(), timeout=SECONDS, check=True
    )
    writer.join()
    assert done.stderr == ""
    assert "reading" not in done.stdout


def test_nothing_to_review_is_an_error_in_a_terminal() -> None:
    """Without files, a terminal as stdin is an error with status 2."""
    with Terminal("review") as terminal:
        assert terminal.wait() == 2
    assert "give files or directories" in terminal.output


def test_escape_codes_in_manifests_are_removed(tmp_path: Path) -> None:
    """Escape codes in a manifest do not reach the terminal."""
    file = tmp_path / "evil.yaml"
    text = Path(STRIPPED).read_text()
    file.write_text(
        text.replace("- name: worker", '- name: "\\e[2Jevil"').replace("name: rapids-d", 'name: "\\e[2J"\n  x: d', 1)
    )
    with Terminal("review", str(file), NO_COLOR="1") as terminal:
        assert terminal.wait() == 0
    assert "?[2Jevil" in terminal.output
    assert "\x1b[2J" not in terminal.output


def test_completion_of_bash_knows_commands_and_flags() -> None:
    """With the printed script, bash completes commands, flags, choices and files."""
    complete = """
      eval "$SCRIPT"
      command=$(complete -p dask-colocate | sed 's/.*-F \\([^ ]*\\).*/\\1/')
      ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); "$command"; echo "${COMPREPLY[*]}"; }
      ask dask-colocate rev
      ask dask-colocate review --exp
      ask dask-colocate review --output sa
      ask dask-colocate review pypro
    """
    script = subprocess.run(
        argv("completion", "bash"), capture_output=True, text=True, env=environment(), timeout=SECONDS, check=True
    ).stdout
    done = subprocess.run(
        ["bash", "--norc", "-c", complete],
        capture_output=True,
        text=True,
        env=environment(SCRIPT=script),
        timeout=SECONDS,
        cwd=EXAMPLES.parents[2],
        check=True,
    )
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["review"],
        ["--explain"],
        ["sarif"],
        ["pyproject.toml"],
    ], done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_every_shell_has_completion(shell: Literal["bash", "zsh", "fish", "powershell"]) -> None:
    """The script of each shell contains the commands."""
    script = app.generate_completion(shell=shell)
    assert all(name in script for name in ("review", "enable", "disable", "sarif"))
