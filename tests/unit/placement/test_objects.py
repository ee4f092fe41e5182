"""Conversion of raw Nodes and Pods, valid and malformed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.placement.factories import DEMO, GPU
from webhook.placement import objects
from webhook.placement.model import PodUsage

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

READY = [{"type": "Ready", "status": "True"}]
LABELS = {
    "dask.org/component": "worker",
    "dask.org/cluster-name": "demo",
    "dask.org/workergroup-name": "demo-default",
}


def gpu_container(amount: Unstructured, **fields: Unstructured) -> Unstructured:
    """Return a container with a GPU limit."""
    return {"resources": {"limits": {GPU: amount, "cpu": "4"}}, **fields}


SIDECAR = gpu_container("1", restartPolicy="Always")


def pod(**spec: Unstructured) -> Unstructured:
    """Return a bound pod with one container of two GPUs."""
    return {
        "metadata": {"namespace": "rapids", "uid": "1", "labels": LABELS},
        "spec": {"nodeName": "n", "containers": [gpu_container("2")], **spec},
        "status": {"phase": "Running"},
    }


def test_node() -> None:
    """A node keeps its hostname, labels, taints and extended resources."""
    found = objects.node(
        {
            "metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "host"}},
            "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]},
            "status": {"allocatable": {GPU: "8", "cpu": "64", "rdma/hca": "1k"}, "conditions": READY},
        }
    )
    assert (found.name, found.hostname, found.schedulable) == ("n", "host", True)
    assert found.extended == {GPU: 8, "rdma/hca": 1000}
    assert [each.key for each in found.taints] == ["a"]


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({"unschedulable": True}, {"conditions": READY}),
        ({}, {"conditions": [{"type": "Ready", "status": "Unknown"}]}),
        ({}, {}),
        (None, None),
    ],
)
def test_unschedulable_nodes(spec: Unstructured, status: Unstructured) -> None:
    """A node that is cordoned or not ready is not schedulable."""
    assert not objects.node({"metadata": {"name": "n"}, "spec": spec, "status": status}).schedulable


def test_worker() -> None:
    """A bound worker counts with its GPUs and its group."""
    assert objects.pod_usage(pod()) == PodUsage("n", ((GPU, 2),), DEMO)


@pytest.mark.parametrize(
    "item",
    [
        pod(nodeName=None),
        pod(containers=[{"resources": {"limits": {"cpu": "4"}}}]),
        pod(containers=None),
        pod() | {"status": {"phase": "Succeeded"}},
        {},
        None,
    ],
)
def test_pods_without_usage(item: Unstructured) -> None:
    """A pod that is not bound, has ended, or requests no extended resource is ignored."""
    assert objects.pod_usage(item) is None


@pytest.mark.parametrize(
    ("spec", "gpus"),
    [
        ({"containers": [gpu_container("2"), gpu_container(1)]}, 3),
        ({"containers": [gpu_container("1")], "initContainers": [gpu_container("4")]}, 4),
        ({"containers": [gpu_container("2")], "initContainers": [SIDECAR]}, 3),
        (
            {
                "containers": [gpu_container("1")],
                "initContainers": [SIDECAR, gpu_container("3")],
            },
            4,
        ),
        ({"containers": [{"resources": {"requests": {GPU: "5"}}}]}, 5),
    ],
)
def test_requests_are_summed_like_kube_scheduler(spec: Unstructured, gpus: int) -> None:
    """Containers and sidecars add up; another init container counts only if it requests more."""
    assert objects.requests(spec) == {GPU: gpus}


@pytest.mark.parametrize(("raw", "number"), [("8", 8), (3, 3), ("2k", 2000), ("1Ki", 1024), ("x", 0), ("1.5", 0)])
def test_quantities(raw: Unstructured, number: int) -> None:
    """Whole quantities are parsed, and anything else is 0."""
    assert objects.quantity(raw) == number
