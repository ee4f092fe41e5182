from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.objects import WORKER_LABELS, cluster, container, group, job, pod, spec
from webhook.workloads.pod_templates import PodTemplate, Role, read

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

SIDE_CAR = {"name": "logs", "image": "fluent-bit"}


def worker_of(item: Unstructured) -> PodTemplate:
    """The worker target of an object."""
    subject = read(item)
    assert subject is not None
    return subject.targets[0]


@pytest.mark.parametrize(
    ("item", "pointer", "name"),
    [
        (cluster(), "/spec/worker/spec", "demo"),
        (group(of="big"), "/spec/worker/spec", "big"),
        (job(), "/spec/cluster/spec/worker/spec", "train"),
        (pod(), "/spec", "demo"),
    ],
    ids=["cluster", "group", "job", "pod"],
)
def test_worker_is_found(item: Unstructured, pointer: str, name: str) -> None:
    """Each kind has its workers' pod spec at its own place and the cluster's name at its own."""
    worker = worker_of(item)
    assert (worker.role, worker.pointer, worker.cluster, worker.namespace) == (Role.WORKER, pointer, name, "rapids")
    assert worker.labels["dask.org/component"] == "worker"
    assert worker.labels["dask.org/cluster-name"] == name


def test_labels_are_those_that_the_pods_will_carry() -> None:
    """Labels come down from the object and its worker template, and the operator's own count most."""
    item = cluster(labels={"team": "a", "stage": "x", "dask.org/cluster-name": "wrong"})
    item["spec"]["worker"]["metadata"] = {"labels": {"stage": "y", "dask.org/component": "wrong"}}
    assert worker_of(item).labels == {
        "team": "a",
        "stage": "y",
        "dask.org/cluster-name": "demo",
        "dask.org/workergroup-name": "demo-default",
        "dask.org/component": "worker",
    }


def test_annotations_are_the_objects_and_its_workers() -> None:
    """The annotations that its pods will carry count as the object's."""
    item = cluster(annotations={"a": "1", "b": "1"})
    item["spec"]["worker"]["metadata"] = {"annotations": {"b": "2"}}
    subject = read(item)
    assert subject is not None
    assert subject.annotations == ({"a": "1", "b": "1"}, {"b": "2"})


@pytest.mark.parametrize("make", [cluster, job])
def test_scheduler_is_a_target_of_its_own(make: Unstructured) -> None:
    """Where there is a scheduler's pod spec, it is a target; its pods are no workers."""
    subject = read(make())
    assert subject is not None
    worker, scheduler = subject.targets
    assert scheduler.pointer == worker.pointer.replace("worker", "scheduler")
    assert scheduler.role is Role.SCHEDULER
    assert scheduler.labels["dask.org/component"] == "scheduler"
    assert "dask.org/workergroup-name" not in scheduler.labels


def test_pod_of_a_scheduler_is_a_target() -> None:
    """A Dask scheduler's pod is read by its component label, and its container by the scheduler's command."""
    containers = ({"name": "proxy", "image": "envoy"}, container("dask-scheduler", name="dask"))
    labels = {**WORKER_LABELS, "dask.org/component": "scheduler"}
    scheduler = worker_of(pod(spec(*containers), labels=labels))
    assert (scheduler.role, scheduler.pointer, scheduler.cluster) == (Role.SCHEDULER, "/spec", "demo")
    assert scheduler.container is not None
    assert scheduler.container.name == "dask"


@pytest.mark.parametrize(
    "item",
    [
        None,
        [],
        "DaskCluster",
        {},
        {"kind": "DaskCluster"},
        {"apiVersion": "example.com/v1", "kind": "DaskCluster", "spec": cluster()["spec"]},
        {"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskAutoscaler", "spec": {"cluster": "demo"}},
        {"apiVersion": "apps/v1", "kind": "Pod", "metadata": {"labels": WORKER_LABELS}, "spec": spec()},
        {**cluster(), "spec": None},
        {**cluster(), "spec": {"worker": [], "scheduler": "x"}},
        {**group(), "spec": {"worker": {"spec": {}}}},
        pod(labels=None),
        pod(labels={**WORKER_LABELS, "dask.org/component": "job-runner"}),
        {**pod(), "spec": None},
    ],
)
def test_what_does_not_concern_us_is_nothing(item: Unstructured) -> None:
    """Anything else, and whatever is malformed, is no subject and no error."""
    assert read(item) is None


def test_another_version_of_the_api_is_read_alike() -> None:
    """The group counts, not the version: an API server converts what it stores."""
    assert read({**cluster(), "apiVersion": "kubernetes.dask.org/v2"}) is not None


@pytest.mark.parametrize(
    ("containers", "index"),
    [
        ([container()], 0),
        ([SIDE_CAR, container()], 1),
        ([SIDE_CAR, container(name="dask")], 1),
        ([{**SIDE_CAR, "name": "worker"}, container(name="dask")], 1),
        ([SIDE_CAR, container("sleep", "1")], 1),
        ([{"name": "logs", "args": ["--path=/var/log/dask-worker"]}, container()], 1),
        ([container("--home=/opt/dask", "worker", name="proxy"), {"name": "worker"}], 1),
        ([container("worker", name="queue"), {"name": "worker", "args": ["./start.sh"]}], 1),
        ([None, "text", container()], 2),
    ],
)
def test_dask_container_is_found(containers: list[Unstructured], index: int) -> None:
    """A container that certainly starts a worker is chosen, else the one named `worker`; never a sidecar."""
    found = worker_of(cluster(spec(*containers))).container
    assert found is not None
    assert found.index == index


@pytest.mark.parametrize(
    ("containers", "problem"),
    [
        ([SIDE_CAR, {"name": "other"}], "which of 2 containers runs the Dask worker is unknown; name it 'worker'"),
        (
            [{"name": "logs", "args": ["--path=/var/log/dask-worker"]}, {"name": "main", "args": ["./start.sh"]}],
            "which of 2 containers runs the Dask worker is unknown; name it 'worker'",
        ),
        (
            [container(name="a"), SIDE_CAR, container("dask", "cuda", "worker")],
            "containers a and worker both start a Dask worker; none is changed",
        ),
    ],
)
def test_no_container_is_chosen_without_certainty(containers: list[Unstructured], problem: str) -> None:
    """Without a certain start and a name, or with two certain starts, no container is chosen and the reason is kept."""
    found = worker_of(cluster(spec(*containers)))
    assert found.container is None
    assert found.container_problem == problem


@pytest.mark.parametrize(
    "containers",
    [
        [
            {"name": "proxy", "args": ["--upstream=http://dask-scheduler:8787"]},
            {"name": "main", "args": ["dask-scheduler"]},
        ],
        [{"name": "proxy", "args": ["scheduler"]}, {"name": "scheduler"}],
        [{"name": "logs", "args": ["--path=/var/log/dask-scheduler"]}, {"name": "main", "args": ["dask", "scheduler"]}],
    ],
)
def test_scheduler_container_is_found(containers: list[Unstructured]) -> None:
    """The Dask scheduler's container is chosen like a worker's: by a certain start, else by its name."""
    item = cluster()
    item["spec"]["scheduler"]["spec"]["containers"] = containers
    subject = read(item)
    assert subject is not None
    scheduler = subject.targets[1].container
    assert scheduler is not None
    assert scheduler.index == 1


@pytest.mark.parametrize("containers", [[], None, "worker", [None]])
def test_there_may_be_no_container(containers: Unstructured) -> None:
    """An empty, missing or malformed list has none, and is no error."""
    assert worker_of(cluster({"containers": containers, "hostname": "x"})).container is None
