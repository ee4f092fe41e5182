"""Capacity hints on a real control plane: nodes, pods, bindings, permissions, and a lost connection."""

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


def preferred_nodes(spec: Object) -> list[str]:
    """Return the names of the nodes that a pod spec prefers."""
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    return [
        name
        for item in affinity.get("preferredDuringSchedulingIgnoredDuringExecution", [])
        for expression in item["preference"]["matchExpressions"]
        if expression["key"] == "kubernetes.io/hostname"
        for name in expression["values"]
    ]


def gauge(served: Served, name: str) -> float:
    """Return the value of a gauge of the capacity source."""
    lines = served.client.get("/metrics").text.splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"dask_colocate_capacity_{name} "))


def all_known(bed: Bed, served: Served) -> bool:
    """Return whether no node has a taint and the capacity source has all nodes in its cache."""
    nodes = bed.api.items(NODES)
    return not any(node["spec"].get("taints") for node in nodes) and gauge(served, "nodes") == len(nodes)


def problem(served: Served) -> str:
    """Return the reason code for missing hints from the metrics; empty if hints are available."""
    lines = served.client.get("/metrics").text.splitlines()
    return "".join(
        line.partition('"')[2].partition('"')[0]
        for line in lines
        if line.startswith("dask_colocate_capacity_problem{") and line.endswith(" 1.0")
    )


def group_spec(bed: Bed, namespace: str) -> Object:
    """Return the pod spec of the cluster's default group."""
    group = bed.api.get(f"{DASK}/{namespace}/daskworkergroups/{CLUSTER}-default")
    spec: Object = group["spec"]["worker"]["spec"]
    return spec


def settled(served: Served) -> bool:
    """Return whether the capacity source is ready and has no reservations."""
    return gauge(served, "ready") == 1 and gauge(served, "reserved_pods") == 0


@pytest.mark.usefixtures("gpu_nodes")
def test_workers_run_on_the_node_where_the_cluster_fits(
    bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory
) -> None:
    """Three workers run on the node with three free GPUs, scaling adds a hint, and applying again changes nothing."""
    with (
        installed(bed, "--capacity-hints") as served,
        bed.nodes(1, gpus=8, prefix="large"),
        bed.nodes(1, gpus=3, prefix="fitting") as (fitting,),
        bed.nodes(1, gpus=4, prefix="next") as (further,),
    ):
        namespace = make_namespace(HINTED)
        bed.wait(lambda: all_known(bed, served), namespace, "all nodes are ready and cached", 60)
        time.sleep(1)  # the capacity source may not have received the event of the last removed taint yet
        cluster = json.loads(manifest("cluster", workers=3, scheduler_gpu=False))
        kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(cluster))
        pods = bed.wait_for_workers(namespace, CLUSTER, 3)
        assert {pod["spec"]["nodeName"] for pod in pods} == {fitting}
        assert all(preferred_nodes(pod["spec"]) == [fitting] for pod in pods)
        bed.wait(lambda: settled(served), namespace, "the reservation is settled", 20)

        kubectl("scale", "-n", namespace, "daskcluster", CLUSTER, "--replicas=7")
        pods = bed.wait_for_workers(namespace, CLUSTER, 7)
        assert {pod["spec"]["nodeName"] for pod in pods} == {fitting, further}
        assert preferred_nodes(group_spec(bed, namespace)) == [further]
        bed.wait(lambda: settled(served), namespace, "the reservation is settled", 20)

        before = bed.api.get(f"{DASK}/{namespace}/daskclusters/{CLUSTER}")
        cluster["spec"]["worker"]["replicas"] = 7
        for flags in ((), ("--server-side", "--force-conflicts")):
            kubectl("apply", "-n", namespace, *flags, "-f", "-", stdin=json.dumps(cluster))
            after = bed.api.get(f"{DASK}/{namespace}/daskclusters/{CLUSTER}")
            assert after["spec"] == before["spec"]
        assert gauge(served, "reserved_pods") == 0


def test_clusters_created_together_get_different_nodes(
    bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory
) -> None:
    """Three clusters that each fill a node, created by one apply, get a node each; a dry run reserves nothing."""
    with installed(bed, "--capacity-hints") as served, bed.nodes(3, gpus=3, prefix="each") as names:
        namespace = make_namespace(HINTED)
        bed.wait(
            lambda: gauge(served, "ready") == 1 and gauge(served, "nodes") == 3,
            namespace,
            "the capacity source is ready",
            30,
        )
        clusters = [
            json.loads(manifest("cluster", workers=3, scheduler_gpu=False, name=f"demo-{number}"))
            for number in range(3)
        ]
        for number, item in enumerate(clusters):
            item["spec"]["scheduler"]["service"]["selector"]["dask.org/cluster-name"] = f"demo-{number}"
        text = "\n---\n".join(map(json.dumps, clusters))
        kubectl("apply", "-n", namespace, "--dry-run=server", "-f", "-", stdin=text)
        assert gauge(served, "reserved_pods") == 0
        kubectl("apply", "-n", namespace, "-f", "-", stdin=text)
        pods_by_cluster = [bed.wait_for_workers(namespace, f"demo-{number}", 3) for number in range(3)]
        nodes = [{pod["spec"]["nodeName"] for pod in pods} for pods in pods_by_cluster]
        assert sorted(map(sorted, nodes)) == [[name] for name in sorted(names)]


def test_without_permissions_only_the_hint_is_missing(
    bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory, tmp_path: Path, gpu_nodes: list[str]
) -> None:
    """Without permission to read nodes and pods, only the hint is missing; metrics and log give the reason."""
    with installed(as_account(bed, tmp_path), "--capacity-hints") as served:
        namespace = make_namespace(HINTED)
        bed.wait(lambda: problem(served) == "capacity-forbidden", namespace, "the metric shows the reason", 20)
        kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("cluster", workers=2))
        pods = bed.wait_for_workers(namespace, CLUSTER, 2)
        assert gpu_nodes
        assert not any(preferred_nodes(pod["spec"]) for pod in pods)
        assert all(pod["spec"]["affinity"]["podAffinity"] for pod in pods)
        assert 'reason="capacity-forbidden",rule="capacity-hint"' in served.client.get("/metrics").text
        messages = [line for line in served.process.log.read_text().splitlines() if "list or watch failed" in line]
        assert sorted(json.loads(line)["message"].partition(":")[0] for line in messages) == [
            "deviceclasses",
            "nodes",
            "pods",
        ]


def test_lost_connection_is_stale(
    bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory, tmp_path: Path, gpu_nodes: list[str]
) -> None:
    """After the connection to the API server is lost, hints stop within seconds; all other rules still apply."""
    namespace = make_namespace(HINTED)
    with proxy(bed) as (address, cut), installed(through(bed, tmp_path, address), "--capacity-hints") as served:
        bed.wait(lambda: gauge(served, "ready") == 1, namespace, "the capacity source is ready", 20)
        cut()
        bed.wait(lambda: problem(served) == "capacity-stale", namespace, "the metric shows the reason", 30)
        kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("cluster", workers=2))
        pods = bed.wait_for_workers(namespace, CLUSTER, 2)
        assert gpu_nodes
        assert not any(preferred_nodes(pod["spec"]) for pod in pods)
        assert all(pod["spec"]["affinity"]["podAffinity"] for pod in pods)


# ---- other credentials and connections of the webhook -----------------------------------------------


def as_account(bed: Bed, folder: Path) -> Bed:
    """Return the bed with the credentials of a ServiceAccount that may read namespaces only."""
    name = f"reader-{secrets.token_hex(4)}"
    rules = [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]}]
    about: Object = {"metadata": {"name": name}}
    bed.api.create("/api/v1/namespaces/default/serviceaccounts", about)
    bed.api.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", {**about, "rules": rules})
    binding = {
        **about,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
    }
    bed.api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    path = f"/api/v1/namespaces/default/serviceaccounts/{name}/token"
    token = bed.api.create(path, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    return configured(bed, folder, user={"token": token})


def through(bed: Bed, folder: Path, address: str) -> Bed:
    """Return the bed with another address of its API server."""
    return configured(bed, folder, server=address)


def configured(bed: Bed, folder: Path, user: Object | None = None, server: str = "") -> Bed:
    """Return the bed with another kubeconfig for processes that are started later."""
    config = json.loads(bed.plane.kubeconfig.read_text())
    if user:
        config["users"][0]["user"] = user
    if server:
        config["clusters"][0]["cluster"]["server"] = server
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return replace(bed, plane=replace(bed.plane, kubeconfig=path))


@contextmanager
def proxy(bed: Bed) -> Iterator[tuple[str, Callable[[], None]]]:
    """Forward a port to the API server; yield its URL and a function that cuts all connections."""
    target = int(bed.plane.url.rpartition(":")[2])
    listener = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", target))
                connections.extend((near, far))
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=(source, sink), daemon=True).start()

    def cut() -> None:
        for connection in (listener, *connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}", cut
    finally:
        cut()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Forward data until one of the sockets is closed."""
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
