"""A raw Kubernetes object becomes a Subject with its Targets. The only file that knows Dask's labels and CRDs.

Facts from the CRDs of dask-kubernetes 2023.7 - 2026.3 (group kubernetes.dask.org, version v1) and its operator:
a DaskJob's name becomes its cluster's; a DaskWorkerGroup names its cluster in `spec.cluster`; the default
group is `CLUSTER-default`; labels of the cluster and of `spec.worker.metadata` come down to the worker pods.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from webhook.workloads import accelerators, gpu_nodes, images
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


# An object may be 3 MiB of anything, and others wait for its answer. What has more than this concerns nobody's Dask.
_MOST_CONTAINERS, _MOST_LABELS = 256, 1024


class Role(StrEnum):
    """What the pods of a target do in a Dask cluster."""

    WORKER = "worker"
    SCHEDULER = "scheduler"


WORKER = Role.WORKER.value
"""The value of `COMPONENT` on worker pods, as selectors name it."""


class PodTemplate(NamedTuple):
    """One pod spec within an object.

    Attributes:
        role: What its pods do.
        spec: The raw pod spec.
        pointer: RFC 6901 pointer of `spec` within the object.
        container: The one that runs Dask; None when the spec has no container, or which one is unknown.
        cluster: The Dask cluster's name; None before it has one (`generateName`).
        namespace: Where the pods will live, or "" when the object does not say.
        labels: Those the pods are known to carry.
        annotations: Those the pods are known to carry and classification looks at.
        replicas: How many pods are wanted; 1 where the object does not say, as the CRDs have it.
        alone: Whether it is a pod without an owner: whoever creates it, and reads warnings, is no controller.
        before: The same target before an update.
        workers: Of a scheduler's pod template: the workers' in the same object. None for any other target.
        container_problem: Why none of several containers is chosen, as one line; "" otherwise.
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
        """Whether the cluster's name can stand in a label selector; Dask's CRDs take longer ones (<= 63)."""
        return self.cluster is not None and _LABEL_VALUE.fullmatch(self.cluster) is not None


_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, eq=False)
class DaskObject:
    """An object that concerns us. Equal to itself alone, so that what was decided on it can be kept.

    Attributes:
        kind: DaskCluster, DaskWorkerGroup, DaskJob or Pod.
        annotations: Its own; for custom resources then those it gives its workers.
        targets: Its pod specs, at least one.
    """

    kind: str
    annotations: tuple[Mapping[str, str], ...]
    targets: tuple[PodTemplate, ...]


def read(item: Unstructured) -> DaskObject | None:
    """What concerns us in an object, or None. Total: whatever is malformed concerns the API server, not us."""
    reader = _READERS.get(_kind(item))
    subject = reader(item) if reader else None
    return subject if subject and subject.targets else None


def _kind(item: Unstructured) -> tuple[str, str]:
    """The API group, "" for Kubernetes' own, and the kind of an object."""
    return (text(item, "apiVersion") or "").rpartition("/")[0], text(item, "kind") or ""


def updated(subject: DaskObject, old_item: Unstructured) -> DaskObject:
    """The subject with what its targets were before an update."""
    before = read(old_item)
    targets = {target.pointer: target for target in before.targets} if before else {}
    return replace(
        subject, targets=tuple(target._replace(before=targets.get(target.pointer)) for target in subject.targets)
    )


# ---- one reader for each kind ---------------------------------------------------------------------


def _cluster(item: Unstructured) -> DaskObject:
    return _clustered(item, "DaskCluster", ("spec",))


def _job(item: Unstructured) -> DaskObject:
    return _clustered(item, "DaskJob", ("spec", "cluster", "spec"))


def _clustered(item: Unstructured, kind: str, path: tuple[str, ...]) -> DaskObject:
    name = text(item, "metadata", "name")
    worker = _target(item, Role.WORKER, (*path, "worker"), _names(name, f"{name}-default" if name else None))
    scheduler = _target(item, Role.SCHEDULER, (*path, "scheduler"), _names(name, None))
    return _subject(item, kind, (*path, "worker"), (worker, scheduler and scheduler._replace(workers=worker)))


def _worker_group(item: Unstructured) -> DaskObject:
    names = _names(text(item, "spec", "cluster"), text(item, "metadata", "name"))
    return _subject(
        item, "DaskWorkerGroup", ("spec", "worker"), (_target(item, Role.WORKER, ("spec", "worker"), names),)
    )


# Roles whose pods are admitted. The pod that runs a DaskJob's script is labelled `job-runner`, a role of its own.
_ROLES: Mapping[str, Role] = {role.value: role for role in Role}
# Labels that differ between the pods of one group: the operator's name for the worker, the ReplicaSet's hash.
OWN_LABELS = frozenset({"dask.org/worker-name", "pod-template-hash"})
# All that rules look at in a pod, its spec and its containers. What is not here reaches no rule.
_SEEN_IN_METADATA = ("namespace", "annotations")
_SEEN_BY_CLASSIFICATION = ("nodeSelector", "resources", "resourceClaims", "runtimeClassName")
_SEEN_IN_SPEC = ("affinity", "topologySpreadConstraints", "tolerations", *_SEEN_BY_CLASSIFICATION)
_SEEN_IN_CONTAINER = ("name", "image", "command", "args", "resources", "restartPolicy")
_SEEN_VARIABLES = frozenset({"NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", *images.ENVIRONMENT})


def shared(item: Unstructured) -> Unstructured | None:
    """Return a worker's or Dask scheduler's pod without the fields that no rule reads; None for any other object.

    The pods of a worker group differ in names, volumes and most of their environment, which no rule looks at: what is
    decided on one holds for all. Lists of containers keep their length, so that pointers into them stay right.
    """
    if _kind(item) != ("", "Pod"):
        return None
    metadata, spec = mapping(item, "metadata"), mapping(item, "spec")
    labels = _labels(metadata)
    if labels.get(COMPONENT) not in _ROLES or not _readable(spec):
        return None
    for key in OWN_LABELS:
        labels.pop(key, None)
    named = {key: metadata[key] for key in _SEEN_IN_METADATA if key in metadata}
    if sequence(metadata, "ownerReferences"):
        named["ownerReferences"] = [{}]  # that it has an owner, whoever it is
    seen = {key: spec[key] for key in _SEEN_IN_SPEC if key in spec}
    for key in ("containers", "initContainers"):
        if key in spec:
            seen[key] = _seen_containers(spec[key])
    return {"metadata": {**named, "labels": labels}, "spec": seen}


def _seen_containers(containers: Unstructured) -> Unstructured:
    if not isinstance(containers, list):
        return containers
    return [_seen_container(each) if isinstance(each, dict) else each for each in containers]


def _seen_container(raw: Unstructured) -> Unstructured:
    seen = {key: raw[key] for key in _SEEN_IN_CONTAINER if key in raw}
    if "env" in raw or "securityContext" in raw or "volumeMounts" in raw:
        seen |= _seen_of_environment(raw)
    return seen


def _seen_of_environment(raw: Unstructured) -> dict[str, Unstructured]:
    seen: dict[str, Unstructured] = {}
    if env := [each for each in sequence(raw, "env") if text(each, "name") in _SEEN_VARIABLES]:
        seen["env"] = env
    if mapping(raw, "securityContext").get("privileged") is True:
        seen["securityContext"] = {"privileged": True}
    if images.brings_environment(raw):
        seen["volumeMounts"] = [images.ENVIRONMENT_MOUNT]
    return seen


def pod_subject(seen: Unstructured) -> DaskObject:
    """Return the Subject of every pod for which `shared` returns `seen`."""
    metadata, spec = seen["metadata"], seen["spec"]
    labels, annotations = metadata["labels"], texts(metadata, "annotations")
    role = _ROLES[labels[COMPONENT]]
    container, problem = dask_container(spec, role)
    target = PodTemplate(
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
    return DaskObject("Pod", (annotations,), (target,))


def contained(target: PodTemplate, *, labelled: bool = False) -> Unstructured | None:
    """Return a target with what its classification and its Dask container need, as JSON; None without a container.

    Clusters differ in names, numbers and places, and run the same pods: what is decided on these alone holds for all of
    them.

    Args:
        target: The pod template.
        labelled: Whether its classification may look at every label: a label selector chooses the GPU workers.
    """
    container = target.container
    if container is None:
        return None
    about = [target.role.value, target.pointer, target.alone, container.index]
    if target.role is not Role.WORKER:
        return [*about, _seen_container(container.raw)]
    labels = {**target.labels} if labelled else accelerators.sharing(target.labels)
    named = labelled and target.cluster is not None
    return [*about, _classified(target.spec), target.annotations, labels, named]


def _classified(spec: Unstructured) -> Unstructured:
    """Return a pod spec with what classification looks at."""
    seen = {key: spec[key] for key in _SEEN_BY_CLASSIFICATION if key in spec}
    for key in ("containers", "initContainers"):
        if key in spec:
            seen[key] = _seen_containers(spec[key])
    if "affinity" in spec and (affinity := gpu_nodes.required_affinity(spec)):
        seen["affinity"] = affinity
    return seen


def container_target(seen: Unstructured) -> PodTemplate:
    """Return the target that `contained` leaves: what is not in it reaches no rule that is asked about a container."""
    role, pointer, alone, index, spec, *rest = seen
    if not rest:  # a Dask scheduler's container
        spec, rest = {"containers": [*(None for _ in range(index)), spec]}, ({}, {}, False)
    annotations, labels, named = rest
    return PodTemplate(
        role=Role(role),
        spec=spec,
        pointer=pointer,
        container=Container(index, spec["containers"][index]),
        cluster="" if named else None,
        namespace="",
        labels=labels,
        annotations=annotations,
        alone=alone,
    )


def _pod(item: Unstructured) -> DaskObject | None:
    seen = shared(item)
    return None if seen is None else pod_subject(seen)


_READERS: Mapping[tuple[str, str], Callable[[Unstructured], DaskObject | None]] = {
    (GROUP, "DaskCluster"): _cluster,
    (GROUP, "DaskJob"): _job,
    (GROUP, "DaskWorkerGroup"): _worker_group,
    ("", "Pod"): _pod,
}


def _subject(
    item: Unstructured, kind: str, worker: tuple[str, ...], targets: tuple[PodTemplate | None, ...]
) -> DaskObject:
    annotations = (texts(item, "metadata", "annotations"), texts(item, *worker, "metadata", "annotations"))
    found = tuple(target for target in targets if target is not None)
    return DaskObject(kind, annotations, found)


def _names(cluster: str | None, worker_group: str | None) -> dict[str, str]:
    """The labels by which the operator names a pod's cluster and group, as far as they are known."""
    known = {CLUSTER_NAME: cluster, WORKER_GROUP_NAME: worker_group}
    return {key: value for key, value in known.items() if value}


def _target(item: Unstructured, role: Role, path: tuple[str, ...], names: Mapping[str, str]) -> PodTemplate | None:
    """The target whose template, a pod's `metadata` and `spec`, stands at `path`."""
    template = mapping(item, *path)
    spec = mapping(template, "spec")
    if not _readable(spec):
        return None
    container, problem = dask_container(spec, role)
    own = _labels(mapping(item, "metadata")) | _labels(mapping(template, "metadata"))
    return PodTemplate(
        role=role,
        spec=spec,
        pointer=f"/{'/'.join(path)}/spec",
        container=container,
        container_problem=problem,
        cluster=names.get(CLUSTER_NAME),
        namespace=text(item, "metadata", "namespace") or "",
        labels={**own, **names, COMPONENT: role},
        annotations=_sharing(item, template) if role is Role.WORKER else {},
        replicas=_replicas(template.get("replicas")),
    )


def _sharing(*holders: Unstructured) -> dict[str, str]:
    """Return the annotations that the pods carry and classification looks at."""
    found: dict[str, str] = {}
    for holder in holders:
        if annotations := mapping(holder, "metadata", "annotations"):
            found |= accelerators.sharing(texts(annotations))
    return found


def _replicas(written: Unstructured) -> int:
    return written if isinstance(written, int) and not isinstance(written, bool) else 1


def _readable(spec: Unstructured) -> bool:
    return bool(spec) and len(sequence(spec, "containers")) <= _MOST_CONTAINERS


def _labels(metadata: Unstructured) -> dict[str, str]:
    labels = mapping(metadata, "labels")
    return texts(labels) if len(labels) <= _MOST_LABELS else {}
