"""Children of the test run: started with a log file, awaited, and stopped by their own pid.

A child goes with the run even if that is killed: it asks the kernel to be killed when its parent dies
(prctl PR_SET_PDEATHSIG). A small launcher does so and then becomes the program, because a `preexec_fn` is
not safe in a process with threads. The kernel means the parent *thread*: start children from a thread
that stays, such as pytest's main thread.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

# 1 is PR_SET_PDEATHSIG, 9 is SIGKILL: nothing a child keeps is worth a slow end. The parent may have died
# before the request was made, so it is compared afterwards.
_LAUNCHER = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); parent = int(sys.argv[1]); "
    "os.getppid() == parent or os._exit(1); os.execvp(sys.argv[2], sys.argv[2:])"
)


class DiedError(Exception):
    """A child ended or did not get ready in time; the text ends with the tail of its log."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """A running child. `argv` is its command line, `log` holds its stdout and stderr."""

    name: str
    argv: list[str] = field(repr=False)
    log: Path
    child: subprocess.Popen[bytes] = field(repr=False)

    def tail(self, lines: int = 20) -> str:
        """The last `lines` lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_until(self, ready: Callable[[], bool], seconds: float = 30, every: float = 0.05) -> None:
        """Poll `ready` until it holds.

        Raises:
            DiedError: the child has ended, or `seconds` have passed.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.child.poll() is not None:
                raise DiedError(f"{self.name} ended with {self.child.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise DiedError(f"{self.name} was not ready within {seconds:g} s:\n{self.tail()}")
            time.sleep(every)

    def wait(self, seconds: float) -> int:
        """Let it run to its own end, at most `seconds`; the exit status.

        Raises:
            DiedError: it ran longer and was stopped.
        """
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise DiedError(f"{self.name} ran longer than {seconds:g} s:\n{self.tail()}") from None

    def ask_to_stop(self) -> None:
        """Send SIGTERM; does not wait."""
        if self.child.poll() is None:
            self.child.terminate()

    def stop(self, grace: float = 3) -> int:
        """SIGTERM, then SIGKILL once `grace` seconds have passed; the exit status."""
        self.ask_to_stop()
        try:
            return self.child.wait(grace)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return self.child.wait()


def start(name: str, argv: list[str], log: Path, environment: Mapping[str, str] | None = None) -> Process:
    """Start `argv`; `environment` is added to this process's own."""
    launcher = [sys.executable, "-S", "-E", "-c", _LAUNCHER, str(os.getpid()), *argv]
    with log.open("ab") as out:
        child = subprocess.Popen(
            launcher,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
    return Process(name=name, argv=argv, log=log, child=child)


def stop_all(processes: list[Process], grace: float = 3) -> None:
    """Stop the last started first; all of them within about `grace` seconds."""
    for each in reversed(processes):
        each.ask_to_stop()
    deadline = time.monotonic() + grace
    for each in reversed(processes):
        each.stop(grace=max(0.0, deadline - time.monotonic()))


def free_ports(count: int) -> list[int]:
    """`count` different TCP ports of 127.0.0.1 that nothing listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def listening(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a connection to the port is taken."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
