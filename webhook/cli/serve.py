"""Command `serve`: run the webhook."""

import sys
from contextlib import suppress

from webhook.cli.options import ServeOptions
from webhook.cli.wiring import build_server
from webhook.policy.defaults import SettingsError
from webhook.telemetry.logs import start_logging


def run(options: ServeOptions) -> int:
    """Run the webhook until a signal stops it.

    Raises:
        SettingsError: A file cannot be used.
    """
    _require_files(options)
    server = build_server(options)
    log = start_logging(sys.stderr, options.log_level, server.recorder.record_dropped_line)
    server.start_components()
    try:
        with suppress(KeyboardInterrupt):
            server.http.run()
    finally:
        server.stop_components()
        log.stop()
    return 0


def _require_files(options: ServeOptions) -> None:
    """Reject certificate files that do not exist, so that a misspelled path does not wait for a file forever.

    Raises:
        SettingsError: A file does not exist; the message has its option.
    """
    files = {"--tls-cert": options.tls_cert, "--tls-key": options.tls_key, "--client-ca": options.client_ca}
    for option, file in files.items():
        if file is not None and not file.exists():
            raise SettingsError(f"{option} {file}: the file does not exist")
