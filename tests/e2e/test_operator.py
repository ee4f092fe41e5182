"""All ways to create Dask workers: KubeCluster, worker groups, jobs, the autoscaler, existing clusters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from dask_kubernetes.operator import make_cluster_spec  # type: ignore[import-untyped] # the package has no py.typed

from tests.e2e.examples import manifest
from tests.e2e.webhook_process import installed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.bed.api import Object
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl, NamespaceFactory

CLUSTER = "rapids-dask-cluster"


def is_mutated(pod: Object, cluster: str) -> bool:
    """Return whether a worker pod has the GPU limit, the dask-cuda command and the affinity to its own cluster."""
    (container,) = pod["spec"]["containers"]
    terms = pod["spec"]["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    selectors = [term["podAffinityTerm"]["labelSelector"]["matchExpressions"] for term in terms]
    return bool(
        container["args"][0] == "dask-cuda-worker"
        and container["resources"]["limits"]["nvidia.com/gpu"] == "1"
        and {"key": "dask.org/cluster-name", "operator": "In", "values": [cluster]} in selectors[0]
        and selectors == [selectors[0]] * 2
    )


@pytest.mark.usefixtures("gpu_nodes")
def test_kubecluster_scale_group_and_from_name(bed: Bed, enabled: str) -> None:
    """All 8 worker pods of unchanged code with `KubeCluster`, `scale`, an added group and `from_name` are mutated."""
    with bed.scheduler_for(enabled):
        bed.python("tests/e2e/plain_user.py", "plain", namespace=enabled)
        pods = bed.wait_for_workers(enabled, "plain", 8)
    assert all(is_mutated(pod, "plain") for pod in pods)


@pytest.mark.usefixtures("gpu_nodes")
def test_guides_code_still_computes(bed: Bed, enabled: str, tmp_path: Path) -> None:
    """The guide's Python code computes and scales up and down in an enabled namespace."""
    spec = make_cluster_spec(name="guide", n_workers=4)
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps(spec))
    with bed.scheduler_for(enabled):
        output = bed.python("tests/e2e/guide_user.py", str(file), namespace=enabled)
    assert json.loads(output.splitlines()[-1])["sum on one"] == 55


def test_job(bed: Bed, kubectl: Kubectl, enabled: str, gpu_nodes: list[str]) -> None:
    """The workers of a DaskJob's cluster, which the operator creates, are mutated."""
    assert gpu_nodes
    cluster = json.loads(manifest("cluster", workers=2))
    runner = {"containers": [{"name": "job", "image": "example", "args": ["python", "-c", "1"]}]}
    job = {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskJob",
        "metadata": {"name": "job"},
        "spec": {"job": {"spec": runner}, "cluster": {"spec": cluster["spec"]}},
    }
    service = job["spec"]["cluster"]["spec"]["scheduler"]["service"]  # type: ignore[index] # a plain manifest
    service["selector"]["dask.org/cluster-name"] = "job"
    kubectl("apply", "-n", enabled, "-f", "-", stdin=json.dumps(job))
    assert all(is_mutated(pod, "job") for pod in bed.wait_for_workers(enabled, "job", 2))


def test_autoscaler_step(bed: Bed, kubectl: Kubectl, enabled: str, gpu_nodes: list[str]) -> None:
    """The workers that a DaskAutoscaler adds are mutated."""
    assert gpu_nodes
    autoscaler = {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskAutoscaler",
        "metadata": {"name": CLUSTER},
        "spec": {"cluster": CLUSTER, "minimum": 3, "maximum": 4},
    }
    with bed.scheduler_for(enabled):
        kubectl("apply", "-n", enabled, "-f", "-", stdin=manifest("cluster", workers=1))
        bed.wait_for_workers(enabled, CLUSTER, 1)
        kubectl("apply", "-n", enabled, "-f", "-", stdin=json.dumps(autoscaler))
        # Outside the cluster the operator tries for 10 s to resolve the scheduler's name, at each step.
        pods = bed.wait_for_workers(enabled, CLUSTER, 3, seconds=180)
    assert all(is_mutated(pod, CLUSTER) for pod in pods)


def test_cluster_older_than_the_annotation(
    bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory, gpu_nodes: list[str]
) -> None:
    """New workers of a cluster that is older than its namespace's annotation are mutated."""
    assert gpu_nodes
    name = make_namespace()
    kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=1))
    (before,) = bed.wait_for_workers(name, CLUSTER, 1)
    kubectl("annotate", "namespace", name, "colocate.dask.org/enabled=true")
    with installed(bed):
        kubectl("scale", "-n", name, "daskworkergroup", f"{CLUSTER}-default", "--replicas=3")
        pods = bed.wait_for_workers(name, CLUSTER, 3)
    added = [pod for pod in pods if pod["metadata"]["uid"] != before["metadata"]["uid"]]
    assert len(added) == 2
    assert all(is_mutated(pod, CLUSTER) for pod in added)
