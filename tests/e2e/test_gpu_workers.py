"""Clusters with CPU and GPU workers through the real operator: only pods of GPU workers change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.examples import manifest

if TYPE_CHECKING:
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl, NamespaceFactory
    from webhook.workloads.unstructured import Unstructured

CLUSTER = "mixed"
ARGS = ["dask-worker", "--name", "$(DASK_WORKER_NAME)"]
GROUP = "dask.org/workergroup-name"


def container(**resources: str) -> Unstructured:
    """Return the container of a Dask worker with these requests and limits."""
    amounts = {name.replace("_", "."): quantity for name, quantity in resources.items()}
    plain = {"name": "worker", "image": "rapidsai/base:26.08", "args": ARGS}
    return {**plain, "resources": {"requests": amounts, "limits": amounts}} if amounts else plain


def objects(gpu: Unstructured) -> list[Unstructured]:
    """Return a DaskCluster with CPU workers, a high-memory group, and a group with the container `gpu`."""
    cluster = json.loads(manifest("cluster", workers=2))
    cluster["metadata"]["name"] = CLUSTER
    cluster["spec"]["worker"] = {"replicas": 2, "spec": {"containers": [container()]}}
    cluster["spec"]["scheduler"]["service"]["selector"]["dask.org/cluster-name"] = CLUSTER
    groups = {"highmem": container(memory="1Gi"), "gpu": gpu}
    return [
        cluster,
        *(
            {
                "apiVersion": cluster["apiVersion"],
                "kind": "DaskWorkerGroup",
                "metadata": {"name": f"{CLUSTER}-{name}"},
                "spec": {"cluster": CLUSTER, "worker": {"replicas": 2, "spec": {"containers": [worker]}}},
            }
            for name, worker in groups.items()
        ),
    ]


@pytest.mark.usefixtures("gpu_nodes", "webhook")
@pytest.mark.parametrize(
    ("gpu_workers", "gpu"),
    [
        ("requested", container() | {"resources": {"limits": {"nvidia.com/gpu": "1"}}}),
        (f"{GROUP} in ({CLUSTER}-gpu), {GROUP}!={CLUSTER}-default", container()),
    ],
    ids=["requested", "selector"],
)
def test_exactly_the_gpu_group_changes(
    bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory, gpu_workers: str, gpu: Unstructured
) -> None:
    """Of a cluster's CPU, high-memory and GPU groups, only the pods of the GPU group are mutated."""
    name = make_namespace({"colocate.dask.org/enabled": "true", "colocate.dask.org/gpu-workers": gpu_workers})
    for item in objects(gpu):
        kubectl("apply", "-n", name, "-f", "-", stdin=json.dumps(item))
    changed = {}
    for pod in bed.wait_for_workers(name, CLUSTER, 6):
        worker, group = pod["spec"]["containers"][0], pod["metadata"]["labels"][GROUP]
        changes = (
            "podAffinity" in pod["spec"].get("affinity", {}),
            worker["args"][0] == "dask-cuda-worker",
            "nvidia.com/gpu" in worker.get("resources", {}).get("limits", {}),
        )
        changed.setdefault(group, set()).add(changes)
    unmodified, mutated = {(False, False, False)}, {(True, True, True)}
    assert changed == {
        f"{CLUSTER}-default": unmodified,
        f"{CLUSTER}-highmem": unmodified,
        f"{CLUSTER}-gpu": mutated,
    }
