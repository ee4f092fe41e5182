from __future__ import annotations

from dataclasses import replace

from tests.bench.manifests import GPU, ClusterManifest, default_group, scheduler_pod, worker_pod
from tests.bench.shapes import BARE, WITH_REQUESTS, ClusterShape
from tests.bench.strategies import STRATEGIES
from tests.e2e.bed.api import Object

NONE, GUIDE = (strategy for strategy in STRATEGIES if strategy.name in {"none", "guide"})
MANIFEST = ClusterManifest(
    name="demo", workers=2, number=5, shape=WITH_REQUESTS, strategy=NONE, node_selector={"pool": "a"}
)


def stored(group: Object) -> Object:
    """Return the group with the namespace, which the API server adds."""
    return {**group, "metadata": {**group["metadata"], "namespace": "rapids"}}


def limits(pod: Object) -> Object:
    """Return the limits of a pod's only container."""
    (container,) = pod["spec"]["containers"]
    amounts: Object = container["resources"].get("limits", {})
    return amounts


def test_pods_have_the_operators_labels() -> None:
    """Scheduler and workers have the labels that the webhook's selectors and the placement terms select."""
    cluster = MANIFEST.cluster()
    scheduler, worker = scheduler_pod(cluster), worker_pod(stored(default_group(cluster)), 3)
    expected = {"dask.org/cluster-name": "demo", "dask.org/component": "scheduler"}
    assert scheduler["metadata"]["labels"].items() >= expected.items()
    expected |= {"dask.org/component": "worker", "dask.org/workergroup-name": "demo-default"}
    assert worker["metadata"]["labels"].items() >= expected.items()
    assert (scheduler["metadata"]["name"], worker["metadata"]["name"][:19]) == ("demo-scheduler", "demo-default-worker")


def test_pods_are_copies_of_the_mutated_templates() -> None:
    """A field that the webhook added to a DaskCluster is in its pods."""
    cluster = MANIFEST.cluster()
    for role in ("scheduler", "worker"):
        cluster["spec"][role]["spec"]["affinity"] = {"podAffinity": {}, "for": role}
    assert scheduler_pod(cluster)["spec"]["affinity"]["for"] == "scheduler"
    assert worker_pod(stored(default_group(cluster)), 0)["spec"]["affinity"]["for"] == "worker"


def test_scheduler_has_the_gpus_of_the_load() -> None:
    """The Dask scheduler has one GPU, as in the RAPIDS guide, or none if the shape has `scheduler_gpus=0`."""
    plain = replace(MANIFEST, shape=ClusterShape(scheduler_gpus=0))
    assert limits(scheduler_pod(MANIFEST.cluster())) == {GPU: "1"}
    assert limits(scheduler_pod(plain.cluster())) == {}


def test_cpu_workers_have_a_gpu_limit_of_zero() -> None:
    """The CPU group has an explicit GPU limit of zero and belongs to the cluster."""
    group = MANIFEST.cpu_group()
    assert limits(worker_pod(stored(group), 0)) == {GPU: "0"}
    assert group["spec"]["cluster"] == "demo"


def test_only_the_users_fields_differ_between_strategies() -> None:
    """The guide's strategy adds its affinity to the workers and nothing else."""
    without, guide = MANIFEST.cluster(), replace(MANIFEST, strategy=GUIDE).cluster()
    del guide["spec"]["worker"]["spec"]["affinity"]
    assert guide == without


def test_bare_clusters_request_gpus_only() -> None:
    """Without CPU requests, a worker has a GPU limit and nothing else."""
    (container,) = replace(MANIFEST, shape=BARE).cluster()["spec"]["worker"]["spec"]["containers"]
    assert container["resources"] == {"limits": {GPU: "1"}}
