"""Report from raw objects."""

from __future__ import annotations

import json

import pytest

from tests.unit.status.factories import (
    NOW,
    WorkerPod,
    ago,
    cluster,
    installed,
    namespace,
    node,
    other_pod,
    snapshot,
)
from webhook.status.document import as_json
from webhook.status.model import Cause, ClusterReport, WorkerState
from webhook.status.report import report
from webhook.status.snapshot import Snapshot, Unreadable

NODES = (node("a", zone="r1"), node("b", zone="r1"), node("c", zone="r2"), node("d", zone="r2"))


def only_cluster(snapshot: Snapshot) -> ClusterReport:
    """Return the only cluster of a snapshot's report."""
    (result,) = report(snapshot).clusters
    return result


def test_no_findings() -> None:
    """Mutated workers, ready replicas and a valid certificate give no finding and exit status 0."""
    result = report(snapshot(nodes=NODES, clusters=(cluster(),), pods=(WorkerPod(name="w").pod(),)))
    assert result.findings == ()
    assert result.exit_status == 0
    assert result.installation.ready == result.installation.desired == result.installation.endpoints == 2
    assert result.clusters[0].workers[0].state is WorkerState.MUTATED


@pytest.mark.parametrize(
    ("created", "changed", "cause"),
    [
        (ago(days=1.5), ago(days=2), Cause.BEFORE_INSTALLATION),
        (ago(hours=2), ago(hours=1), Cause.BEFORE_ANNOTATION),
        (ago(minutes=30), ago(hours=1), Cause.WEBHOOK_DOWN),
    ],
)
def test_cause(created: str, changed: str, cause: Cause) -> None:
    """The cause depends on the pod's age, compared with the configuration and the last change of annotations."""
    pod = WorkerPod(name="w", mutated=False, gpus=0, created=created).pod()
    (worker,) = only_cluster(snapshot(namespaces=(namespace(changed=changed),), pods=(pod,))).workers
    assert (worker.state, worker.cause) == (WorkerState.NOT_MUTATED, cause)
    assert len(worker.missing) == 4  # affinity, spread, GPU limit, command


def test_not_installed() -> None:
    """Without a webhook configuration that is the cause, and the fix installs the chart."""
    pods = (WorkerPod(name="w", mutated=False).pod(),)
    result = report(Snapshot(at=NOW, namespaces=(namespace(),), pods=pods))
    assert result.clusters[0].workers[0].cause is Cause.NOT_INSTALLED
    assert result.findings[0].fix.startswith("helm install dask-colocate deploy/chart")
    assert result.exit_status == 1


def test_states_that_are_no_issue() -> None:
    """Opted-out and terminating pods, mode warn and a namespace that is not enabled give no issue."""
    worker = WorkerPod(name="w", mutated=False)
    opted_out = worker.pod(annotations={"colocate.dask.org/enabled": "false"})
    terminating = worker.pod(deletionTimestamp=ago(seconds=1))
    assert only_cluster(snapshot(pods=(opted_out,))).workers[0].state is WorkerState.OPTED_OUT
    assert only_cluster(snapshot(pods=(terminating,))).workers[0].state is WorkerState.TERMINATING
    warn, disabled = (namespace(**annotations) for annotations in ({"mode": "warn"}, {"enabled": "false"}))
    pods = (worker.pod(),)
    assert only_cluster(snapshot(namespaces=(warn,), pods=pods)).workers[0].state is WorkerState.WARN_ONLY
    assert only_cluster(snapshot(namespaces=(disabled,), pods=pods)).workers[0].state is WorkerState.NOT_ENABLED
    assert report(snapshot(pods=(opted_out, terminating))).exit_status == 0


def test_fix_for_workers() -> None:
    """Pods with a ReplicaSet are deleted; without one, or with `targets: resources`, the cluster is deleted."""
    few = tuple(WorkerPod(name=f"w{index}", mutated=False).pod() for index in range(2))
    many = tuple(WorkerPod(name=f"w{index}", mutated=False).pod() for index in range(5))
    bare = WorkerPod(name="w", mutated=False).pod(ownerReferences=[])
    resources = namespace(targets="resources")
    fixes = [
        report(snapshot(pods=few)).issues[0].fix,
        report(snapshot(pods=many)).issues[0].fix,
        report(snapshot(pods=(bare,))).issues[0].fix,
        report(snapshot(namespaces=(resources,), pods=few)).issues[0].fix,
    ]
    delete_cluster = "kubectl delete daskcluster -n rapids demo"
    by_label = "kubectl delete pod -n rapids -l dask.org/component=worker,dask.org/cluster-name=demo"
    assert fixes == ["kubectl delete pod -n rapids w0 w1", by_label, delete_cluster, delete_cluster]


@pytest.mark.parametrize("owners", [[{"kind": "ReplicaSet"}], []])
def test_fix_that_deletes_warns(owners: list[dict[str, str]]) -> None:
    """A fix that deletes pods or a cluster has a warning that it ends running tasks."""
    pod = WorkerPod(name="w", mutated=False).pod(ownerReferences=owners)
    (issue,) = report(snapshot(pods=(pod,))).issues
    assert "kubectl delete" in issue.fix
    assert issue.warning.startswith("this command ends ")
    assert "tasks" in issue.warning


def test_minimum_of_nodes_and_racks() -> None:
    """Three workers on nodes with two GPUs need two nodes of one rack; GPUs of other pods do not count as free."""
    workers = tuple(WorkerPod(name=f"w{name}", node=name).pod() for name in "abc")
    result = only_cluster(snapshot(nodes=NODES, pods=workers))
    assert (result.nodes.used, result.nodes.minimum) == (("a", "b", "c"), 2)
    assert (result.racks.used, result.racks.minimum) == (("r1", "r2"), 1)
    others = tuple(other_pod(f"x{name}", name, 1) for name in "abcd")
    assert only_cluster(snapshot(nodes=NODES, pods=(*workers, *others))).nodes.minimum == 3


def test_unequal_workers_give_a_bound() -> None:
    """For workers with one and two GPUs the minimum is a lower bound."""
    pods = (WorkerPod(name="one", node="a").pod(), WorkerPod(name="two", node="b", gpus=2).pod())
    nodes = only_cluster(snapshot(nodes=NODES, pods=pods)).nodes
    assert (nodes.minimum, nodes.exact) == (2, False)


def test_nodes() -> None:
    """A node has its pods with GPUs and its free GPUs; a node without GPUs and workers is omitted."""
    nodes = (*NODES, node("cpu", gpus=0))
    result = report(snapshot(nodes=nodes, pods=(WorkerPod(name="w").pod(), other_pod("x", "b", 2))))
    assert [item.name for item in result.nodes] == ["a", "b", "c", "d"]
    first, second = result.nodes[:2]
    assert (first.free, first.pods[0].cluster, first.rack) == (1, "rapids/demo", "r1")
    assert (second.free, second.pods[0].cluster) == (0, None)
    assert result.rack_key == "topology.kubernetes.io/zone"


def test_labels_continue_after_z() -> None:
    """Cluster labels are A to Z, then AA, AB and so on."""
    clusters = tuple(cluster(f"c{index:02}") for index in range(28))
    assert [item.label for item in report(snapshot(clusters=clusters)).clusters][-3:] == ["Z", "AA", "AB"]


def test_second_topology_key_is_the_rack() -> None:
    """The second topology key of a namespace's policy is the rack label if nodes have it."""
    label = "example.com/rack"
    nodes = tuple(node(name, **{label: name}, zone="z") for name in "ab")
    rapids = namespace(topology=f"kubernetes.io/hostname,{label}")
    result = report(snapshot(namespaces=(rapids,), nodes=nodes, pods=(WorkerPod(name="w").pod(),)))
    assert result.rack_key == label
    assert result.clusters[0].racks.used == ("a",)


def test_problems_in_annotations() -> None:
    """A malformed and an unknown annotation each are an issue with key and value."""
    result = report(snapshot(namespaces=(namespace(gpu_limit="many", tpology="x"),)))
    messages = [issue.message for issue in result.issues]
    assert any("gpu-limit='many'" in message for message in messages)
    assert any("did you mean colocate.dask.org/topology?" in message for message in messages)


def test_excluded_namespace() -> None:
    """A namespace that the webhook configuration excludes is not enabled, despite its annotation."""
    result = report(snapshot(namespaces=(namespace("kube-system"),)))
    assert not result.namespaces[0].enabled
    assert "has no effect" in result.issues[0].message


def test_policy_defaults_of_the_installation() -> None:
    """The Deployment's `--defaults` apply to a namespace without annotations."""
    webhook = installed(arguments=("--defaults=enabled=true; gpu-limit=4",))
    plain = namespace("plain")
    plain["metadata"]["annotations"] = {}
    (result,) = report(snapshot(webhook=webhook, namespaces=(plain,))).namespaces
    assert result.enabled
    assert result.policy["gpu-limit"] == "4"
    assert result.overrides == ()


def test_unreadable_resource() -> None:
    """An unreadable resource gives no finding and exit status 2; an issue gives exit status 1 nevertheless."""
    unreadable = (Unreadable("secrets", "in namespace dask-colocate", "no permission to get", "kubectl auth can-i"),)
    assert report(snapshot(secrets=(), unreadable=unreadable)).findings == ()
    assert report(snapshot(secrets=(), unreadable=unreadable)).exit_status == 2
    pods = (WorkerPod(name="w", mutated=False).pod(),)
    assert report(snapshot(secrets=(), unreadable=unreadable, pods=pods)).exit_status == 1


def test_unreadable_endpoints_are_unknown() -> None:
    """The number of endpoints is None, not 0, if EndpointSlices are not readable."""
    unreadable = (Unreadable("endpointslices", "", "no permission to list", "kubectl auth can-i"),)
    result = report(snapshot(slices=(), unreadable=unreadable))
    assert result.installation.endpoints is None
    assert result.findings == ()


def test_json_lists_workers_that_were_not_mutated() -> None:
    """The JSON lists each pod that was not mutated with its cause, and the exit status."""
    document = json.loads(as_json(report(snapshot(pods=(WorkerPod(name="w", mutated=False).pod(),)))))
    (worker,) = document["not_mutated"]
    assert worker == {"namespace": "rapids", "cluster": "demo", "pod": "w", "cause": "webhook-down"}
    assert document["exit_status"] == 1
