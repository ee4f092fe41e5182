"""The Dask operator as its users have it, and a way round the one race that would spoil a test."""

from __future__ import annotations

import sys
import threading
from importlib import resources
from typing import TYPE_CHECKING

import httpx
import yaml

from tests.e2e.bed.api import DASK, Api, ApiError, Object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.bed import process
    from tests.e2e.bed.controlplane import ControlPlane

_CRDS = "deployment/helm/dask-kubernetes-operator/crds"


def crds() -> Iterator[Object]:
    """The custom resource definitions of the installed dask-kubernetes."""
    for file in resources.files("dask_kubernetes.operator").joinpath(_CRDS).iterdir():
        yield yaml.safe_load(file.read_text())


def start(plane: ControlPlane) -> process.Process:
    """Start the operator on this machine, for all namespaces; `wait_until_it_handles` says when it works.

    The module has to be the controller's: with `-m dask_kubernetes.operator` kopf runs and handles nothing.
    """
    kopf = [sys.executable, "-m", "kopf", "run", "-m", "dask_kubernetes.operator.controller"]
    argv = [*kopf, "--all-namespaces", "--standalone"]
    return plane.spawn("operator", argv, {"KUBECONFIG": str(plane.kubeconfig), "PYTHONUNBUFFERED": "1"})


def wait_until_it_handles(api: Api, operator: process.Process, namespace: str) -> None:
    """Create an empty cluster in `namespace`, wait until the operator has made its worker group, remove both."""
    path = f"{DASK}/namespaces/{namespace}"
    api.create(f"{path}/daskclusters", empty_cluster("probe"))
    operator.wait_until(lambda: api.exists(f"{path}/daskworkergroups/probe-default"), seconds=150)
    remove_all(api, namespace)


def remove_all(api: Api, namespace: str) -> None:
    """End all Dask objects of a namespace now: whether the operator is done with them or not, it forgets them."""
    for plural in ("daskjobs", "daskautoscalers", "daskclusters", "daskworkergroups"):
        kind = f"{DASK}/namespaces/{namespace}/{plural}"
        api.delete(kind)
        for each in api.items(kind):
            _let_go(api, f"{kind}/{each['metadata']['name']}")


def _let_go(api: Api, path: str) -> None:
    """Take away the operator's finalizer, which no one can add again to what is being deleted."""
    try:
        api.merge(path, {"metadata": {"finalizers": None}})
    except ApiError as error:
        if error.status != httpx.codes.NOT_FOUND:  # it went by itself
            raise


def empty_cluster(name: str) -> Object:
    """The smallest DaskCluster that the schema takes, with no workers."""
    pod = {"containers": [{"name": "dask", "image": "dask"}]}
    ports = [{"name": name, "port": port} for name, port in (("tcp-comm", 8786), ("http-dashboard", 8787))]
    service = {"type": "ClusterIP", "selector": {}, "ports": ports}
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskCluster",
        "metadata": {"name": name},
        "spec": {"worker": {"replicas": 0, "spec": pod}, "scheduler": {"spec": pod, "service": service}},
    }


class PendingClusters(threading.Thread):
    """Move clusters on that the operator leaves in `Pending`.

    dask-kubernetes issue 968: the handler of the Service writes `phase: Running`, then the late patch of the
    create handler writes `Pending` over it, and nothing ever changes it again. `KubeCluster` then gives up
    after a minute. A cluster that is found `Pending` twice in a row is set to `Running`.
    """

    def __init__(self, api: Api, every: float = 1.5) -> None:
        """Look each `every` seconds: far longer than the operator's two writes are apart."""
        super().__init__(name="pending-clusters", daemon=True)
        self._api, self._every, self._over = api, every, threading.Event()

    def run(self) -> None:
        """Watch until `stop` is called."""
        before: set[str] = set()
        while not self._over.wait(self._every):
            try:
                now = {_path(each) for each in self._api.items(f"{DASK}/daskclusters") if _pending(each)}
                for path in before & now:
                    self._api.merge(path, {"status": {"phase": "Running"}})
            except (ApiError, httpx.HTTPError):
                now = set()  # deleted meanwhile, or the API server is busy: look again
            before = now

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self.join()


def _pending(cluster: Object) -> bool:
    return bool(cluster.get("status", {}).get("phase") == "Pending")


def _path(cluster: Object) -> str:
    about = cluster["metadata"]
    return f"{DASK}/namespaces/{about['namespace']}/daskclusters/{about['name']}"
