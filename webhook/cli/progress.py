"""Terminal output: the console and progress messages."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

# Seconds that a command may be silent without interrupting the user's thoughts (Nielsen, "Response times: the 3
# important limits").
PROGRESS_DELAY = 1.0
# Columns without a terminal: wide enough that no row of a table is folded.
UNFOLDED_WIDTH = 10_000


def console() -> Console:
    """Return a console for standard output, without line folding if stdout is not a terminal."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=UNFOLDED_WIDTH)


@contextmanager
def progress(message: str) -> Iterator[Callable[[str], None]]:
    """Show `message` on stderr after `PROGRESS_DELAY`; show nothing if stderr is not a terminal.

    Yields:
        Function that replaces the message.
    """
    console = Console(stderr=True)
    status = console.status(Text(message))
    timer = threading.Timer(PROGRESS_DELAY if console.is_terminal else threading.TIMEOUT_MAX, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda message: status.update(Text(message))
    finally:
        timer.cancel()
        timer.join()
        status.stop()
