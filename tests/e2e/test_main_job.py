"""The main job: in an annotated namespace, plain Dask clusters are mutated and co-located."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.e2e.examples import CLUSTERS, manifest
from tests.e2e.webhook_process import ENABLED, Served

if TYPE_CHECKING:
    from tests.e2e.bed.api import Object
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl


def worker_spec(pod: Object) -> Object:
    """Return the spec of a worker pod without the fields that differ between pods: names, node, token volume."""
    spec = {key: value for key, value in pod["spec"].items() if key not in {"nodeName", "volumes"}}
    (container,) = spec["containers"]
    environment = [
        variable
        for variable in container["env"]
        if variable["name"] not in {"DASK_WORKER_NAME", "DASK_SCHEDULER_ADDRESS"}
    ]
    spec["containers"] = [{**container, "env": environment, "volumeMounts": []}]
    return spec


def without_additions_to_the_guide(spec: Object, name: str) -> Object:
    """Return the spec without the fields that the guide lacks: the cluster's name, the zone and the spread."""
    copy = json.loads(json.dumps(spec))
    node, zone = copy["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    zone_term = {**node["podAffinityTerm"], "topologyKey": "topology.kubernetes.io/zone"}
    assert zone == {"weight": 30, "podAffinityTerm": zone_term}
    copy["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"].remove(zone)
    expressions = node["podAffinityTerm"]["labelSelector"]["matchExpressions"]
    expressions.remove({"key": "dask.org/cluster-name", "operator": "In", "values": [name]})
    (constraint,) = copy.pop("topologySpreadConstraints")
    assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
    return copy


def assert_colocated(pods: list[Object], cluster: str) -> None:
    """Assert that every worker pod was mutated."""
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        assert container["args"][0] == "dask-cuda-worker"
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert container["resources"]["requests"]["nvidia.com/gpu"] == "1"
        without_additions_to_the_guide(pod["spec"], cluster)


def test_plain_cluster_becomes_the_guides(
    bed: Bed, kubectl: Kubectl, enabled: str, namespace: str, gpu_nodes: list[str]
) -> None:
    """Workers of the stripped manifest equal those of the guide, and four of them run on two nodes."""
    kubectl("apply", "-n", enabled, "-f", "-", stdin=manifest("cluster"))
    mutated = bed.wait_for_workers(enabled, "rapids-dask-cluster", 4)
    nodes = Counter(pod["spec"]["nodeName"] for pod in mutated)
    assert nodes.keys() <= set(gpu_nodes)
    assert len(nodes) == 2, nodes
    kubectl("delete", "-n", enabled, "daskcluster", "rapids-dask-cluster")
    bed.wait(lambda: not bed.pods(enabled), enabled, "the first cluster's pods are deleted")
    kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("guide-cluster"))
    originals = bed.wait_for_workers(namespace, "rapids-dask-cluster", 4)
    expected = worker_spec(originals[0])
    for pod in mutated:
        assert without_additions_to_the_guide(worker_spec(pod), "rapids-dask-cluster") == expected


def test_guide_manifest_is_admitted_unchanged(bed: Bed, kubectl: Kubectl, enabled: str, gpu_nodes: list[str]) -> None:
    """The guide's manifest gets no patch, neither the cluster nor its worker groups and pods."""
    assert gpu_nodes
    kubectl("apply", "-n", enabled, "-f", "-", stdin=manifest("guide-cluster"))
    bed.wait_for_workers(enabled, "rapids-dask-cluster", 4)
    admitted = [event["annotations"] for event in bed.audit(enabled) if event["verb"] == "create"]
    rounds = [json.loads(value) for event in admitted for key, value in event.items() if "/round_" in key]
    assert rounds
    assert not [call for call in rounds if call["mutated"]]


def test_workers_start_on_full_nodes(bed: Bed, kubectl: Kubectl, enabled: str) -> None:
    """With one free GPU on each node, all workers are scheduled: the placement rules are preferences."""
    with bed.nodes(4, gpus=1):
        kubectl("apply", "-n", enabled, "-f", "-", stdin=manifest("cluster", workers=3))
        pods = bed.wait_for_workers(enabled, "rapids-dask-cluster", 3)
        assert len({pod["spec"]["nodeName"] for pod in pods}) == 3


@pytest.mark.parametrize("flags", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_applying_again_changes_nothing(bed: Bed, kubectl: Kubectl, enabled: str, flags: tuple[str, ...]) -> None:
    """A second apply of the same manifest succeeds and leaves the stored spec unchanged."""
    text = manifest("cluster", workers=1)
    kubectl("apply", "-n", enabled, *flags, "-f", "-", stdin=text)
    path = CLUSTERS.format(enabled, "rapids-dask-cluster")
    before = bed.api.get(path)["spec"]
    assert before["worker"]["spec"]["containers"][0]["args"][0] == "dask-cuda-worker"
    kubectl("apply", "-n", enabled, *flags, "--dry-run=server", "-f", "-", stdin=text)
    kubectl("apply", "-n", enabled, *flags, "-f", "-", stdin=text)
    assert bed.api.get(path)["spec"] == before
    dry = kubectl("apply", "-n", enabled, *flags, "--dry-run=server", "-o", "json", "-f", "-", stdin=text)
    assert json.loads(dry.stdout)["spec"] == before


def test_dropped_options_are_warned_about(bed: Bed, kubectl: Kubectl, enabled: str) -> None:
    """Each option that dask-cuda lacks gives a warning of at most 120 characters in kubectl's output."""
    cluster = json.loads(manifest("cluster", workers=0))
    (container,) = cluster["spec"]["worker"]["spec"]["containers"]
    container["args"] += ["--no-nanny", "--nworkers", "4", "--lifetime=1h", "--death-timeout", "60"]
    warnings = kubectl("apply", "-n", enabled, "-f", "-", stdin=json.dumps(cluster)).warnings
    for option in ("--no-nanny", "--nworkers", "--lifetime", "--death-timeout"):
        (line,) = (line for line in warnings if line.startswith(f"dask-colocate: {option} removed: "))
        assert len(line) <= 120
    spec = bed.api.get(CLUSTERS.format(enabled, "rapids-dask-cluster"))["spec"]["worker"]["spec"]
    assert spec["containers"][0]["args"] == ["dask-cuda-worker", "--name", "$(DASK_WORKER_NAME)"]


def test_annotation_takes_effect_within_a_second(bed: Bed, kubectl: Kubectl, enabled: str) -> None:
    """One second after an annotation of the namespace changed, admissions use its new value."""
    for limit in ("2", "3"):
        kubectl("annotate", "--overwrite", "namespace", enabled, f"colocate.dask.org/gpu-limit={limit}")
        time.sleep(1)
        kubectl("apply", "-n", enabled, "-f", "-", stdin=manifest("cluster", workers=0, name=f"with-{limit}"))
        spec = bed.api.get(CLUSTERS.format(enabled, f"with-{limit}"))["spec"]
        assert spec["worker"]["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": limit}


def test_cluster_in_a_brand_new_namespace(bed: Bed, kubectl: Kubectl, webhook: Served) -> None:
    """A cluster that is applied together with its namespace is mutated, even if the informer lags behind."""
    assert webhook.url
    for index in range(5):
        name = f"brand-new-{index}"
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": ENABLED}}
        cluster = json.loads(manifest("cluster", workers=0, namespace=name))
        both = {"apiVersion": "v1", "kind": "List", "items": [space, cluster]}
        kubectl("apply", "-f", "-", stdin=json.dumps(both))
        spec = bed.api.get(CLUSTERS.format(name, "rapids-dask-cluster"))["spec"]
        assert spec["worker"]["spec"]["containers"][0]["args"][0] == "dask-cuda-worker"
        bed.delete_namespace(name)
