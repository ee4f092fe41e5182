"""The RAPIDS guide's scenario: three nodes of two GPUs, a Dask scheduler with one GPU, two workers, then four."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.e2e.examples import manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.e2e.bed.api import Object
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl

CLUSTER = "rapids-dask-cluster"
GROUP = f"{CLUSTER}-default"
SCHEDULER = f"dask.org/component=scheduler,dask.org/cluster-name={CLUSTER}"
RUNS = int(os.environ.get("GUIDE_RUNS", "5"))
"""Number of runs of the scenario."""


@pytest.fixture
def three_nodes(bed: Bed) -> Iterator[list[str]]:
    """Create three nodes with two GPUs each for this test alone, and yield their names."""
    with bed.nodes(3, gpus=2) as names:
        # Until the node-lifecycle controller removes the taint, kube-scheduler sees fewer nodes than there are.
        bed.wait(lambda: not any(_is_tainted(bed, name) for name in names), "default", "the nodes have no taints")
        yield names


def _is_tainted(bed: Bed, name: str) -> bool:
    node = bed.api.get(f"/api/v1/nodes/{name}")
    return bool(node["spec"].get("taints"))


def nodes_of(pods: Sequence[Object]) -> Counter[str]:
    """Count the pods on each node."""
    return Counter(pod["spec"]["nodeName"] for pod in pods)


def scheduler_node(bed: Bed, namespace: str) -> str:
    """Wait until the cluster's Dask scheduler runs, and return its node."""

    def running() -> list[Object]:
        return [pod for pod in bed.pods(namespace, SCHEDULER) if pod["status"].get("phase") == "Running"]

    bed.wait(lambda: bool(running()), namespace, "the Dask scheduler runs")
    (pod,) = running()
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    return str(pod["spec"]["nodeName"])


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.usefixtures("three_nodes")
def test_guides_scenario(bed: Bed, kubectl: Kubectl, enabled: str, run: int) -> None:
    """Two workers share one node, four use two, and no worker runs beside the Dask scheduler."""
    kubectl("apply", "-n", enabled, "-f", "-", stdin=manifest("cluster", workers=2))
    two = nodes_of(bed.wait_for_workers(enabled, CLUSTER, 2))
    scheduler = scheduler_node(bed, enabled)
    kubectl("scale", "-n", enabled, "daskworkergroup", GROUP, "--replicas=4")
    four = nodes_of(bed.wait_for_workers(enabled, CLUSTER, 4))
    assert (len(two), len(four), scheduler in four) == (1, 2, False), f"run {run}: {two}, {four}, {scheduler}"


def pod_of(component: str, number: int, spec: Object) -> Object:
    """Return a pod with a pod template's spec and the labels that the operator writes."""
    group = {"dask.org/workergroup-name": GROUP} if component == "worker" else {}
    labels = {"dask.org/cluster-name": CLUSTER, "dask.org/component": component, **group}
    metadata = {"name": f"{component}-{number}", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("apart", [True, False], ids=["one-by-one", "at-once"])
@pytest.mark.parametrize("order", ["sww", "wws", "wsw"], ids=["scheduler-first", "workers-first", "scheduler-between"])
@pytest.mark.usefixtures("three_nodes")
def test_scenario_holds_for_any_order_of_pods(
    bed: Bed, kubectl: Kubectl, enabled: str, order: str, *, apart: bool
) -> None:
    """The scenario holds for any order of pods, with or without waiting until each pod is bound."""
    created = kubectl(
        "create", "-n", enabled, "--dry-run=server", "-o", "json", "-f", "-", stdin=manifest("cluster", workers=2)
    )
    spec = json.loads(created.stdout)["spec"]
    pods = f"/api/v1/namespaces/{enabled}/pods"
    for number, letter in enumerate((*order, "w", "w")):
        if number == len(order):
            two = nodes_of(bed.wait_for_workers(enabled, CLUSTER, 2))
            scheduler = scheduler_node(bed, enabled)
        component = {"s": "scheduler", "w": "worker"}[letter]
        bed.api.create(pods, pod_of(component, number, spec[component]["spec"]))
        if apart:
            bed.wait(lambda: all(_bound(bed, enabled)), enabled, "all pods are bound")
    four = nodes_of(bed.wait_for_workers(enabled, CLUSTER, 4))
    assert (len(two), len(four), scheduler in four) == (1, 2, False), f"{order}: {two}, {four}, {scheduler}"


def _bound(bed: Bed, namespace: str) -> list[bool]:
    return ["nodeName" in pod["spec"] for pod in bed.pods(namespace, "dask.org/component")]
