"""What can be asked of `status`: each field is a flag."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from webhook.cli.settings import SettingsError

PORT = 8765


@dataclass(frozen=True, kw_only=True)
class StatusOptions:
    """What was asked for on the command line.

    Attributes:
        kubeconfig: File that names the cluster and who asks.
        context: Context in it.
        namespace: The only namespace to look at.
        output: Text for people, or JSON.
        watch: Look again every two seconds until interrupted.
        html: File to write a page to, with a map of nodes and GPUs; it needs nothing else to be read.
        serve: Serve that page on 127.0.0.1, read-only and updating itself, until interrupted.
        port: Port to serve it on; 0 takes a free one.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None
    output: Literal["text", "json"] = "text"
    watch: bool = False
    html: Path | None = None
    serve: bool = False
    port: int = PORT

    def __post_init__(self) -> None:
        """Refuse what cannot be had at once.

        Raises:
            SettingsError: With what to leave out.
        """
        if sum((self.watch, self.serve, self.html is not None)) > 1:
            raise SettingsError("--watch, --serve and --html exclude each other: give one")
