"""The guide's code on real kubelets: workers with the command that the webhook wrote compute a result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.examples import manifest
from tests.e2e.node.conftest import named
from tests.e2e.node.measured import LINES
from tests.e2e.node.release import FailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.node.conftest import Installed
    from tests.e2e.node.release import Cluster, Object

OPERATOR = "deployment/helm/dask-kubernetes-operator"
SYSTEM = "dask-operator"
GUIDE_USER = Path(__file__).parents[1] / "guide_user.py"
GPU = "nvidia.com/gpu"
GPUS = 8  # five workers with one GPU each, and pods that are being deleted


@pytest.fixture(scope="module")
def operator(cluster: Cluster) -> Iterator[str]:
    """Install dask-kubernetes from its own chart; work around the race of its issue 968, as in the test bed."""
    image, _, tag = named("TEST_OPERATOR_IMAGE").rpartition(":")
    chart = str(resources.files("dask_kubernetes.operator").joinpath(OPERATOR))
    settings = ("--set", f"image.name={image},image.tag={tag}")
    cluster.helm("install", "dask", chart, "-n", SYSTEM, "--create-namespace", *settings, "--wait")
    over = threading.Event()
    mover = threading.Thread(target=move_pending_on, args=(cluster, over))
    mover.start()
    yield SYSTEM
    over.set()
    mover.join()
    cluster.helm("uninstall", "dask", "-n", SYSTEM, "--wait")
    cluster.kubectl("delete", "namespace", SYSTEM, "--wait=false")
    for crd in json.loads(cluster.kubectl("get", "crd", "-o", "json"))["items"]:
        if crd["spec"]["group"] == "kubernetes.dask.org":
            cluster.kubectl("delete", "crd", crd["metadata"]["name"], "--wait=false")


def move_pending_on(cluster: Cluster, over: threading.Event) -> None:
    """Set clusters that are `Pending` in two consecutive lists to `Running` (dask-kubernetes issue 968)."""
    before: set[tuple[str, str]] = set()
    while not over.wait(2):
        try:
            clusters = cluster.json("get", "daskclusters", "-A")["items"]
            now = {
                (item["metadata"]["namespace"], item["metadata"]["name"])
                for item in clusters
                if item.get("status", {}).get("phase") == "Pending"
            }
            for namespace, name in before & now:
                body = json.dumps({"status": {"phase": "Running"}})
                cluster.kubectl("patch", "daskcluster", "-n", namespace, name, "--type=merge", "-p", body)
        except FailedError:
            now = set()  # the CRD does not exist yet, or the object was deleted
        before = now


@pytest.fixture(scope="module", autouse=True)
def gpus(cluster: Cluster) -> Iterator[None]:
    """Provide GPUs; if the nodes have too few, add GPU capacity without devices to the first node."""
    nodes = cluster.json("get", "nodes")["items"]
    total = sum(int(node["status"]["allocatable"].get(GPU, 0)) for node in nodes)
    if total >= GPUS:
        yield
        return
    name = nodes[0]["metadata"]["name"]
    set_capacity(cluster, name, {GPU: str(GPUS)})
    yield
    set_capacity(cluster, name, {GPU: None})


def set_capacity(cluster: Cluster, node: str, capacity: dict[str, str | None]) -> None:
    """Patch the capacity of a node, and wait until it is in `status.allocatable`."""
    body = json.dumps({"status": {"capacity": capacity}})
    cluster.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", body)
    for _ in range(120):
        allocatable = cluster.json("get", "node", node)["status"]["allocatable"]
        if allocatable.get(GPU) == capacity[GPU] or capacity[GPU] is None:
            return
        time.sleep(0.5)
    raise AssertionError(f"{node}: status.allocatable does not show {capacity}")


def spec(image: str) -> Object:
    """Return the plain example with an image of this cluster."""
    cluster: Object = json.loads(manifest("cluster", workers=2, scheduler_gpu=False))
    for part in ("worker", "scheduler"):
        for container in cluster["spec"][part]["spec"]["containers"]:
            container |= {"image": image, "imagePullPolicy": "IfNotPresent"}
    return cluster


class Watcher(threading.Thread):
    """Recorder of all running worker pods; the user's script deletes them at its end."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        """Record the pods of one namespace from `start` to `stop`."""
        super().__init__(daemon=True)
        self.seen: dict[str, Object] = {}
        self._cluster, self._namespace, self._over = cluster, namespace, threading.Event()

    def run(self) -> None:
        """List the pods every second."""
        while not self._over.wait(1):
            arguments = ("get", "pods", "-n", self._namespace, "-l", "dask.org/component=worker")
            for pod in self._cluster.json(*arguments)["items"]:
                if pod["status"]["phase"] == "Running":
                    self.seen[pod["metadata"]["name"]] = pod

    def stop(self) -> dict[str, Object]:
        """Stop the thread and return all recorded pods."""
        self._over.set()
        self.join()
        return self.seen


@pytest.mark.usefixtures("operator")
def test_guides_user_computes(cluster: Cluster, installed: Installed, namespace: str, tmp_path: Path) -> None:
    """Workers of a `KubeCluster` without GPU settings are mutated, compute, and scale to five and to one."""
    assert installed.seconds
    path = tmp_path / "cluster.json"
    path.write_text(json.dumps(spec(named("TEST_DASK_IMAGE"))))
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        "DASK_KUBERNETES__NAMESPACE": namespace,
        "DASK_KUBERNETES__PORT_FORWARD_CLUSTER_IP": "True",
        "PYTHONWARNINGS": "ignore:Kubernetes version",
    }
    watcher = Watcher(cluster, namespace)
    watcher.start()
    argv = [sys.executable, str(GUIDE_USER), str(path)]
    done = subprocess.run(argv, env=os.environ | environment, capture_output=True, text=True, timeout=400, check=False)
    seen = watcher.stop()
    assert not done.returncode, done.stderr[-4000:]
    result = json.loads(done.stdout.splitlines()[-1])
    LINES.append(f"results of the guide's code: {result}; {len(seen)} worker pods ran")
    assert (result["sum on five"], result["sum on one"], result["scaled up"]) == (45, 55, 5)
    assert len(seen) >= 5
    for pod in seen.values():
        (container,) = pod["spec"]["containers"]
        assert container["args"][0] == "dask-cuda-worker"
        assert container["resources"]["limits"] == {GPU: "1"}
        (term,) = pod["spec"]["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
