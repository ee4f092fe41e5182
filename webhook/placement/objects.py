"""Conversion of raw Nodes and Pods to the fields that capacity needs.

Source: Kubernetes API reference, `NodeStatus` and `PodSpec` v1; kube-scheduler's sum of a pod's requests
(component-helpers `resource`, `PodRequests`).
"""

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

from webhook.placement.constraints import taints
from webhook.placement.model import (
    Amounts,
    Group,
    Node,
    PodUsage,
    scheduler_of,
)
from webhook.policy.topology_presets import HOSTNAME
from webhook.workloads.pod_templates import (
    CLUSTER_NAME,
    COMPONENT,
    WORKER_GROUP_NAME,
    PodTemplate,
    Role,
)
from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    text,
    texts,
)

# Pods in these phases use no resources. A watch with a field selector on the phase reports their end as a deletion.
ENDED = ("Succeeded", "Failed")

# Prefix of a DeviceClass's name: the implicit extended resource of every DeviceClass.
DEVICE_CLASS = "deviceclass.resource.kubernetes.io/"
_MAX_DIGITS = len(str(2**63))
_FACTORS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def node(item: Unstructured) -> Node:
    """Convert a raw Node. Malformed fields count as absent."""
    labels = texts(item, "metadata", "labels")
    return Node(
        name=text(item, "metadata", "name") or "",
        hostname=labels.get(HOSTNAME, ""),
        labels=labels,
        taints=taints(item),
        extended=_extended(mapping(item, "status", "allocatable")),
        schedulable=_is_ready(item) and mapping(item, "spec").get("unschedulable") is not True,
    )


def pod_usage(item: Unstructured) -> PodUsage | None:
    """Return the extended resources of a raw Pod; None if it is not bound, has ended or requests none."""
    node_name = text(item, "spec", "nodeName")
    if node_name is None or text(item, "status", "phase") in ENDED:
        return None
    amounts = requests(mapping(item, "spec"))
    return PodUsage(node_name, _interned(tuple(sorted(amounts.items()))), group(item)) if amounts else None


def group(pod: Unstructured) -> Group | None:
    """Return the worker group or Dask scheduler of a raw Pod, by the operator's labels; None for any other pod."""
    labels = mapping(pod, "metadata", "labels")
    cluster = labels.get(CLUSTER_NAME)
    if not isinstance(cluster, str):
        return None
    namespace = text(pod, "metadata", "namespace") or ""
    if labels.get(COMPONENT) == Role.SCHEDULER:
        return _scheduler(namespace, cluster)
    return worker_group(namespace, cluster, labels) if labels.get(COMPONENT) == Role.WORKER else None


def worker_group(namespace: str, cluster: str, labels: Mapping[str, Unstructured]) -> Group:
    """Return the worker group of pods with these labels; without a group name, the default group."""
    return _group(namespace, cluster, text(labels, WORKER_GROUP_NAME) or f"{cluster}-default")


def template_group(template: PodTemplate, namespace: str) -> Group:
    """Return the worker group or Dask scheduler of a pod template."""
    cluster = template.cluster or ""
    if template.role is Role.SCHEDULER:
        return scheduler_of(namespace, cluster)
    return worker_group(namespace, cluster, template.labels)


def requests(spec: Unstructured) -> dict[str, int]:
    """Return the extended resources that a raw pod spec requests, summed like kube-scheduler.

    Containers and sidecars (init containers with `restartPolicy: Always`) run together. Any other init container runs
    alone, beside the sidecars before it: the pod needs the maximum. Pod-level `resources` have CPU, memory and
    huge pages only, and a RuntimeClass's `overhead` is not set before admission.
    """
    containers = sequence(spec, "containers")
    if len(containers) == 1 and not sequence(spec, "initContainers"):  # most pods; twice as fast
        return {name: amount for name, amount in _container_requests(containers[0]).items() if amount > 0}
    running: Counter[str] = Counter()
    peak: Counter[str] = Counter()
    for container in containers:
        running.update(_container_requests(container))
    sidecars: Counter[str] = Counter()
    for container in sequence(spec, "initContainers"):
        if text(container, "restartPolicy") == "Always":
            sidecars.update(_container_requests(container))
        else:
            peak |= sidecars + Counter(_container_requests(container))
    return dict((running + sidecars) | peak)


def _container_requests(container: Unstructured) -> Mapping[str, int]:
    """Return the requests of a container. A limit alone counts as a request, as for the API server."""
    resources = mapping(container, "resources")
    return _extended({**mapping(resources, "limits"), **mapping(resources, "requests")})


def _extended(quantities: Mapping[str, Unstructured]) -> dict[str, int]:
    """Return the extended resources among quantities; Kubernetes' own have no domain or its own domain."""
    return {
        name: quantity(amount)
        for name, amount in quantities.items()
        if amount is not None and "/" in name and ("kubernetes.io/" not in name or name.startswith(DEVICE_CLASS))
    }


def quantity(raw: Unstructured) -> int:
    """Parse a whole Kubernetes quantity below 2^63, as extended resources have; return 0 for anything else."""
    digits = str(raw).strip() if isinstance(raw, (str, int)) else ""
    if len(digits) > _MAX_DIGITS:
        return 0
    if digits.isascii() and digits.isdigit():
        return int(digits)
    number = digits.rstrip("kKMGi")
    if not (number.isascii() and number.isdigit()):
        return 0
    return int(number) * _FACTORS.get(digits[len(number) :], 0)


def _is_ready(item: Unstructured) -> bool:
    return any(
        text(condition, "type") == "Ready" and text(condition, "status") == "True"
        for condition in sequence(item, "status", "conditions")
    )


# Tens of thousands of pods share a few sets of amounts and far fewer groups: one object for each saves memory.
@lru_cache(1024)
def _interned(amounts: Amounts) -> Amounts:
    return amounts


@lru_cache(4096)
def _group(namespace: str, cluster: str, name: str) -> Group:
    return Group(namespace, cluster, name)


@lru_cache(4096)
def _scheduler(namespace: str, cluster: str) -> Group:
    return scheduler_of(namespace, cluster)
