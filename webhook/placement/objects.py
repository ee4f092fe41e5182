"""Raw Nodes and Pods as far as capacity needs them; everything else is left behind, so that an index stays small.

Source: Kubernetes API reference, `NodeStatus` and `PodSpec` v1; kube-scheduler's own sum of a pod's requests
(component-helpers `resource`, `PodRequests`).
"""

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

from webhook.placement.constraints import taints
from webhook.placement.model import (
    Asks,
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
    Role,
)
from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    text,
    texts,
)

# Pods in these phases hold nothing; a watch with a field selector on them tells of their end as of a deletion.
ENDED = ("Succeeded", "Failed")

# Followed by a DeviceClass's name: the extended resource that every DeviceClass has without naming one.
DEVICE_CLASS = "deviceclass.resource.kubernetes.io/"
_LONGEST_QUANTITY = len(str(2**63))
_FACTORS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def node(item: Unstructured) -> Node:
    """A raw Node. Total: what is malformed is read as absent."""
    labels = texts(item, "metadata", "labels")
    return Node(
        name=text(item, "metadata", "name") or "",
        host=labels.get(HOSTNAME, ""),
        labels=labels,
        taints=taints(item),
        extended=_extended(mapping(item, "status", "allocatable")),
        open=_is_ready(item) and mapping(item, "spec").get("unschedulable") is not True,
    )


def held(item: Unstructured) -> PodUsage | None:
    """Return the extended resources of a raw Pod; None where it is not bound, has ended or requests none."""
    bound = text(item, "spec", "nodeName")
    if bound is None or text(item, "status", "phase") in ENDED:
        return None
    asks = requests(mapping(item, "spec"))
    return PodUsage(bound, _kept(tuple(sorted(asks.items()))), group(item)) if asks else None


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
    """Return the worker group of pods with these labels; without a group's name that is the cluster's default one."""
    return _group(namespace, cluster, text(labels, WORKER_GROUP_NAME) or f"{cluster}-default")


def requests(spec: Unstructured) -> dict[str, int]:
    """Return the extended resources that a raw pod spec requests, as kube-scheduler adds them up.

    Containers and sidecars (init containers with `restartPolicy: Always`) run together. Any other init container runs
    alone, beside the sidecars before it: the pod needs the maximum. Pod-level `resources` hold CPU, memory and huge
    pages only, and a RuntimeClass's `overhead` is not written before admission.
    """
    containers = sequence(spec, "containers")
    if len(containers) == 1 and not sequence(spec, "initContainers"):  # most pods, and half of the time
        return {name: amount for name, amount in _asked(containers[0]).items() if amount > 0}
    together: Counter[str] = Counter()
    peak: Counter[str] = Counter()
    for container in containers:
        together.update(_asked(container))
    sidecars: Counter[str] = Counter()
    for container in sequence(spec, "initContainers"):
        if text(container, "restartPolicy") == "Always":
            sidecars.update(_asked(container))
        else:
            peak |= sidecars + Counter(_asked(container))
    return dict((together + sidecars) | peak)


def _asked(container: Unstructured) -> Mapping[str, int]:
    """A limit alone is a request too: the API server writes it so for pods, not in a custom resource."""
    resources = mapping(container, "resources")
    limits, asked = mapping(resources, "limits"), mapping(resources, "requests")
    return _extended({**limits, **asked}) if limits or asked else {}


def _extended(quantities: Mapping[str, Unstructured]) -> dict[str, int]:
    """Return the extended resources among quantities; Kubernetes' own have no domain, or its own."""
    return {
        name: quantity(amount)
        for name, amount in quantities.items()
        if amount is not None and "/" in name and ("kubernetes.io/" not in name or name.startswith(DEVICE_CLASS))
    }


def quantity(written: Unstructured) -> int:
    """A whole quantity below 2^63, as Kubernetes has it: extended resources have no others; 0 for anything else."""
    digits = str(written).strip() if isinstance(written, (str, int)) else ""
    if len(digits) > _LONGEST_QUANTITY:
        return 0
    if digits.isascii() and digits.isdigit():
        return int(digits)
    number = digits.rstrip("kKMGi")
    if not (number.isascii() and number.isdigit()):
        return 0
    return int(number) * _FACTORS.get(digits[len(number) :], 0)


def _is_ready(item: Unstructured) -> bool:
    return any(
        text(each, "type") == "Ready" and text(each, "status") == "True"
        for each in sequence(item, "status", "conditions")
    )


# Tens of thousands of pods ask for a handful of things and stand in far fewer groups: each is kept once.
@lru_cache(1024)
def _kept(asks: Asks) -> Asks:
    return asks


@lru_cache(4096)
def _group(namespace: str, cluster: str, name: str) -> Group:
    return Group(namespace, cluster, name)


@lru_cache(4096)
def _scheduler(namespace: str, cluster: str) -> Group:
    return scheduler_of(namespace, cluster)
