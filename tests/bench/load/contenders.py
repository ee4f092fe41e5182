"""Who is compared: each a process of its own, over TLS, with a certificate of one authority."""

from __future__ import annotations

import ssl
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import jsonpatch

from tests.bench.load import bodies, deployed, programs
from tests.e2e.bed import pki, process
from webhook.admission.response import parse_response

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.e2e.bed.process import Process

OURS, NOOP, GO = "dask-colocate", "no-op app", "Go webhook"
NAMES = (OURS, NOOP, GO)
READY = 30  # seconds
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A running server.

    Attributes:
        name: What it is called in the tables.
        url: Where it answers, without a path.
        process: The process.
    """

    name: str
    url: str
    process: Process = field(repr=False)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.child.pid


def commands(port: int, pair: pki.Pair, source: Sequence[str]) -> dict[str, list[str]]:
    """The command line of each; `source` says where namespaces come from, as a flag that both webhooks have."""
    tls = ["--tls-cert", str(pair.certificate), "--tls-key", str(pair.key)]
    at = ["--port", str(port), *tls, *source]
    return {
        OURS: [deployed.python(), "-m", "webhook", "serve", "--host", "127.0.0.1", *at],
        NOOP: [sys.executable, "-m", "tests.bench.load.noop", str(port), str(pair.certificate), str(pair.key)],
        GO: [str(programs.go_webhook()), *at],
    }


@contextmanager
def without_kubernetes(names: Sequence[str] = NAMES) -> Iterator[list[Contender]]:
    """These servers while the block runs, with the recorded worker pod's namespace enabled in a file."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        state = Path(folder)
        file = state / "namespaces.yaml"
        file.write_text(bodies.namespace(bodies.recorded(bodies.WORKER), bodies.ENABLED))
        authority = pki.authority(state)
        pair = authority.issue("server", ["127.0.0.1"])
        source = ["--namespaces-file", str(file)]
        yield [stack.enter_context(_running(name, state, pair, source)) for name in names]


@contextmanager
def _running(name: str, state: Path, pair: pki.Pair, source: Sequence[str]) -> Iterator[Contender]:
    (port,) = process.free_ports(1)
    started = process.start(name, commands(port, pair, source)[name], state / f"{name}.log")
    try:
        url = f"https://127.0.0.1:{port}"
        with client(url, state / "ca.crt") as asking:
            started.wait_until(lambda: answers(asking), READY)
        yield Contender(name=name, url=url, process=started)
    finally:
        started.stop(grace=0)  # it would drain for seconds, and nobody is there any more


def agree(servers: Sequence[Contender]) -> None:
    """Both webhooks make the same of the recorded worker pod: only then are they to be compared.

    Raises:
        AssertionError: They do not.
    """
    document = bodies.recorded(bodies.WORKER)
    made = []
    for server in (each for each in servers if each.name != NOOP):
        with httpx.Client(verify=False, trust_env=False) as asking:  # noqa: S501 - this machine's loopback
            review = asking.post(f"{server.url}/mutate", content=bodies.encoded(document), headers=JSON).content
        made.append(jsonpatch.apply_patch(document["request"]["object"], parse_response(review)["patch"]))
    if any(each != made[0] for each in made):
        raise AssertionError(f"not the same mutation: {made}")


def client(url: str, ca: Path) -> httpx.Client:
    """A client that trusts the authority."""
    return httpx.Client(base_url=url, verify=ssl.create_default_context(cafile=str(ca)), trust_env=False)


def answers(asking: httpx.Client) -> bool:
    """Whether the server says that it is ready."""
    try:
        return asking.get("/readyz").is_success
    except httpx.TransportError:
        return False
