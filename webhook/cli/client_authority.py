"""Reload of the file with the CA of client certificates (`--client-ca`)."""

import logging
import threading
from pathlib import Path

from certs.serving import InvalidClientAuthorityError, ReloadableContext

_log = logging.getLogger(__name__)

INTERVAL = 1.0  # seconds; a check reads one small file


class ClientAuthorityFile:
    """Component that reads the file again when its content changes. An unreadable file changes nothing."""

    ready = True

    def __init__(self, path: Path, content: bytes, context: ReloadableContext) -> None:
        """Watch `path`, whose `content` is in use in `context`."""
        self._path, self._content, self._context = path, content, context
        self._error = ""
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start the thread that reads the file."""
        threading.Thread(target=self._run, name="client-ca", daemon=True).start()

    def stop(self) -> None:
        """Stop the thread after its current check."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL):
            error = self._reload()
            if error and error != self._error:
                _log.warning("%s: the previous CA of client certificates stays: %s", self._path, error)
            self._error = error

    def _reload(self) -> str:
        """Use the content of the file if it has changed, and return an error or an empty string."""
        try:
            content = self._path.read_bytes()
            if content != self._content:
                self._context.trust(content)
                self._content = content
                _log.info("%s: CA of client certificates replaced", self._path)
        except (OSError, InvalidClientAuthorityError) as error:
            return str(error)
        return ""
