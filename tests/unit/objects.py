"""Raw Kubernetes objects, as small as they can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.workloads.pod_templates import read

if TYPE_CHECKING:
    from webhook.workloads.pod_templates import PodTemplate
    from webhook.workloads.unstructured import Unstructured

HOSTNAME = "kubernetes.io/hostname"
NAMESPACE = "rapids"
WORKER_LABELS = {"dask.org/cluster-name": "demo", "dask.org/component": "worker"}


def container(*args: str, **fields: Unstructured) -> Unstructured:
    """A container named `worker`; without `args` it starts `dask-worker`."""
    return {"name": "worker", "image": "rapids", "args": list(args or ("dask-worker",)), **fields}


def spec(*containers: Unstructured, **fields: Unstructured) -> Unstructured:
    """A pod spec; without `containers` it has one worker."""
    return {"containers": list(containers or (container(),)), **fields}


def cluster(worker: Unstructured = None, name: str | None = "demo", **metadata: Unstructured) -> Unstructured:
    """A DaskCluster whose workers have the pod spec `worker`; with `name` None it has no name yet."""
    about = {"namespace": NAMESPACE, **({"name": name} if name else {}), **metadata}
    scheduler = {"spec": spec({"name": "scheduler", "image": "rapids", "args": ["dask-scheduler"]})}
    body = {"worker": {"spec": worker or spec()}, "scheduler": scheduler}
    return {"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "metadata": about, "spec": body}


def group(
    worker: Unstructured = None, of: str = "demo", name: str = "demo-more", **metadata: Unstructured
) -> Unstructured:
    """A DaskWorkerGroup of the cluster `of`."""
    about = {"namespace": NAMESPACE, "name": name, **metadata}
    body = {"cluster": of, "worker": {"spec": worker or spec()}}
    return {"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskWorkerGroup", "metadata": about, "spec": body}


def job(worker: Unstructured = None, **metadata: Unstructured) -> Unstructured:
    """A DaskJob named `train`."""
    about = {"namespace": NAMESPACE, "name": "train", **metadata}
    body = {"job": {"spec": spec(container("python"))}, "cluster": {"spec": cluster(worker)["spec"]}}
    return {"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskJob", "metadata": about, "spec": body}


def pod(worker: Unstructured = None, **metadata: Unstructured) -> Unstructured:
    """A worker pod without an owner, as by hand."""
    about = {"namespace": NAMESPACE, "generateName": "demo-", "labels": WORKER_LABELS, **metadata}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": worker or spec()}


def target(worker: Unstructured = None, name: str | None = "demo") -> PodTemplate:
    """The worker target of `cluster(worker, name)`."""
    subject = read(cluster(worker, name))
    assert subject is not None
    return subject.targets[0]


def term(topology_key: str = HOSTNAME, namespaces: Unstructured = None, **selector: Unstructured) -> Unstructured:
    """A pod affinity term with the label selector `selector`."""
    about = {} if namespaces is None else {"namespaces": namespaces}
    return {"labelSelector": selector, "topologyKey": topology_key, **about}


def expression(key: str, operator: str, *values: str) -> Unstructured:
    """One of a selector's `matchExpressions`."""
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def preferred(*terms: Unstructured, weight: int = 100) -> Unstructured:
    """A `podAffinity` or `podAntiAffinity` that prefers `terms`."""
    items = [{"weight": weight, "podAffinityTerm": item} for item in terms]
    return {"preferredDuringSchedulingIgnoredDuringExecution": items}


def review(item: Unstructured, operation: str = "CREATE", **request: Unstructured) -> Unstructured:
    """The AdmissionReview of creating `item`."""
    group_name, _, version = item["apiVersion"].rpartition("/")
    about = {
        "uid": "0c5d",
        "kind": {"group": group_name, "version": version, "kind": item["kind"]},
        "namespace": NAMESPACE,
        "operation": operation,
        "object": item,
        **request,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": about}


def namespace(name: str = NAMESPACE, **annotations: str) -> Unstructured:
    """A Namespace that is enabled; `annotations` without their prefix, `_` for `-`."""
    values = {"enabled": "true"} | {key.replace("_", "-"): value for key, value in annotations.items()}
    prefixed = {f"colocate.dask.org/{key}": value for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": prefixed}}
