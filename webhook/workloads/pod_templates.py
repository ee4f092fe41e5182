"""Pod templates of Dask objects. The only module that reads Dask's labels and custom resources.

Source: the CRDs of dask-kubernetes 2023.7 - 2026.3 (group kubernetes.dask.org, version v1) and its operator:
a DaskJob's name is also its cluster's name; a DaskWorkerGroup names its cluster in `spec.cluster`; the default group is
`CLUSTER-default`; the operator copies labels and annotations of the cluster and of `spec.worker.metadata` to worker
pods.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from webhook.workloads import accelerators, pod_fields
from webhook.workloads.container import Container, dask_container
from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    text,
    texts,
)

GROUP = "kubernetes.dask.org"
COMPONENT = "dask.org/component"
CLUSTER_NAME = "dask.org/cluster-name"
WORKER_GROUP_NAME = "dask.org/workergroup-name"
OWN_LABELS = frozenset({"dask.org/worker-name", "pod-template-hash"})
"""Labels that differ between the pods of one group: the operator's name for the worker, the ReplicaSet's hash."""

# An object may have 3 MiB, and other requests wait while it is read. Pod specs with more containers are unmodified;
# labels beyond this number are not read.
_MOST_CONTAINERS, _MOST_LABELS = 256, 1024


class Role(StrEnum):
    """Role of a pod template's pods in a Dask cluster."""

    WORKER = "worker"
    SCHEDULER = "scheduler"


WORKER = Role.WORKER.value
"""The value of `COMPONENT` on worker pods, as selectors name it."""


class PodTemplate(NamedTuple):
    """One pod spec within an object.

    Attributes:
        role: Role of its pods.
        spec: The pod spec as written.
        pointer: JSON pointer (RFC 6901) of `spec` within the object.
        container: The container that runs Dask; None where the spec has none, or it is unknown which one.
        cluster: Name of the Dask cluster; None before the API server generates it (`generateName`).
        namespace: Namespace of the pods; "" where the object does not name it.
        labels: Labels that the pods are known to carry.
        annotations: Annotations that the pods are known to carry and that classification reads.
        replicas: Number of pods; the CRDs' default, 1, where the object has none.
        alone: True for a pod without an owner: a user, who reads warnings, created it.
        before: The same pod template before an update.
        workers: For a scheduler's pod template, the workers' one in the same object; else None.
        container_problem: Reason why none of several containers is chosen, as one line; else "".
    """

    role: Role
    spec: Unstructured
    pointer: str
    container: Container | None
    cluster: str | None
    namespace: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = MappingProxyType({})
    replicas: int = 1
    alone: bool = False
    before: "PodTemplate | None" = None
    workers: "PodTemplate | None" = None
    container_problem: str = ""

    @property
    def selectable(self) -> bool:
        """True if the cluster's name is a valid label value. Dask's CRDs also accept longer names."""
        return self.cluster is not None and _LABEL_VALUE.fullmatch(self.cluster) is not None


_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, eq=False)
class DaskObject:
    """Dask object with its pod templates. Compared by identity, which makes it a fast key of the decision cache.

    Attributes:
        kind: DaskCluster, DaskWorkerGroup, DaskJob or Pod.
        annotations: Annotations of the object; for custom resources then those of its workers.
        targets: Its pod templates, at least one.
    """

    kind: str
    annotations: tuple[Mapping[str, str], ...]
    targets: tuple[PodTemplate, ...]


def read(item: Unstructured) -> DaskObject | None:
    """Return a Dask object's pod templates; None for any other object. Raises nothing for any parsed JSON."""
    reader = _READERS.get(_kind(item))
    subject = reader(item) if reader else None
    return subject if subject and subject.targets else None


def _kind(item: Unstructured) -> tuple[str, str]:
    """Return an object's API group, "" for the core group, and its kind."""
    return (text(item, "apiVersion") or "").rpartition("/")[0], text(item, "kind") or ""


def updated(subject: DaskObject, old_item: Unstructured) -> DaskObject:
    """Return a Dask object with the pod templates it had before an update."""
    before = read(old_item)
    templates = {template.pointer: template for template in before.targets} if before else {}
    return replace(
        subject,
        targets=tuple(template._replace(before=templates.get(template.pointer)) for template in subject.targets),
    )


# ---- custom resources -----------------------------------------------------------------------------


def _cluster(item: Unstructured) -> DaskObject:
    return _clustered(item, "DaskCluster", ("spec",))


def _job(item: Unstructured) -> DaskObject:
    return _clustered(item, "DaskJob", ("spec", "cluster", "spec"))


def _clustered(item: Unstructured, kind: str, path: tuple[str, ...]) -> DaskObject:
    metadata = mapping(item, "metadata")
    name = text(metadata, "name")
    path_of_worker, path_of_scheduler = (*path, "worker"), (*path, "scheduler")
    worker = _template(item, Role.WORKER, path_of_worker, _names(name, f"{name}-default" if name else None))
    scheduler = _template(item, Role.SCHEDULER, path_of_scheduler, _names(name, None))
    return _object(item, kind, path_of_worker, (worker, scheduler and scheduler._replace(workers=worker)))


def _worker_group(item: Unstructured) -> DaskObject:
    path = ("spec", "worker")
    names = _names(text(item, "spec", "cluster"), text(item, "metadata", "name"))
    return _object(item, "DaskWorkerGroup", path, (_template(item, Role.WORKER, path, names),))


def _object(
    item: Unstructured, kind: str, worker: tuple[str, ...], templates: tuple[PodTemplate | None, ...]
) -> DaskObject:
    annotations = (texts(item, "metadata", "annotations"), texts(item, *worker, "metadata", "annotations"))
    return DaskObject(kind, annotations, tuple([template for template in templates if template is not None]))


def _names(cluster: str | None, worker_group: str | None) -> dict[str, str]:
    """Return the labels by which the operator names a pod's cluster and worker group, as far as they are known."""
    names = {}
    if cluster:
        names[CLUSTER_NAME] = cluster
    if worker_group:
        names[WORKER_GROUP_NAME] = worker_group
    return names


def _template(item: Unstructured, role: Role, path: tuple[str, ...], names: Mapping[str, str]) -> PodTemplate | None:
    """Return the pod template at `path`, an object with a pod's `metadata` and `spec`."""
    holder = mapping(item, *path)
    spec = mapping(holder, "spec")
    if not _is_readable(spec):
        return None
    metadata, own = mapping(item, "metadata"), mapping(holder, "metadata")
    container, problem = dask_container(spec, role)
    return PodTemplate(
        role=role,
        spec=spec,
        pointer=f"/{'/'.join(path)}/spec",
        container=container,
        container_problem=problem,
        cluster=names.get(CLUSTER_NAME),
        namespace=text(metadata, "namespace") or "",
        labels={**_labels(metadata), **_labels(own), **names, COMPONENT: role},
        annotations={**_sharing(metadata), **_sharing(own)} if role is Role.WORKER else {},
        replicas=_replicas(holder.get("replicas")),
    )


def _sharing(metadata: Unstructured) -> Mapping[str, str]:
    """Return the annotations that classification reads."""
    return accelerators.sharing(mapping(metadata, "annotations"))


def _replicas(number: Unstructured) -> int:
    return number if isinstance(number, int) and not isinstance(number, bool) else 1


def _is_readable(spec: Unstructured) -> bool:
    return bool(spec) and len(sequence(spec, "containers")) <= _MOST_CONTAINERS


def _labels(metadata: Unstructured) -> dict[str, str]:
    labels = mapping(metadata, "labels")
    return texts(labels) if labels and len(labels) <= _MOST_LABELS else {}


# ---- pods -----------------------------------------------------------------------------------------

# Roles whose pods are read. The pod that runs a DaskJob's script has the label `job-runner`, a role of its own.
_ROLES: Mapping[str, Role] = {role.value: role for role in Role}
_POD_METADATA = ("namespace", "annotations")


def shared(item: Unstructured) -> Unstructured | None:
    """Return a worker's or Dask scheduler's pod with the fields that rules read; None for any other object."""
    if _kind(item) != ("", "Pod"):
        return None
    metadata, spec = mapping(item, "metadata"), mapping(item, "spec")
    labels = _labels(metadata)
    if labels.get(COMPONENT) not in _ROLES or not _is_readable(spec):
        return None
    for key in OWN_LABELS:
        labels.pop(key, None)
    fields = {key: metadata[key] for key in _POD_METADATA if key in metadata}
    if sequence(metadata, "ownerReferences"):
        fields["ownerReferences"] = [{}]  # rules read whether there is an owner, not which one
    return {"metadata": {**fields, "labels": labels}, "spec": pod_fields.of_spec(spec)}


def pod_subject(fields: Unstructured) -> DaskObject:
    """Return the Dask object for every pod from which `shared` returns `fields`."""
    metadata, spec = fields["metadata"], fields["spec"]
    labels, annotations = metadata["labels"], texts(metadata, "annotations")
    role = _ROLES[labels[COMPONENT]]
    container, problem = dask_container(spec, role)
    template = PodTemplate(
        role=role,
        spec=spec,
        pointer="/spec",
        container=container,
        container_problem=problem,
        cluster=labels.get(CLUSTER_NAME) or None,
        namespace=text(metadata, "namespace") or "",
        labels=labels,
        annotations=accelerators.sharing(annotations),
        alone="ownerReferences" not in metadata,
    )
    return DaskObject("Pod", (annotations,), (template,))


def _pod(item: Unstructured) -> DaskObject | None:
    fields = shared(item)
    return None if fields is None else pod_subject(fields)


_READERS: Mapping[tuple[str, str], Callable[[Unstructured], DaskObject | None]] = {
    (GROUP, "DaskCluster"): _cluster,
    (GROUP, "DaskJob"): _job,
    (GROUP, "DaskWorkerGroup"): _worker_group,
    ("", "Pod"): _pod,
}
