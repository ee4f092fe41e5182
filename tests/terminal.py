"""`dask-colocate` in a pseudo-terminal, which is its stdin, stdout and stderr."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

SECONDS = 60


def argv(*arguments: str) -> list[str]:
    """Return the command line of `dask-colocate ARGUMENTS`."""
    return [sys.executable, "-m", "webhook", *arguments]


def environment(**more: str) -> dict[str, str]:
    """Return an environment with PATH of this process, settings of a terminal, and `more`."""
    return {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": "200", **more}


class Terminal:
    """`dask-colocate ARGUMENTS` in a pseudo-terminal."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        """Store the arguments and the additional environment variables."""
        self._arguments, self._variables = arguments, variables
        self.output = ""

    def __enter__(self) -> Self:
        """Start the command."""
        self._terminal, other_end = os.openpty()
        self._process = subprocess.Popen(
            argv(*self._arguments),
            stdin=other_end,
            stdout=other_end,
            stderr=other_end,
            env=environment(**self._variables),
        )
        os.close(other_end)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Kill the command and close the terminal."""
        self._process.kill()
        self._process.wait(SECONDS)
        os.close(self._terminal)

    def type(self, text: str) -> None:
        """Type text; the terminal buffers it until the command reads it."""
        os.write(self._terminal, text.encode())

    def read_until(self, text: str) -> str:
        """Read until the output contains `text`; return all output."""
        while text not in self.output and self._more():
            pass
        assert text in self.output, self.output
        return self.output

    def wait(self) -> int:
        """Wait until the command ends and return its exit status; `output` then contains all output."""
        while self._more():
            pass
        return self._process.wait(SECONDS)

    def _more(self) -> bool:
        try:
            data = os.read(self._terminal, 65_536)
        except OSError:  # EIO: the other end is closed
            return False
        self.output += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)
