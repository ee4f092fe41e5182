"""What a report says of a cluster, from raw objects alone."""

from __future__ import annotations

import json

import pytest

from tests.unit.status.made import (
    NOW,
    Worker,
    ago,
    cluster,
    installed,
    namespace,
    node,
    other_pod,
    snapshot,
)
from webhook.status.document import as_json
from webhook.status.model import Cause, Cluster, State
from webhook.status.report import report
from webhook.status.snapshot import Snapshot, Unread

NODES = (node("a", zone="r1"), node("b", zone="r1"), node("c", zone="r2"), node("d", zone="r2"))


def only_cluster(taken: Snapshot) -> Cluster:
    """The one cluster of a snapshot's report."""
    (found,) = report(taken).clusters
    return found


def test_all_in_order() -> None:
    """Mutated workers, a webhook with its replicas and a fresh certificate: nothing to see to, status 0."""
    found = report(snapshot(nodes=NODES, clusters=(cluster(),), pods=(Worker(name="w").pod(),)))
    assert found.findings == ()
    assert found.exit_status == 0
    assert found.installation.ready == found.installation.desired == found.installation.endpoints == 2
    assert found.clusters[0].workers[0].state is State.MUTATED


@pytest.mark.parametrize(
    ("born", "changed", "cause"),
    [
        (ago(days=1.5), ago(days=2), Cause.BEFORE_INSTALLATION),
        (ago(hours=2), ago(hours=1), Cause.BEFORE_ANNOTATION),
        (ago(minutes=30), ago(hours=1), Cause.WEBHOOK_DOWN),
    ],
)
def test_why_a_worker_was_missed(born: str, changed: str, cause: Cause) -> None:
    """The pod's birth against the configuration's, then against the last change of the annotations."""
    pod = Worker(name="w", mutated=False, gpus=0, born=born).pod()
    found = only_cluster(snapshot(namespaces=(namespace(changed=changed),), pods=(pod,)))
    (worker,) = found.workers
    assert (worker.state, worker.cause) == (State.MISSED, cause)
    assert len(worker.lacks) == 4  # affinity, emptier, GPU limit, command


def test_nothing_is_installed() -> None:
    """Without a webhook configuration workers are missed for that reason, and the command installs it."""
    found = report(Snapshot(at=NOW, namespaces=(namespace(),), pods=(Worker(name="w", mutated=False).pod(),)))
    assert found.clusters[0].workers[0].cause is Cause.NOT_INSTALLED
    assert found.findings[0].mend.startswith("helm install dask-colocate deploy/chart")
    assert found.exit_status == 1


def test_who_is_not_missed() -> None:
    """Opted out, leaving, told only, or in a namespace that is not served: none of them is missed."""
    plain = Worker(name="w", mutated=False)
    out = plain.pod(annotations={"colocate.dask.org/enabled": "false"})
    leaving = plain.pod(deletionTimestamp=ago(seconds=1))
    assert only_cluster(snapshot(pods=(out,))).workers[0].state is State.OPTED_OUT
    assert only_cluster(snapshot(pods=(leaving,))).workers[0].state is State.LEAVING
    warn, off = (namespace(**about) for about in ({"mode": "warn"}, {"enabled": "false"}))
    assert only_cluster(snapshot(namespaces=(warn,), pods=(plain.pod(),))).workers[0].state is State.WARN_ONLY
    assert only_cluster(snapshot(namespaces=(off,), pods=(plain.pod(),))).workers[0].state is State.NOT_SERVED
    assert report(snapshot(pods=(out, leaving))).exit_status == 0


def test_command_for_missed_workers() -> None:
    """Pods that something makes anew are deleted by name; others, or `targets: resources`, cost the cluster."""
    few = tuple(Worker(name=f"w{index}", mutated=False).pod() for index in range(2))
    many = tuple(Worker(name=f"w{index}", mutated=False).pod() for index in range(5))
    bare = Worker(name="w", mutated=False).pod(ownerReferences=[])
    resources = namespace(targets="resources")
    mends = [
        report(snapshot(pods=few)).care[0].mend,
        report(snapshot(pods=many)).care[0].mend,
        report(snapshot(pods=(bare,))).care[0].mend,
        report(snapshot(namespaces=(resources,), pods=few)).care[0].mend,
    ]
    again = "kubectl delete daskcluster -n rapids demo  # then create it again, as it was made"
    chosen = "kubectl delete pod -n rapids -l dask.org/component=worker,dask.org/cluster-name=demo"
    assert mends == ["kubectl delete pod -n rapids w0 w1", chosen, again, again]


def test_nodes_and_racks_against_the_fewest() -> None:
    """Three workers on three nodes of two racks need two nodes of one; a full node of somebody else's is no help."""
    workers = tuple(Worker(name=f"w{on}", node=on).pod() for on in "abc")
    found = only_cluster(snapshot(nodes=NODES, pods=workers))
    assert (found.nodes.used, found.nodes.fewest) == (("a", "b", "c"), 2)
    assert (found.racks.used, found.racks.fewest) == (("r1", "r2"), 1)
    full = tuple(other_pod(f"x{on}", on, 1) for on in "abcd")
    assert only_cluster(snapshot(nodes=NODES, pods=(*workers, *full))).nodes.fewest == 3


def test_unequal_workers_give_a_bound() -> None:
    """Workers with one and two GPUs: what is said is that no fewer will do."""
    pods = (Worker(name="one", node="a").pod(), Worker(name="two", node="b", gpus=2).pod())
    found = only_cluster(snapshot(nodes=NODES, pods=pods)).nodes
    assert (found.fewest, found.exact) == (2, False)


def test_map_of_nodes() -> None:
    """A node tells who holds its GPUs and what is free; one without GPUs and without workers is left out."""
    nodes = (*NODES, node("cpu", gpus=0))
    found = report(snapshot(nodes=nodes, pods=(Worker(name="w").pod(), other_pod("x", "b", 2))))
    assert [one.name for one in found.nodes] == ["a", "b", "c", "d"]
    first, second = found.nodes[:2]
    assert (first.free, first.held[0].cluster, first.rack) == (1, "rapids/demo", "r1")
    assert (second.free, second.held[0].cluster) == (0, None)
    assert found.rack_key == "topology.kubernetes.io/zone"


def test_second_level_of_the_topology_is_the_rack() -> None:
    """Racks are told by the label that the namespace names as its second level, where nodes carry it."""
    label = "example.com/rack"
    nodes = tuple(node(name, **{label: name}, zone="z") for name in "ab")
    space = namespace(topology=f"kubernetes.io/hostname,{label}")
    found = report(snapshot(namespaces=(space,), nodes=nodes, pods=(Worker(name="w").pod(),)))
    assert found.rack_key == label
    assert found.clusters[0].racks.used == ("a",)


def test_problems_in_annotations_are_named() -> None:
    """A malformed and an unknown annotation each are a finding with key and value."""
    found = report(snapshot(namespaces=(namespace(gpu_limit="many", tpology="x"),)))
    texts = [one.text for one in found.care]
    assert any("gpu-limit='many'" in text for text in texts)
    assert any("did you mean colocate.dask.org/topology?" in text for text in texts)


def test_excluded_namespace_is_told() -> None:
    """A namespace that the webhook configuration leaves out is not served, whatever its annotation says."""
    found = report(snapshot(namespaces=(namespace("kube-system"),)))
    assert not found.namespaces[0].enabled
    assert "has no effect" in found.care[0].text


def test_policy_is_the_installations_own() -> None:
    """The Deployment's `--defaults` hold where a namespace says nothing."""
    webhook = installed(arguments=("--defaults=enabled=true; gpu-limit=4",))
    space = namespace("plain")
    space["metadata"]["annotations"] = {}
    (found,) = report(snapshot(webhook=webhook, namespaces=(space,))).namespaces
    assert found.enabled
    assert found.policy["gpu-limit"] == "4"
    assert found.changed == ()


def test_what_could_not_be_read() -> None:
    """It is no reason for a finding, and gives status 2; something that needs care gives 1 all the same."""
    unread = (Unread("secrets", "in namespace dask-colocate", "you may not get them", "kubectl auth can-i"),)
    assert report(snapshot(secrets=(), unread=unread)).findings == ()
    assert report(snapshot(secrets=(), unread=unread)).exit_status == 2
    missed = (Worker(name="w", mutated=False).pod(),)
    assert report(snapshot(secrets=(), unread=unread, pods=missed)).exit_status == 1


def test_json_lists_the_missed() -> None:
    """The JSON names each missed pod with its cause, and holds no more keys than the model and these two."""
    document = json.loads(as_json(report(snapshot(pods=(Worker(name="w", mutated=False).pod(),)))))
    (missed,) = document["missed"]
    assert missed == {"namespace": "rapids", "cluster": "demo", "pod": "w", "cause": "webhook-down"}
    assert document["exit_status"] == 1
