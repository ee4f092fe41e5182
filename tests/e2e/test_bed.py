"""The test bed without the webhook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dask_kubernetes.operator import make_cluster_spec  # type: ignore[import-untyped] # the package has no py.typed

from tests.e2e.bed import process, versions
from tests.e2e.bed.bed import KubectlError

if TYPE_CHECKING:
    from tests.e2e.bed.api import Object
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl

USER = "tests/e2e/guide_user.py"
CONFIGURATION = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: recorded}
webhooks:
- name: recorded.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  clientConfig: {service: {name: no-service, namespace: no-namespace}}
  rules:
  - {apiGroups: [kubernetes.dask.org], apiVersions: [v1], operations: [CREATE], resources: [daskclusters]}
"""


def guide_cluster(workers: int) -> Object:
    """Return the guide's cluster: the output of `make_cluster_spec` with one GPU for each worker."""
    cluster: Object = make_cluster_spec(name="guide", n_workers=workers)
    cluster["spec"]["worker"]["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    return cluster


@pytest.mark.skipif(
    "KUBEBUILDER_ASSETS" in os.environ and not os.environ.get(versions.VARIABLE),
    reason="KUBEBUILDER_ASSETS selects binaries of any version",
)
def test_control_plane_is_of_the_selected_version(bed: Bed) -> None:
    """The API server reports the version that `KUBERNETES_VERSION` selects."""
    assert bed.api.get("/version")["gitVersion"] == versions.selected().tag


def test_guide_cluster_runs(bed: Bed, kubectl: Kubectl, namespace: str, gpu_nodes: list[str]) -> None:
    """The guide's four workers run on the simulated nodes, at most two on a node with two GPUs."""
    kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(guide_cluster(4)))
    nodes = [pod["spec"]["nodeName"] for pod in bed.wait_for_workers(namespace, "guide", 4)]
    assert set(nodes) <= set(gpu_nodes)
    assert max(nodes.count(node) for node in nodes) <= 2


def test_worker_without_a_free_gpu_waits(bed: Bed, kubectl: Kubectl, namespace: str) -> None:
    """kube-scheduler counts GPUs: of three workers on a node with two GPUs, one stays Pending."""
    with bed.nodes(1, gpus=2):
        kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(guide_cluster(3)))
        bed.wait(lambda: phases(bed, namespace) == ["Pending", "Running", "Running"], namespace, "two of three run")


@pytest.mark.usefixtures("gpu_nodes")
def test_users_code_runs_unchanged(bed: Bed, namespace: str, tmp_path: Path) -> None:
    """`KubeCluster` starts the guide's cluster, scales it up and down, and computes on its workers."""
    spec = tmp_path / "cluster.json"
    spec.write_text(json.dumps(guide_cluster(4)))
    with bed.scheduler_for(namespace):
        output = bed.python(USER, str(spec), namespace=namespace)
    results = json.loads(output.splitlines()[-1])
    assert results == {"scaled up": 5, "sum on five": 45, "scaled down": 1, "sum on one": 55}


def test_recorder_stores_reviews_unchanged(bed: Bed, kubectl: Kubectl, namespace: str, tmp_path: Path) -> None:
    """The recorder replaces the address of a configuration and stores the review of an object as it was sent."""
    manifest = tmp_path / "configuration.yaml"
    manifest.write_text(CONFIGURATION)
    with bed.recorder(tmp_path / "reviews") as recorder:
        with bed.webhook_configuration(manifest, recorder.url, bed.plane.ca):
            kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(guide_cluster(1)))
        reviews = [json.loads(file.read_text()) for file in recorder.files()]
    (request,) = (review["request"] for review in reviews if review["request"]["namespace"] == namespace)
    assert request["object"]["spec"]["worker"]["replicas"] == 1
    (event,) = (event for event in bed.audit(namespace) if event["verb"] == "create" and is_cluster(event))
    assert any("round_0" in key and "recorded.example.com" in value for key, value in event["annotations"].items())


def test_failed_kubectl_raises_with_its_stderr(kubectl: Kubectl, namespace: str) -> None:
    """A failed command raises an error with the stderr of kubectl."""
    with pytest.raises(KubectlError, match="not found"):
        kubectl("get", "-n", namespace, "pod", "missing")


def test_children_end_with_the_run(tmp_path: Path) -> None:
    """A child process ends when its parent is killed without any cleanup."""
    code = (
        "import pathlib, sys, time; from tests.e2e.bed import process; "
        "child = process.start('sleep', ['sleep', '60'], pathlib.Path(sys.argv[1])); "
        "print(child.child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "log")], stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        child = int(run.stdout.readline())
        time.sleep(0.5)  # until the launcher has executed `sleep`
        run.kill()
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def test_log_of_a_dead_child_is_shown(tmp_path: Path) -> None:
    """Waiting for a child process that has ended fails at once, with the last lines of its log."""
    child = process.start("short", ["sh", "-c", "echo too bad; exit 3"], tmp_path / "log")
    with pytest.raises(process.DiedError, match=r"ended with 3:\ntoo bad"):
        child.wait_until(lambda: False)


def phases(bed: Bed, namespace: str) -> list[str]:
    """Return the sorted phases of the worker pods."""
    return sorted(pod["status"].get("phase", "") for pod in bed.pods(namespace))


def is_cluster(event: Object) -> bool:
    """Return whether an audit event is about a DaskCluster."""
    return bool(event["objectRef"]["resource"] == "daskclusters")


def alive(pid: int) -> bool:
    """Return whether the process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
