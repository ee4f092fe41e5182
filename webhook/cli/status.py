"""Command `status`: read the cluster, print or serve the report, and return an exit status for monitoring."""

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from webhook.cli.options import StatusOptions
from webhook.cli.progress import console, progress
from webhook.kube.cluster import ClusterError, Kubeconfig
from webhook.policy.defaults import SettingsError
from webhook.status.document import as_json
from webhook.status.model import Report
from webhook.status.reading import Reader
from webhook.status.report import report
from webhook.status.terminal import print_report, render, summary

UNREADABLE = 2
INTERRUPTED = 130  # 128 + SIGINT, as in shells
WATCH_INTERVAL = 2.0  # seconds


def run(options: StatusOptions) -> int:
    """Run the command and return the exit status: 1 if action is required, 2 if something could not be read."""
    try:
        reader = Reader(Kubeconfig(path=options.kubeconfig, context=options.context).client(), options.namespace)
        if options.serve:
            return _serve(reader, options)
        return _watch(reader, options) if options.watch else _once(reader, options)
    except KeyboardInterrupt:
        return INTERRUPTED


def read_report(reader: Reader) -> Report:
    """Read the cluster and return the report, with progress messages on stderr."""
    with progress("reading the cluster") as update:
        return report(reader.read(update))


def _once(reader: Reader, options: StatusOptions) -> int:
    result = read_report(reader)
    if options.html:
        _write_page(result, options.html, options.namespace)
    else:
        _print_report(console(), result, options)
    return result.exit_status


def _write_page(result: Report, file: Path, scope: str | None) -> None:
    from webhook.status.page import page

    try:
        file.write_text(page(result, scope=scope), encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from None
    sys.stdout.write(f"{file}: {summary(result)}\n")


def _serve(reader: Reader, options: StatusOptions) -> int:
    from webhook.status.serving import ReportCache, listen, serve

    reports = ReportCache(lambda: report(reader.read(_ignore_progress)))
    result = reports.get()  # fail before listening if the cluster cannot be read
    with listen(options.port) as listener:
        host, port = listener.getsockname()
        sys.stdout.write(f"Serving the status page on http://{host}:{port}/ (stop with Ctrl-C)\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            serve(reports, listener, options.namespace)
    return result.exit_status


def _watch(reader: Reader, options: StatusOptions) -> int:
    """Refresh until Ctrl-C and return the exit status of the last report; an unreachable cluster is retried."""
    out = console()
    shown: Report | str = read_report(reader)
    plain = options.output == "json" or not out.is_terminal
    with _interrupt() as interrupted, nullcontext() if plain else Live(console=out, screen=True) as live:
        while True:
            if live:
                screen = render(shown, findings_first=True) if isinstance(shown, Report) else Text(shown)
                live.update(screen, refresh=True)
            else:
                _print(out, shown, options)
            if interrupted(WATCH_INTERVAL):
                break
            shown = _refresh(reader)
    if live:
        _print(out, shown, options)
    return shown.exit_status if isinstance(shown, Report) else UNREADABLE


@contextmanager
def _interrupt() -> Iterator[Callable[[float], bool]]:
    """Yield a function that waits for the first Ctrl-C, so that no screen update is interrupted; the second one exits.

    The handler writes to a pipe. `threading.Event.set` could deadlock with `Event.wait`, which it interrupts.
    """
    reader, writer = os.pipe()

    def handle(_number: int, _frame: FrameType | None) -> None:
        os.write(writer, b"\0")
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda seconds: bool(select.select([reader], [], [], seconds)[0])
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(reader)
        os.close(writer)


def _refresh(reader: Reader) -> Report | str:
    """Return a new report, or the error message if the cluster cannot be read."""
    try:
        return report(reader.read(_ignore_progress))
    except ClusterError as error:
        return f"dask-colocate: {error}"


def _print(out: Console, shown: Report | str, options: StatusOptions) -> None:
    if isinstance(shown, Report):
        _print_report(out, shown, options)
    else:
        sys.stderr.write(f"{shown}\n")


def _print_report(out: Console, result: Report, options: StatusOptions) -> None:
    if options.output == "json":
        sys.stdout.write(as_json(result, indent=not options.watch) + "\n")
        sys.stdout.flush()
    else:
        print_report(out, result)


def _ignore_progress(_: str) -> None:
    """Discard a progress message."""
