"""What people see: text as wide as their terminal, and what they wait for."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

# A second is how long a pause keeps a reader's thoughts together (Nielsen, "Response times: the 3 important limits").
PATIENCE = 1.0
# Wider than any table: what a program reads has a line for a line.
PLAIN = 10_000


def console() -> Console:
    """Standard output: as wide as its terminal, and where it is none as wide as it takes."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=PLAIN)


@contextmanager
def waiting(what: str) -> Iterator[Callable[[str], None]]:
    """Show `what` on stderr once it takes more than `PATIENCE`; nothing where stderr is no terminal.

    Yields:
        What replaces the text, such as how far it got.
    """
    console = Console(stderr=True)
    status = console.status(Text(what))
    timer = threading.Timer(PATIENCE if console.is_terminal else threading.TIMEOUT_MAX, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda told: status.update(Text(told))
    finally:
        timer.cancel()
        timer.join()
        status.stop()
