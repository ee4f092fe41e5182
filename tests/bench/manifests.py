"""Dask objects of a load, and the pods that the Dask operator copies from them.

The Deployments are built by the operator's own functions (`dask_kubernetes.operator.controller`). Each has one replica,
so its pod template is the pod. Only the suffixes of the ReplicaSet and its owner references are left out: they change
neither admission nor scheduling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dask_kubernetes.operator.controller.controller import (
    build_default_worker_group_spec,
    build_scheduler_deployment_spec,
    build_worker_deployment_spec,
)

from tests.bench.shapes import ClusterShape
from tests.bench.strategies import Strategy
from tests.e2e.bed.api import Object

GROUP_VERSION = "kubernetes.dask.org/v1"
GPU = "nvidia.com/gpu"
CPU_GROUP_REQUESTS = {"cpu": "2", "memory": "4Gi"}


def image(number: int) -> str:
    """Return the name of one of the large images; simulated nodes list it in `status.images`."""
    return f"nvcr.io/nvidia/rapidsai/base:26.{number + 1:02}"


@dataclass(frozen=True, kw_only=True)
class ClusterManifest:
    """Manifests of one cluster as a user writes them.

    Attributes:
        name: Name of the cluster.
        workers: Number of GPU workers.
        number: Index of the cluster's image.
        shape: Pod templates.
        strategy: What the user adds to the pod templates.
        node_selector: Keeps the cluster on the nodes of its pool.
    """

    name: str
    workers: int
    number: int
    shape: ClusterShape
    strategy: Strategy
    node_selector: Mapping[str, str]

    def cluster(self) -> Object:
        """Return the DaskCluster, with one group of GPU workers."""
        worker = self._spec("worker", 1, self.shape.requests, self.strategy.worker(self.name))
        scheduler = self._spec(
            "scheduler", self.shape.scheduler_gpus, self.shape.requests, self.strategy.scheduler(self.name)
        )
        ports = [{"name": name, "port": port} for name, port in (("tcp-comm", 8786), ("http-dashboard", 8787))]
        service = {"type": "ClusterIP", "selector": {"dask.org/cluster-name": self.name}, "ports": ports}
        return _dask_object(
            "DaskCluster",
            self.name,
            {
                "worker": {"replicas": self.workers, "spec": worker},
                "scheduler": {"spec": scheduler, "service": service},
            },
        )

    def cpu_group(self) -> Object:
        """Return the DaskWorkerGroup of CPU workers: an explicit zero says that they need no GPU."""
        spec = self._spec("worker", 0, CPU_GROUP_REQUESTS, {})
        worker = {"replicas": self.workers, "spec": spec}
        return _dask_object("DaskWorkerGroup", f"{self.name}-cpu", {"cluster": self.name, "worker": worker})

    def _spec(self, role: str, gpus: int, requests: Mapping[str, str], added: Object) -> Object:
        resources: Object = {"limits": {GPU: str(gpus)}} if gpus or role == "worker" else {}
        if requests:
            resources["requests"] = dict(requests)
        name = ["--name", "$(DASK_WORKER_NAME)"] if role == "worker" else []
        container = {
            "name": role,
            "image": image(self.number % self.shape.images) if self.shape.images else "dask",
            "args": [f"dask-{role}", *name],
            "resources": resources,
        }
        return {"containers": [container], "nodeSelector": dict(self.node_selector), **added}


def _dask_object(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": GROUP_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def default_group(cluster: Object) -> Object:
    """Return the DaskWorkerGroup that the operator creates for a stored DaskCluster."""
    group: Object = build_default_worker_group_spec(
        cluster["metadata"]["name"], cluster["spec"]["worker"], {}, _labels(cluster)
    )
    return group


def scheduler_pod(cluster: Object) -> Object:
    """Return the scheduler pod of a stored DaskCluster."""
    spec = cluster["spec"]["scheduler"]["spec"]
    return _pod(build_scheduler_deployment_spec(cluster["metadata"]["name"], spec, {}, _labels(cluster)))


def worker_pod(group: Object, number: int) -> Object:
    """Return a worker pod of a stored DaskWorkerGroup; the operator has a random suffix in place of the number."""
    metadata, spec = group["metadata"], group["spec"]
    deployment = build_worker_deployment_spec(
        worker_group_name=metadata["name"],
        namespace=metadata["namespace"],
        cluster_name=spec["cluster"],
        uuid=f"{number:010x}",
        pod_spec=spec["worker"]["spec"],
        annotations={},
        labels=_labels(group),
    )
    return _pod(deployment)


def _labels(dask_object: Object) -> Object:
    return dict(dask_object["metadata"].get("labels", {}))


def _pod(deployment: Object) -> Object:
    template = deployment["spec"]["template"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]}
