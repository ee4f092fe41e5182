"""`helm install --wait` on real kubelets: quick, restricted, reached through the Service, and never missed."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.node import load
from tests.e2e.node.conftest import NAME
from tests.e2e.node.measured import LINES
from tests.e2e.node.release import CHART, FailedError

if TYPE_CHECKING:
    from tests.e2e.node.conftest import Installed
    from tests.e2e.node.release import Cluster, Object

POD = json.dumps(load.POD | {"metadata": {**load.POD["metadata"], "name": "worker"}})  # type: ignore[dict-item] # it is one
SELECTOR = f"app.kubernetes.io/name={NAME},app.kubernetes.io/instance={NAME}"


def pods(cluster: Cluster) -> list[Object]:
    """The replicas that are not leaving."""
    found: list[Object] = cluster.json("get", "pods", "-n", NAME, "-l", SELECTOR)["items"]
    return [each for each in found if "deletionTimestamp" not in each["metadata"]]


@pytest.fixture
def server(cluster: Cluster) -> load.Server:
    """The API server as the administrator."""
    return load.server(cluster.kubeconfig)


def test_ready_within_15_seconds(cluster: Cluster, installed: Installed) -> None:
    """From `helm install` to both replicas Ready it takes less than 15 s."""
    LINES.append(f"helm install --wait took {installed.seconds:.1f} s")
    states = [each for pod in pods(cluster) for each in pod["status"]["conditions"] if each["type"] == "Ready"]
    assert [each["status"] for each in states] == ["True", "True"]
    assert installed.seconds < 15


def test_runs_with_nothing_to_spare(cluster: Cluster, installed: Installed) -> None:
    """Each replica is a nobody without capabilities on a read-only root."""
    assert installed.seconds
    who = "import os; print(os.getuid(), [l.split()[1] for l in open('/proc/self/status') if l.startswith('CapEff')])"
    for pod in pods(cluster):
        inside = ("exec", "-n", NAME, pod["metadata"]["name"], "--", "python", "-c")
        assert cluster.kubectl(*inside, who).split() == ["65532", "['0000000000000000']"]
        with pytest.raises(FailedError, match="Read-only file system"):
            cluster.kubectl(*inside, "open('/written', 'w')")


def test_helm_test_passes(cluster: Cluster, installed: Installed) -> None:
    """`helm test` reaches the Service by name with the certificate checked."""
    said = cluster.helm("test", installed.release.name, "-n", NAME, "--timeout=300s")
    assert "Failed" not in said
    assert said.count("Succeeded") >= 1


def test_worker_pod_is_mutated(cluster: Cluster, installed: Installed, namespace: str) -> None:
    """A worker's pod in an annotated namespace gets affinity, GPU limit and command on its way through."""
    assert installed.seconds
    answer = json.loads(
        cluster.kubectl("create", "-n", namespace, "--dry-run=server", "-o", "json", "-f", "-", stdin=POD)
    )
    (container,) = answer["spec"]["containers"]
    assert container["args"][0] == "dask-cuda-worker"
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert answer["spec"]["affinity"]["podAffinity"]


def test_a_replica_may_go_at_any_time(
    cluster: Cluster, installed: Installed, namespace: str, server: load.Server
) -> None:
    """One replica is deleted under 200 admissions a second: each is answered and none is missed."""
    assert installed.seconds
    with load.Load(server=server, namespace=namespace) as running:
        time.sleep(3)
        cluster.kubectl("delete", "pod", "-n", NAME, pods(cluster)[0]["metadata"]["name"], "--wait=false")
        time.sleep(1)
        cluster.kubectl("rollout", "status", "-n", NAME, f"deployment/{NAME}", "--timeout=300s")
        time.sleep(15)  # the leaving one has 3 s on the Service, 5 s to drain and 5 s for what is under way
    LINES.append(f"one replica deleted: {running}")
    assert set(running.outcomes) == {"mutated"}


def test_rolling_restart_misses_nothing(
    cluster: Cluster, installed: Installed, namespace: str, server: load.Server
) -> None:
    """All replicas are replaced under 200 admissions a second: 0 fail and 0 are missed."""
    assert installed.seconds
    with load.Load(server=server, namespace=namespace) as running:
        time.sleep(3)
        cluster.kubectl("rollout", "restart", "-n", NAME, f"deployment/{NAME}")
        cluster.kubectl("rollout", "status", "-n", NAME, f"deployment/{NAME}", "--timeout=300s")
        time.sleep(15)
    LINES.append(f"rolling restart: {running}")
    assert set(running.outcomes) == {"mutated"}
    if running.achieved < 190:
        pytest.skip(f"NOT SHOWN at 200 a second: the cluster took no more, too busy or too small for them: {running}")


def test_upgrade_misses_nothing(cluster: Cluster, installed: Installed, namespace: str, server: load.Server) -> None:
    """`helm upgrade` with other arguments, and `helm rollback`, lose no admission either."""
    assert installed.seconds
    release = installed.release
    with load.Load(server=server, namespace=namespace, rate=50) as running:
        settings = [flag for each in (*release.settings, "logLevel=WARNING") for flag in ("--set", each)]
        cluster.helm("upgrade", NAME, str(CHART), "-n", NAME, *settings, "--wait", "--timeout=300s")
        release.rollback(1, "--wait", "--timeout=300s")
        time.sleep(15)
    LINES.append(f"upgrade and rollback: {running}")
    assert set(running.outcomes) == {"mutated"}
