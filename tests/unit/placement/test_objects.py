"""Raw Nodes and Pods, as an API server has them and as they could never be."""

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


def asking(amount: Unstructured, **fields: Unstructured) -> Unstructured:
    """A container that asks for GPUs."""
    return {"resources": {"limits": {GPU: amount, "cpu": "4"}}, **fields}


def pod(**spec: Unstructured) -> Unstructured:
    """A bound pod with one container of two GPUs."""
    return {
        "metadata": {"namespace": "rapids", "uid": "1", "labels": LABELS},
        "spec": {"nodeName": "n", "containers": [asking("2")], **spec},
        "status": {"phase": "Running"},
    }


def test_node() -> None:
    """Of a node stay its host name, labels, taints and extended resources."""
    found = objects.node(
        {
            "metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "host"}},
            "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]},
            "status": {"allocatable": {GPU: "8", "cpu": "64", "rdma/hca": "1k"}, "conditions": READY},
        }
    )
    assert (found.name, found.host, found.open) == ("n", "host", True)
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
def test_closed_nodes(spec: Unstructured, status: Unstructured) -> None:
    """A node that is cordoned or not ready is not open."""
    assert not objects.node({"metadata": {"name": "n"}, "spec": spec, "status": status}).open


def test_worker() -> None:
    """A bound worker holds its GPUs, and is known by its group."""
    assert objects.held(pod()) == PodUsage("n", ((GPU, 2),), DEMO)


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
def test_pods_that_hold_nothing(item: Unstructured) -> None:
    """A pod that is not bound, has ended, or asks for no extended resource is not kept."""
    assert objects.held(item) is None


@pytest.mark.parametrize(
    ("spec", "gpus"),
    [
        ({"containers": [asking("2"), asking(1)]}, 3),
        ({"containers": [asking("1")], "initContainers": [asking("4")]}, 4),
        ({"containers": [asking("2")], "initContainers": [asking("1", restartPolicy="Always")]}, 3),
        ({"containers": [asking("1")], "initContainers": [asking("1", restartPolicy="Always"), asking("3")]}, 4),
        ({"containers": [{"resources": {"requests": {GPU: "5"}}}]}, 5),
    ],
)
def test_requests_are_the_schedulers(spec: Unstructured, gpus: int) -> None:
    """Containers and side-cars add up; an init container counts where it is larger."""
    assert objects.requests(spec) == {GPU: gpus}


@pytest.mark.parametrize(("written", "number"), [("8", 8), (3, 3), ("2k", 2000), ("1Ki", 1024), ("x", 0), ("1.5", 0)])
def test_quantities(written: Unstructured, number: int) -> None:
    """Whole quantities, and nothing where there is none."""
    assert objects.quantity(written) == number
