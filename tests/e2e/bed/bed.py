"""The whole bed as tests see it."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.bed import controlplane, dask_operator, nodes, process, waiting, webhooks
from tests.e2e.bed.api import CRDS, DASK, WEBHOOKS, Api, Object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.e2e.bed.controlplane import ControlPlane
    from tests.e2e.bed.process import Process

PROBES = "bed-probes"  # the namespace of the bed's own questions
# Seconds for what the operator does: two of its tries, since 60 s after an error of its own it tries again (kopf), and
# kr8s mixes up the connections of two handlers that begin at once (httpx.ReadError) now and then.
PATIENCE = 150


class KubectlError(Exception):
    """kubectl ended with an error; the text is what it wrote to stderr."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """What kubectl wrote. Admission warnings are lines `Warning: ...` of stderr."""

    stdout: str
    stderr: str

    @property
    def warnings(self) -> list[str]:
        """The admission warnings, without the word before them."""
        lines = self.stderr.splitlines()
        return [line.removeprefix("Warning: ") for line in lines if line.startswith("Warning: ")]


@dataclass(frozen=True, kw_only=True)
class Bed:
    """A control plane with simulated nodes and the Dask operator on it."""

    plane: ControlPlane
    operator: Process = field(repr=False)

    @property
    def api(self) -> Api:
        """Requests as the administrator."""
        return self.plane.api

    def kubectl(self, *arguments: str, stdin: str | None = None) -> Output:
        """Run the real kubectl as the administrator; `stdin` for `apply -f -`.

        Raises:
            KubectlError: it ended with an error.
        """
        argv = [str(self.plane.programs["kubectl"]), f"--kubeconfig={self.plane.kubeconfig}", *arguments]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return Output(stdout=done.stdout, stderr=done.stderr)

    def create_namespace(
        self, annotations: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None
    ) -> str:
        """A new namespace with a random name, ready for pods; its name."""
        name = f"test-{secrets.token_hex(4)}"
        about = {"name": name, "annotations": dict(annotations or {}), "labels": dict(labels or {})}
        self.api.create("/api/v1/namespaces", {"metadata": about})
        account = f"/api/v1/namespaces/{name}/serviceaccounts"
        # No pod is admitted before its service account is there, and controllers then back off.
        self.wait(lambda: bool(self.api.items(account)), name, "the default service account", seconds=20)
        return name

    def delete_namespace(self, name: str) -> None:
        """Ask for its end and return: what is left in it goes in the background.

        Dask objects go first: a namespace that is going refuses what the operator's handlers create, and they
        would try again every minute.
        """
        dask_operator.remove_all(self.api, name)
        self.api.delete(f"/api/v1/namespaces/{name}")

    @contextlib.contextmanager
    def nodes(
        self, count: int, gpus: int = 2, labels: Mapping[str, str] | None = None, prefix: str = "gpu"
    ) -> Iterator[list[str]]:
        """`count` more nodes with `gpus` GPUs each while the block runs; their names."""
        group = secrets.token_hex(3)
        names = [f"{prefix}-{group}-{number}" for number in range(count)]
        nodes.add(self.api, names, gpus, labels or {})
        try:
            yield names
        finally:
            nodes.remove(self.api, names)

    def pods(self, namespace: str, selector: str = waiting.WORKER) -> list[Object]:
        """The pods of a namespace that match the label selector; the workers unless it says otherwise."""
        return self.api.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector)

    def wait_for_workers(self, namespace: str, cluster: str, count: int, seconds: float = PATIENCE) -> list[Object]:
        """Wait until the cluster has exactly `count` worker pods and all are Running; the pods."""
        selector = f"{waiting.WORKER},dask.org/cluster-name={cluster}"

        def staying() -> list[Object]:
            return [each for each in self.pods(namespace, selector) if "deletionTimestamp" not in each["metadata"]]

        def all_run() -> bool:
            pods = staying()
            return len(pods) == count and all(each["status"].get("phase") == "Running" for each in pods)

        self.wait(all_run, namespace, f"{count} running workers of {cluster}", seconds)
        return staying()

    def wait(self, holds: Callable[[], bool], namespace: str, what: str, seconds: float = PATIENCE) -> None:
        """Poll until `holds()`; on a timeout the error shows the namespace's pods, events and the operator."""
        waiting.until(holds, seconds, what, lambda: waiting.report(self.api, namespace, self.operator))

    def audit(self, namespace: str) -> list[Object]:
        """The audit events of writes to Dask resources and pods of a namespace, oldest first.

        `annotations` of an event has what webhooks answered as audit annotations, each under
        `WEBHOOK_NAME/KEY`, and who patched.
        """
        events = (json.loads(line) for line in self.plane.audit.read_text().splitlines())
        return [each for each in events if each["objectRef"].get("namespace") == namespace]

    @contextlib.contextmanager
    def webhook_configuration(self, manifest: Path, url: str, ca: Path) -> Iterator[str]:
        """Register the MutatingWebhookConfiguration of a YAML file, in effect while the block runs; its name.

        Only `clientConfig` is exchanged: `url` is called, and its certificate checked against `ca` (PEM).
        To know that it is in effect, dry runs of a DaskCluster in the namespace `bed-probes` are sent until
        the audit log shows the call: the webhook sees those too.
        """
        body = webhooks.configuration(manifest, url, ca)
        name: str = body["metadata"]["name"]
        webhooks.install(self.api, body)
        try:
            self.wait(lambda: self._calls(name), PROBES, f"the API server calls {name}", seconds=20)
            yield name
        finally:
            self.api.delete(f"{WEBHOOKS}/{name}")

    @contextlib.contextmanager
    def recorder(self, folder: Path) -> Iterator[webhooks.Recorder]:
        """A webhook that allows everything and keeps each AdmissionReview in `folder`; its `ca` is the bed's."""
        recorder = webhooks.Recorder(folder, self.plane.authority.issue("recorder", ["127.0.0.1"]))
        try:
            yield recorder
        finally:
            recorder.stop()

    @contextlib.contextmanager
    def scheduler_for(self, namespace: str) -> Iterator[str]:
        """Let Dask really run in the namespace: a scheduler, and a worker for each worker pod; its address.

        Start it before the cluster, so that a `KubeCluster` finds it at once. See `dask_runtime.py`.
        """
        comm, dashboard = process.free_ports(2)
        script = Path(__file__).with_name("dask_runtime.py")
        argv = [sys.executable, str(script), self.plane.url, str(self.plane.ca), namespace]
        argv += [str(comm), str(dashboard)]
        environment = {"TOKEN": self.plane.token, "DASK_TEMPORARY_DIRECTORY": str(self.plane.state)}
        runtime = self.plane.spawn(f"dask-{namespace}", argv, environment)
        try:
            self.api.create(nodes.FORWARDS, _forward(namespace, comm, dashboard))
            runtime.wait_until(lambda: process.listening(comm))
            yield f"tcp://127.0.0.1:{comm}"
        finally:
            self.api.delete(f"{nodes.FORWARDS}/{namespace}")
            runtime.stop()

    def python(self, *argv: str, namespace: str, seconds: float = 180) -> str:
        """Run Python as a user of the namespace would: `python("-c", CODE, namespace=...)`; all that it wrote.

        `KUBECONFIG` points here, and `KubeCluster` uses the namespace and goes straight to port-forward: it
        would first try for 10 s to resolve a name that only exists inside a cluster.

        Raises:
            DiedError: it ended with an error or ran longer than `seconds`.
        """
        environment = {
            "KUBECONFIG": str(self.plane.kubeconfig),
            "DASK_KUBERNETES__NAMESPACE": namespace,
            "DASK_KUBERNETES__PORT_FORWARD_CLUSTER_IP": "True",
            "PYTHONWARNINGS": "ignore:Kubernetes version",  # kr8s says that it knows none above 1.35
        }
        name = f"python-{secrets.token_hex(3)}"
        run = self.plane.spawn(name, [sys.executable, *argv], environment)
        status = run.wait(seconds)
        if status:
            state = waiting.report(self.api, namespace, self.operator)
            raise process.DiedError(f"{argv}: {status}\n{run.tail(40)}\n{state}")
        return run.log.read_text()

    def _calls(self, configuration: str) -> bool:
        cluster = dask_operator.empty_cluster(f"probe-{secrets.token_hex(4)}")
        path = f"{DASK}/namespaces/{PROBES}/daskclusters"
        self.api.create(f"{path}?dryRun=All", cluster)
        last = self.audit(PROBES)[-1]
        return webhooks.called(last.get("annotations", {}), configuration)


@contextlib.contextmanager
def running(state: Path, programs: Mapping[str, Path]) -> Iterator[Bed]:
    """The whole bed while the block runs, with its state and logs in the empty folder `state`."""
    plane = controlplane.start(state, programs)
    try:
        _define(plane.api, [nodes.port_forward_crd(), *dask_operator.crds()])
        operator = dask_operator.start(plane)
        nodes.start_kwok(plane)
        plane.api.create("/api/v1/namespaces", {"metadata": {"name": PROBES}})
        dask_operator.wait_until_it_handles(plane.api, operator, PROBES)
        pending = dask_operator.PendingClusters(plane.api)
        pending.start()
        try:
            yield Bed(plane=plane, operator=operator)
        finally:
            pending.stop()
    finally:
        plane.stop()


def _define(api: Api, crds: list[Object]) -> None:
    """Apply the definitions and wait until they are served, which is a moment after `Established`."""
    for crd in crds:
        api.apply(CRDS, crd)
    specs = [each["spec"] for each in crds]
    paths = [f"/apis/{each['group']}/{each['versions'][0]['name']}/{each['names']['plural']}" for each in specs]
    waiting.until(lambda: all(map(api.exists, paths)), 20, "the custom resources are served", lambda: "")


def _forward(namespace: str, comm: int, dashboard: int) -> Object:
    targets = ((8786, comm), (8787, dashboard))
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "ClusterPortForward",
        "metadata": {"name": namespace},
        "spec": {
            "selector": {"matchNamespaces": [namespace]},
            "forwards": [{"ports": [port], "target": {"address": "127.0.0.1", "port": real}} for port, real in targets],
        },
    }
