"""How `dask-colocate status` goes: read, show, again when asked to; its exit status for monitoring."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from webhook.cli.options import StatusOptions
from webhook.cli.progress import console, waiting
from webhook.kube.cluster import ClusterError, Connection
from webhook.policy.defaults import SettingsError
from webhook.status.document import as_json
from webhook.status.model import Report
from webhook.status.reading import Reader
from webhook.status.report import report
from webhook.status.terminal import show, verdict, write

UNREAD = 2
INTERRUPTED = 130  # 128 and SIGINT's 2, as shells have it
EVERY = 2.0  # seconds between two looks of --watch


def run(wish: StatusOptions) -> int:
    """Do it; the exit status: 0 all in order, 1 something needs care, 2 something could not be read."""
    try:
        reader = Reader(Connection(kubeconfig=wish.kubeconfig, context=wish.context).client(), wish.namespace)
        if wish.serve:
            return _serve(reader, wish)
        return _watch(reader, wish) if wish.watch else _once(reader, wish)
    except KeyboardInterrupt:
        return INTERRUPTED


def look(reader: Reader) -> Report:
    """One report, with a word on stderr where it takes long."""
    with waiting("reading the cluster") as tell:
        return report(reader.read(tell))


def _once(reader: Reader, wish: StatusOptions) -> int:
    found = look(reader)
    if wish.html:
        _write(found, wish.html, wish.namespace)
    else:
        _show(console(), found, wish)
    return found.exit_status


def _write(found: Report, file: Path, scope: str | None) -> None:
    from webhook.status.page import page

    try:
        file.write_text(page(found, scope=scope), encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from None
    sys.stdout.write(f"{file}: {verdict(found)}\n")


def _serve(reader: Reader, wish: StatusOptions) -> int:
    from webhook.status.serving import Latest, listen, serve

    latest = Latest(lambda: report(reader.read(_quiet)))
    found = latest.get()  # what cannot be read at all is told before anything listens
    with listen(wish.port) as listener:
        host, port = listener.getsockname()
        sys.stdout.write(f"http://{host}:{port}/ shows the status of this cluster; Ctrl-C ends it\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            serve(latest, listener, wish.namespace)
    return found.exit_status


def _watch(reader: Reader, wish: StatusOptions) -> int:
    """Look again and again; the status of the last look. A cluster that is away for a while is waited for."""
    out = console()
    shown: Report | str = look(reader)
    plain = wish.output == "json" or not out.is_terminal
    with _interrupt() as told, nullcontext() if plain else Live(console=out, screen=True) as live:
        while True:
            if live:
                live.update(show(shown, cut=True) if isinstance(shown, Report) else Text(shown), refresh=True)
            else:
                _tell(out, shown, wish)
            if told.wait(EVERY):
                break
            shown = _again(reader)
    if live:
        _tell(out, shown, wish)
    return shown.exit_status if isinstance(shown, Report) else UNREAD


@contextmanager
def _interrupt() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C, which so never comes in the middle of a drawing; the second ends the program at once."""
    told = threading.Event()

    def tell(_number: int, _frame: FrameType | None) -> None:
        told.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, tell)
    try:
        yield told
    finally:
        signal.signal(signal.SIGINT, before)


def _again(reader: Reader) -> Report | str:
    """A report, or why there is none now."""
    try:
        return report(reader.read(_quiet))
    except ClusterError as error:
        return f"dask-colocate: {error}"


def _tell(out: Console, shown: Report | str, wish: StatusOptions) -> None:
    if isinstance(shown, Report):
        _show(out, shown, wish)
    else:
        sys.stderr.write(f"{shown}\n")


def _show(out: Console, found: Report, wish: StatusOptions) -> None:
    if wish.output == "json":
        sys.stdout.write(as_json(found, indent=not wish.watch) + "\n")
        sys.stdout.flush()
    else:
        write(out, found)


def _quiet(_: str) -> None:
    """Say nothing."""
