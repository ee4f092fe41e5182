"""A command as somebody at a terminal sees it: its three streams are a pseudo-terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

SECONDS = 60


def argv(*arguments: str) -> list[str]:
    """The command line of `dask-colocate ARGUMENTS`."""
    return [sys.executable, "-m", "webhook", *arguments]


def environment(**more: str) -> dict[str, str]:
    """Nothing of this process's own environment but where programs are."""
    return {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": "200", **more}


class Terminal:
    """`dask-colocate ARGUMENTS` at a terminal of its own."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        """Start it with nothing in its environment but `variables`."""
        self._arguments, self._variables = arguments, variables
        self.seen = ""

    def __enter__(self) -> Self:
        """Start the command."""
        self._main, other = os.openpty()
        self._process = subprocess.Popen(
            argv(*self._arguments), stdin=other, stdout=other, stderr=other, env=environment(**self._variables)
        )
        os.close(other)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End what is left of it."""
        self._process.kill()
        self._process.wait(SECONDS)
        os.close(self._main)

    def type(self, text: str) -> None:
        """Type something; what is not read yet waits."""
        os.write(self._main, text.encode())

    def until(self, text: str) -> str:
        """All that was written when `text` has been."""
        while text not in self.seen and self._more():
            pass
        assert text in self.seen, self.seen
        return self.seen

    def ended(self) -> int:
        """The status, when it has ended; `seen` then has all that it wrote."""
        while self._more():
            pass
        return self._process.wait(SECONDS)

    def _more(self) -> bool:
        try:
            found = os.read(self._main, 65_536)
        except OSError:  # EIO is how Linux says that nobody has the other end any more
            return False
        self.seen += found.decode(errors="replace").replace("\r\n", "\n")
        return bool(found)
