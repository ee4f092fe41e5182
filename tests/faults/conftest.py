"""A bed of its own for the faults: what is broken here would disturb others. All tests carry `faults` and `bed`."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.e2e.bed.process import free_ports
from tests.e2e.conftest import bed as bed  # noqa: PLC0414 - a fixture, handed on
from tests.e2e.conftest import gpu_nodes as gpu_nodes  # noqa: PLC0414 - as above
from tests.e2e.conftest import make_namespace as make_namespace  # noqa: PLC0414 - as above
from tests.e2e.webhook_process import CONFIGURATION, ENABLED
from tests.faults.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.bed.bed import Bed
    from tests.e2e.bed.process import Process
    from tests.e2e.conftest import NamespaceFactory

HERE = Path(__file__).parent
# A pair that is not for the Service's names is served for want of a better one, and never put in one's place.
HOSTS = ["127.0.0.1", "dask-colocate.dask-colocate.svc", "dask-colocate.dask-colocate.svc.cluster.local"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder: `-m 'not faults'` leaves it out."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.bed)


@dataclass
class Replicas:
    """Two replicas of `serve`, each reaching the API server through `api`, reached by it through `service`."""

    bed: Bed
    ports: list[int]
    api: Proxy
    service: Proxy
    processes: list[Process]

    def start(self, number: int, *, stderr: str = "", environment: str = "") -> None:
        """Start a replica, and wait until it is ready.

        Args:
            number: Of the replica.
            stderr: Where its log goes, as a redirection; the bed's file unless said.
            environment: More variables, as `env` takes them.
        """
        flags = f"--host 127.0.0.1 --port {self.ports[number]} --kubeconfig {self.kubeconfig} --drain-seconds 2"
        pair = self.bed.plane.state / "faults"
        serve = f"{sys.executable} -m webhook serve {flags} --tls-cert {pair}.crt --tls-key {pair}.key"
        command = f"exec env {environment} {serve} {stderr}"
        process = self.bed.plane.spawn(f"replica-{number}", ["bash", "-c", command])
        self.processes[number : number + 1] = [process]
        process.wait_until(lambda: self.get(number, "/readyz").startswith("ok"), 60)

    def get(self, number: int, path: str) -> str:
        """What a replica answers; nothing where it does not."""
        try:
            return httpx.get(f"https://127.0.0.1:{self.ports[number]}{path}", verify=False, trust_env=False).text  # noqa: S501 - loopback
        except httpx.TransportError:
            return ""

    def metric(self, number: int, name: str) -> float:
        """A metric without labels, or with them as they are written."""
        lines = self.get(number, "/metrics").splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, through the proxy."""
        written = json.loads(self.bed.plane.kubeconfig.read_text())
        written["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self.api.port}"
        path = self.bed.plane.state / "faults.kubeconfig"
        path.write_text(json.dumps(written))
        return path


@pytest.fixture(scope="module")
def replicas(bed: Bed) -> Iterator[Replicas]:
    """Two replicas that the API server calls, with the configuration that is deployed."""
    ports = free_ports(2)
    api = Proxy(ports=[int(bed.plane.url.rpartition(":")[2])])
    made = Replicas(bed, ports, api, Proxy(ports=ports), [])
    bed.plane.authority.issue("faults", HOSTS)
    with ExitStack() as stack:
        for proxy in (made.api, made.service):
            proxy.start()
            stack.callback(proxy.stop)
        for number in range(2):
            made.start(number)
        url = f"https://127.0.0.1:{made.service.port}/mutate"
        stack.enter_context(bed.webhook_configuration(CONFIGURATION, url, bed.plane.ca))
        yield made
        for process in made.processes:
            process.stop()


@pytest.fixture
def enabled(make_namespace: NamespaceFactory) -> str:
    """A namespace that is served."""
    return make_namespace(ENABLED)


@pytest.fixture
def note(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Prints a figure."""

    def take(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {request.node.name.removeprefix('test_').replace('_', ' ')}: {text}")

    return take
