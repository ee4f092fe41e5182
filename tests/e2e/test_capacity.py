"""Capacity hints on a real control plane: real nodes, pods, bindings and rights; a link that breaks."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.e2e.bed.nodes import NODES
from tests.e2e.examples import manifest
from tests.e2e.webhook_process import ENABLED, Served, installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.bed.api import Object
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl, NamespaceFactory

CLUSTER = "rapids-dask-cluster"
HINTED = {**ENABLED, "colocate.dask.org/capacity-hint": "true"}
DASK = "/apis/kubernetes.dask.org/v1/namespaces"


def hosts(spec: Object) -> list[str]:
    """The hosts that a pod spec prefers by name."""
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    return [
        host
        for item in affinity.get("preferredDuringSchedulingIgnoredDuringExecution", [])
        for expression in item["preference"]["matchExpressions"]
        if expression["key"] == "kubernetes.io/hostname"
        for host in expression["values"]
    ]


def gauge(served: Served, name: str) -> float:
    """A gauge of the source."""
    told = served.client.get("/metrics").text.splitlines()
    return next(float(each.rpartition(" ")[2]) for each in told if each.startswith(f"dask_colocate_capacity_{name} "))


def all_known(bed: Bed, served: Served) -> bool:
    """Whether every node takes pods, and the source knows of each."""
    nodes = bed.api.items(NODES)
    return not any(each["spec"].get("taints") for each in nodes) and gauge(served, "nodes") == len(nodes)


def problem(served: Served) -> str:
    """Why there are no hints, as the metrics have it; empty where there are."""
    told = served.client.get("/metrics").text.splitlines()
    return "".join(
        each.partition('"')[2].partition('"')[0]
        for each in told
        if each.startswith("dask_colocate_capacity_problem{") and each.endswith(" 1.0")
    )


def group_spec(bed: Bed, namespace: str) -> Object:
    """The pod spec of the cluster's default group."""
    found: Object = bed.api.get(f"{DASK}/{namespace}/daskworkergroups/{CLUSTER}-default")["spec"]["worker"]["spec"]
    return found


def settled(served: Served) -> bool:
    """Whether everything is known and nothing is promised any more."""
    return gauge(served, "ready") == 1 and gauge(served, "reserved_pods") == 0


@pytest.mark.usefixtures("gpu_nodes")
def test_workers_go_where_the_whole_cluster_fits(bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory) -> None:
    """Three workers take the node with three free GPUs; growth gets a new hint, applying again changes nothing."""
    with (
        installed(bed, "--capacity-hints") as served,
        bed.nodes(1, gpus=8, prefix="large"),
        bed.nodes(1, gpus=3, prefix="fitting") as (fitting,),
        bed.nodes(1, gpus=4, prefix="next") as (further,),
    ):
        namespace = make_namespace(HINTED)
        bed.wait(lambda: all_known(bed, served), namespace, "all nodes are ready and known", 60)
        time.sleep(1)  # the last taint went with an event that the source has yet to hear of
        written = json.loads(manifest("cluster", workers=3, scheduler_gpu=False))
        kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(written))
        pods = bed.wait_for_workers(namespace, CLUSTER, 3)
        assert {pod["spec"]["nodeName"] for pod in pods} == {fitting}
        assert all(hosts(pod["spec"]) == [fitting] for pod in pods)
        bed.wait(lambda: settled(served), namespace, "the promise was taken up", 20)

        kubectl("scale", "-n", namespace, "daskcluster", CLUSTER, "--replicas=7")
        pods = bed.wait_for_workers(namespace, CLUSTER, 7)
        assert {pod["spec"]["nodeName"] for pod in pods} == {fitting, further}
        assert hosts(group_spec(bed, namespace)) == [further]
        bed.wait(lambda: settled(served), namespace, "the promise was taken up", 20)

        before = bed.api.get(f"{DASK}/{namespace}/daskclusters/{CLUSTER}")
        written["spec"]["worker"]["replicas"] = 7
        for flags in ((), ("--server-side", "--force-conflicts")):
            kubectl("apply", "-n", namespace, *flags, "-f", "-", stdin=json.dumps(written))
            after = bed.api.get(f"{DASK}/{namespace}/daskclusters/{CLUSTER}")
            assert after["spec"] == before["spec"]
        assert gauge(served, "reserved_pods") == 0


def test_clusters_of_one_moment_get_different_nodes(
    bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory
) -> None:
    """Three clusters that each fill a node, created by one apply, end on a node each; a dry run before took none."""
    with installed(bed, "--capacity-hints") as served, bed.nodes(3, gpus=3, prefix="each") as names:
        namespace = make_namespace(HINTED)
        bed.wait(lambda: gauge(served, "ready") == 1 and gauge(served, "nodes") == 3, namespace, "all is known", 30)
        listed = [
            json.loads(manifest("cluster", workers=3, scheduler_gpu=False, name=f"demo-{number}"))
            for number in range(3)
        ]
        for number, item in enumerate(listed):
            item["spec"]["scheduler"]["service"]["selector"]["dask.org/cluster-name"] = f"demo-{number}"
        text = "\n---\n".join(map(json.dumps, listed))
        kubectl("apply", "-n", namespace, "--dry-run=server", "-f", "-", stdin=text)
        assert gauge(served, "reserved_pods") == 0
        kubectl("apply", "-n", namespace, "-f", "-", stdin=text)
        stood = [bed.wait_for_workers(namespace, f"demo-{number}", 3) for number in range(3)]
        nodes = [{pod["spec"]["nodeName"] for pod in pods} for pods in stood]
        assert sorted(map(sorted, nodes)) == [[name] for name in sorted(names)]


def test_without_the_rights_all_else_goes_on(
    bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory, tmp_path: Path, gpu_nodes: list[str]
) -> None:
    """Without rights to what hints are made of: workers get all but the hint, metrics say why, the log says it once."""
    with installed(as_account(bed, tmp_path), "--capacity-hints") as served:
        namespace = make_namespace(HINTED)
        bed.wait(lambda: problem(served) == "capacity-forbidden", namespace, "the reason is told", 20)
        kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("cluster", workers=2))
        pods = bed.wait_for_workers(namespace, CLUSTER, 2)
        assert gpu_nodes
        assert not any(hosts(pod["spec"]) for pod in pods)
        assert all(pod["spec"]["affinity"]["podAffinity"] for pod in pods)
        assert 'reason="capacity-forbidden",rule="capacity-hint"' in served.client.get("/metrics").text
        said = [line for line in served.process.log.read_text().splitlines() if "list or watch failed" in line]
        assert sorted(json.loads(line)["message"].partition(":")[0] for line in said) == [
            "deviceclasses",
            "nodes",
            "pods",
        ]


def test_lost_link_is_stale(
    bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory, tmp_path: Path, gpu_nodes: list[str]
) -> None:
    """When the API server can't be reached any more: within seconds no hints, a reason, and admissions as before."""
    namespace = make_namespace(HINTED)
    with link(bed) as (address, cut), installed(through(bed, tmp_path, address), "--capacity-hints") as served:
        bed.wait(lambda: gauge(served, "ready") == 1, namespace, "all is known", 20)
        cut()
        bed.wait(lambda: problem(served) == "capacity-stale", namespace, "the reason is told", 30)
        kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("cluster", workers=2))
        pods = bed.wait_for_workers(namespace, CLUSTER, 2)
        assert gpu_nodes
        assert not any(hosts(pod["spec"]) for pod in pods)
        assert all(pod["spec"]["affinity"]["podAffinity"] for pod in pods)


# ---- the webhook as somebody else, or by another way ------------------------------------------------


def as_account(bed: Bed, folder: Path) -> Bed:
    """The bed as seen by a ServiceAccount that may read namespaces and nothing else."""
    name = f"reader-{secrets.token_hex(4)}"
    rules = [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]}]
    about: Object = {"metadata": {"name": name}}
    bed.api.create("/api/v1/namespaces/default/serviceaccounts", about)
    bed.api.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", {**about, "rules": rules})
    bound = {
        **about,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
    }
    bed.api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", bound)
    path = f"/api/v1/namespaces/default/serviceaccounts/{name}/token"
    token = bed.api.create(path, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    return configured(bed, folder, user={"token": token})


def through(bed: Bed, folder: Path, address: str) -> Bed:
    """The bed with its API server at another address."""
    return configured(bed, folder, server=address)


def configured(bed: Bed, folder: Path, user: Object | None = None, server: str = "") -> Bed:
    """The bed with another kubeconfig for what is started from now on."""
    config = json.loads(bed.plane.kubeconfig.read_text())
    if user:
        config["users"][0]["user"] = user
    if server:
        config["clusters"][0]["cluster"]["server"] = server
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return replace(bed, plane=replace(bed.plane, kubeconfig=path))


@contextmanager
def link(bed: Bed) -> Iterator[tuple[str, Callable[[], None]]]:
    """A port that leads to the API server until it is cut; its URL, and what cuts it."""
    target = int(bed.plane.url.rpartition(":")[2])
    listener = socket.create_server(("127.0.0.1", 0))
    ends: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", target))
                ends.extend((near, far))
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=(source, sink), daemon=True).start()

    def cut() -> None:
        for each in (listener, *ends):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}", cut
    finally:
        cut()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what comes until either end is closed."""
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
