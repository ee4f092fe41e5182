"""A raw Kubernetes object becomes a Subject with its Targets. The only file that knows Dask's labels and CRDs.

Facts from the CRDs of dask-kubernetes 2023.7 - 2026.3 (group kubernetes.dask.org, version v1) and its operator:
a DaskJob's name becomes its cluster's; a DaskWorkerGroup names its cluster in `spec.cluster`; the default
group is `CLUSTER-default`; labels of the cluster and of `spec.worker.metadata` come down to the worker pods.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from webhook.workloads import argv
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


_LONGEST_NAME = 30
# An object may be 3 MiB of anything, and others wait for its answer. What has more than this concerns nobody's Dask.
_MOST_CONTAINERS, _MOST_LABELS = 256, 1024
# Containers whose commands are read to find Dask's, each within milliseconds; of others the names count.
_READ = 8


class Role(StrEnum):
    """What the pods of a target do in a Dask cluster."""

    WORKER = "worker"
    SCHEDULER = "scheduler"


WORKER = Role.WORKER.value
"""The value of `COMPONENT` on worker pods, as selectors name it."""


@dataclass(frozen=True, slots=True)
class Container:
    """The container of a pod spec that runs Dask; side-cars are never one.

    Attributes:
        index: Its place in `containers`.
        raw: The container.
    """

    index: int
    raw: Unstructured

    @property
    def name(self) -> str:
        """Its name, as messages show it: shortened, since Kubernetes takes 63 characters and a message 120."""
        name = text(self.raw, "name") or f"[{self.index}]"
        return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


class PodTemplate(NamedTuple):
    """One pod spec within an object.

    Attributes:
        role: What its pods do.
        spec: The raw pod spec.
        pointer: RFC 6901 pointer of `spec` within the object.
        container: The one that runs Dask; None when the spec has no container.
        cluster: The Dask cluster's name; None before it has one (`generateName`).
        namespace: Where the pods will live, or "" when the object does not say.
        labels: Those the pods are known to carry.
        replicas: How many pods are wanted; 1 where the object does not say, as the CRDs have it.
        alone: Whether it is a pod without an owner: whoever creates it, and reads warnings, is no controller.
        before: The same target before an update.
        workers: Of a scheduler's pod template: the workers' in the same object. None for any other target.
    """

    role: Role
    spec: Unstructured
    pointer: str
    container: Container | None
    cluster: str | None
    namespace: str
    labels: Mapping[str, str]
    replicas: int = 1
    alone: bool = False
    before: "PodTemplate | None" = None
    workers: "PodTemplate | None" = None

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
_OWN_LABELS = frozenset({"dask.org/worker-name", "pod-template-hash"})
# All that rules look at in a pod, its spec and its containers. What is not here reaches no rule.
_SEEN_IN_METADATA = ("namespace", "annotations")
_SEEN_IN_SPEC = ("affinity", "topologySpreadConstraints", "nodeSelector", "tolerations")
_SEEN_IN_CONTAINER = ("name", "command", "args", "resources", "restartPolicy")


def shared(item: Unstructured) -> Unstructured | None:
    """Return a worker's or Dask scheduler's pod without the fields that no rule reads; None for any other object.

    The pods of a worker group differ in names, environment and volumes, which no rule reads: a decision on one pod
    is valid for all. Lists keep their length, so that pointers into them stay right.
    """
    if _kind(item) != ("", "Pod"):
        return None
    metadata, spec = mapping(item, "metadata"), mapping(item, "spec")
    labels = _labels(metadata)
    if labels.get(COMPONENT) not in _ROLES or not _readable(spec):
        return None
    for key in _OWN_LABELS:
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
    return {key: raw[key] for key in _SEEN_IN_CONTAINER if key in raw}


def pod_subject(seen: Unstructured) -> DaskObject:
    """Return the Subject of every pod for which `shared` returns `seen`."""
    metadata, spec = seen["metadata"], seen["spec"]
    labels = metadata["labels"]
    role = _ROLES[labels[COMPONENT]]
    target = PodTemplate(
        role=role,
        spec=spec,
        pointer="/spec",
        container=_container(spec, role),
        cluster=labels.get(CLUSTER_NAME) or None,
        namespace=text(metadata, "namespace") or "",
        labels=labels,
        alone="ownerReferences" not in metadata,
    )
    return DaskObject("Pod", (texts(metadata, "annotations"),), (target,))


def contained(target: PodTemplate) -> Unstructured | None:
    """A target with its Dask container and no more, as JSON; None where it has none.

    Clusters differ in names, numbers and places, and run the same command: what is decided on a container alone
    holds for all of them.
    """
    container = target.container
    if container is None:
        return None
    return [target.role.value, target.pointer, target.alone, container.index, _seen_container(container.raw)]


def container_target(seen: Unstructured) -> PodTemplate:
    """The target that `contained` leaves: what is not in it reaches no rule that is asked about a container."""
    role, pointer, alone, index, raw = seen
    return PodTemplate(
        role=Role(role),
        spec={"containers": [*(None for _ in range(index)), raw]},
        pointer=pointer,
        container=Container(index, raw),
        cluster=None,
        namespace="",
        labels={},
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
    own = _labels(mapping(item, "metadata")) | _labels(mapping(template, "metadata"))
    return PodTemplate(
        role=role,
        spec=spec,
        pointer=f"/{'/'.join(path)}/spec",
        container=_container(spec, role),
        cluster=names.get(CLUSTER_NAME),
        namespace=text(item, "metadata", "namespace") or "",
        labels={**own, **names, COMPONENT: role},
        replicas=_replicas(template.get("replicas")),
    )


def _replicas(written: Unstructured) -> int:
    return written if isinstance(written, int) and not isinstance(written, bool) else 1


def _readable(spec: Unstructured) -> bool:
    return bool(spec) and len(sequence(spec, "containers")) <= _MOST_CONTAINERS


def _labels(metadata: Unstructured) -> dict[str, str]:
    labels = mapping(metadata, "labels")
    return texts(labels) if len(labels) <= _MOST_LABELS else {}


def _container(spec: Unstructured, role: Role) -> Container | None:
    """The container that runs Dask: by its command, else by its name, else the first."""
    containers = tuple(
        Container(index, raw) for index, raw in enumerate(sequence(spec, "containers")) if isinstance(raw, dict)
    )
    if len(containers) == 1:  # whatever it says
        return containers[0]
    for sign in _SIGNS[role]:
        for container in containers[:_READ]:
            if sign(container.raw):
                return container
    by_name = (container for container in containers if container.raw.get("name") == role)
    return next(chain(by_name, containers), None)


_SIGNS: Mapping[Role, tuple[Callable[[Unstructured], bool], ...]] = {
    Role.WORKER: (argv.starts_worker, argv.mentions_worker),
    Role.SCHEDULER: (argv.starts_scheduler,),
}
