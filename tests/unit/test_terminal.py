"""What differs between a terminal and a pipe."""

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
    """In a terminal what is added is green, and its reason beside it."""
    with Terminal("review", STRIPPED) as terminal:
        assert terminal.ended() == 0
    added = next(line for line in terminal.seen.splitlines() if "dask-cuda-worker" in line)
    assert added.startswith(GREEN)
    assert "# command: command-converted" in added


def test_no_color_is_respected() -> None:
    """With NO_COLOR a terminal shows the same lines without any colour."""
    with Terminal("review", STRIPPED, NO_COLOR="1") as terminal:
        assert terminal.ended() == 0
    assert "+            - dask-cuda-worker" in terminal.seen
    assert "\x1b[3" not in terminal.seen


def test_pipe_is_plain() -> None:
    """Anywhere else there are no escape codes, and no line is folded however long it is."""
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
    """A file that is not there until somebody writes it."""
    path = tmp_path / "slow.yaml"
    os.mkfifo(path)
    return path


def test_waiting_is_told_in_a_terminal(slow: Path) -> None:
    """What takes more than a second says what it does, and leaves nothing of that behind."""
    with Terminal("review", str(slow)) as terminal:
        terminal.until("reading 0 of 1 files")
        slow.write_text(Path(STRIPPED).read_text())
        assert terminal.ended() == 0
    assert "command-converted" in terminal.seen


def test_waiting_is_silent_anywhere_else(slow: Path) -> None:
    """Where stderr is no terminal nothing is said, however long it takes."""
    writer = threading.Timer(2.0, slow.write_text, [Path(STRIPPED).read_text()])
    writer.start()
    done = subprocess.run(
        argv("review", str(slow)), capture_output=True, text=True, env=environment(), timeout=SECONDS, check=True
    )
    writer.join()
    assert done.stderr == ""
    assert "reading" not in done.stdout


def test_nothing_to_review_is_told_in_a_terminal() -> None:
    """Without files a terminal is not waited for: status 2 and what to give."""
    with Terminal("review") as terminal:
        assert terminal.ended() == 2
    assert "name FILES" in terminal.seen


def test_text_of_others_moves_no_cursor(tmp_path: Path) -> None:
    """A name with escape codes in a manifest reaches the terminal without them."""
    file = tmp_path / "evil.yaml"
    text = Path(STRIPPED).read_text()
    file.write_text(
        text.replace("- name: worker", '- name: "\\e[2Jevil"').replace("name: rapids-d", 'name: "\\e[2J"\n  x: d', 1)
    )
    with Terminal("review", str(file), NO_COLOR="1") as terminal:
        assert terminal.ended() == 0
    assert "?[2Jevil" in terminal.seen
    assert "\x1b[2J" not in terminal.seen


def test_completion_of_bash_knows_commands_and_flags() -> None:
    """Bash itself completes commands, flags, the values of a choice and files with the script that is printed."""
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
    """Each shell that is offered has a script that knows the commands."""
    script = app.generate_completion(shell=shell)
    assert all(name in script for name in ("review", "enable", "disable", "sarif"))
