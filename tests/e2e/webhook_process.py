"""The webhook under test: a real `serve` process that the bed's API server calls over TLS."""

from __future__ import annotations

import ssl
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.e2e.bed.process import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.bed.bed import Bed
    from tests.e2e.bed.process import Process

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "kustomize" / "webhook-configuration.yaml"
ENABLED = {"colocate.dask.org/enabled": "true"}


@dataclass(frozen=True)
class Served:
    """A running `dask-colocate serve`.

    Attributes:
        process: The process.
        url: Its base URL, without a path.
        client: An HTTP client that trusts its certificate.
        argv: Its command line.
    """

    process: Process
    url: str
    client: httpx.Client
    argv: list[str] = field(default_factory=list)

    def again(self, bed: Bed) -> None:
        """Restart the stopped process on the same port and wait until it is ready. It ends with the bed."""
        process = bed.plane.spawn("webhook-again", self.argv)
        process.wait_until(lambda: _ready(self.client), 20)


@contextmanager
def serving(bed: Bed, *more_flags: str, name: str = "webhook") -> Iterator[Served]:
    """Start `serve` against the bed's API server and wait until it is ready, without a webhook configuration."""
    (port,) = free_ports(1)
    pair = bed.plane.authority.issue(name, ["127.0.0.1"])
    flags = {
        "--host": "127.0.0.1",
        "--port": port,
        "--kubeconfig": bed.plane.kubeconfig,
        "--tls-cert": pair.certificate,
        "--tls-key": pair.key,
    }
    argv = [sys.executable, "-m", "webhook", "serve", *(str(part) for flag in flags.items() for part in flag)]
    argv += more_flags
    process = bed.plane.spawn(name, argv)
    context = ssl.create_default_context(cafile=bed.plane.ca)
    url = f"https://127.0.0.1:{port}"
    with httpx.Client(base_url=url, verify=context, trust_env=False) as client:
        process.wait_until(lambda: _ready(client), 20)
        yield Served(process, url, client, argv)
    process.stop()


@contextmanager
def installed(bed: Bed, *flags: str) -> Iterator[Served]:
    """Start `serve` and register it with the API server by the deployed webhook configuration."""
    with (
        serving(bed, *flags) as served,
        bed.webhook_configuration(CONFIGURATION, f"{served.url}/mutate", bed.plane.ca),
    ):
        yield served


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False
