"""The guide's user on real kubelets: workers started by the command the webhook wrote compute a result."""

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
GPUS = 8  # five workers with one each, and room for those that are leaving


@pytest.fixture(scope="module")
def operator(cluster: Cluster) -> Iterator[str]:
    """dask-kubernetes from its own chart; and the race of its issue 968 looked after, as in the test bed."""
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
    """dask-kubernetes issue 968: what is found `Pending` twice in a row is set to `Running`."""
    before: set[tuple[str, str]] = set()
    while not over.wait(2):
        try:
            found = cluster.json("get", "daskclusters", "-A")["items"]
            now = {
                (each["metadata"]["namespace"], each["metadata"]["name"])
                for each in found
                if each.get("status", {}).get("phase") == "Pending"
            }
            for namespace, name in before & now:
                body = json.dumps({"status": {"phase": "Running"}})
                cluster.kubectl("patch", "daskcluster", "-n", namespace, name, "--type=merge", "-p", body)
        except FailedError:
            now = set()  # no such kind yet, or deleted meanwhile
        before = now


@pytest.fixture(scope="module", autouse=True)
def gpus(cluster: Cluster) -> Iterator[None]:
    """Nodes with GPUs; where there are too few, the first node is given some to be scheduled, with no device."""
    nodes = cluster.json("get", "nodes")["items"]
    total = sum(int(each["status"]["allocatable"].get(GPU, 0)) for each in nodes)
    if total >= GPUS:
        yield
        return
    name = nodes[0]["metadata"]["name"]
    pretend(cluster, name, {GPU: str(GPUS)})
    yield
    pretend(cluster, name, {GPU: None})


def pretend(cluster: Cluster, node: str, capacity: dict[str, str | None]) -> None:
    """Patch the node's capacity, and wait until its kubelet has taken it over."""
    body = json.dumps({"status": {"capacity": capacity}})
    cluster.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", body)
    for _ in range(120):
        found = cluster.json("get", "node", node)["status"]["allocatable"]
        if found.get(GPU) == capacity[GPU] or capacity[GPU] is None:
            return
        time.sleep(0.5)
    raise AssertionError(f"{node} does not take over {capacity}")


def spec(image: str) -> Object:
    """The plain example, with the image that this cluster has."""
    cluster: Object = json.loads(manifest("cluster", workers=2, scheduler_gpu=False))
    for part in ("worker", "scheduler"):
        for container in cluster["spec"][part]["spec"]["containers"]:
            container |= {"image": image, "imagePullPolicy": "IfNotPresent"}
    return cluster


class Watcher(threading.Thread):
    """Keeps every worker pod that was seen Running, since the user's script takes them away again."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        """Look at one namespace, from `start` to `stop`."""
        super().__init__(daemon=True)
        self.seen: dict[str, Object] = {}
        self._cluster, self._namespace, self._over = cluster, namespace, threading.Event()

    def run(self) -> None:
        """Look each second."""
        while not self._over.wait(1):
            arguments = ("get", "pods", "-n", self._namespace, "-l", "dask.org/component=worker")
            for pod in self._cluster.json(*arguments)["items"]:
                if pod["status"]["phase"] == "Running":
                    self.seen[pod["metadata"]["name"]] = pod

    def stop(self) -> dict[str, Object]:
        """All pods that were seen."""
        self._over.set()
        self.join()
        return self.seen


@pytest.mark.usefixtures("operator")
def test_guides_user_computes(cluster: Cluster, installed: Installed, namespace: str, tmp_path: Path) -> None:
    """`KubeCluster` with a manifest that says nothing of GPUs: workers get all, compute, scale to five and to one."""
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
    LINES.append(f"the guide's user saw {result}; {len(seen)} worker pods ran")
    assert (result["sum on five"], result["sum on one"], result["scaled up"]) == (45, 55, 5)
    assert len(seen) >= 5
    for pod in seen.values():
        (container,) = pod["spec"]["containers"]
        assert container["args"][0] == "dask-cuda-worker"
        assert container["resources"]["limits"] == {GPU: "1"}
        (term,) = pod["spec"]["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
