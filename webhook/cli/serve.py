"""Command `serve`: run the webhook."""

import sys
from contextlib import suppress

from webhook.cli.options import ServeOptions
from webhook.cli.wiring import build_server
from webhook.telemetry.logs import start_logging


def run(options: ServeOptions) -> int:
    """Run the webhook until a signal stops it.

    Raises:
        SettingsError: A file cannot be used.
    """
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
