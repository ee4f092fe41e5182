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
    """What a raw Pod holds, or None: it is not bound, has ended, or asks for no extended resource."""
    bound = text(item, "spec", "nodeName")
    if bound is None or text(item, "status", "phase") in ENDED:
        return None
    asks = requests(mapping(item, "spec"))
    return PodUsage(bound, _kept(tuple(sorted(asks.items()))), group(item)) if asks else None


def group(pod: Unstructured) -> Group | None:
    """The worker group a raw Pod is of, by the operator's labels; None where it is no Dask worker."""
    labels = mapping(pod, "metadata", "labels")
    cluster = labels.get(CLUSTER_NAME)
    if labels.get(COMPONENT) != Role.WORKER or not isinstance(cluster, str):
        return None
    name = text(labels, WORKER_GROUP_NAME) or f"{cluster}-default"
    return _group(text(pod, "metadata", "namespace") or "", cluster, name)


def requests(spec: Unstructured) -> dict[str, int]:
    """Extended resources that a raw pod spec asks for, and how much of each.

    Containers and side-cars run together; an init container runs beside the side-cars before it.
    """
    containers = sequence(spec, "containers")
    if len(containers) == 1 and not sequence(spec, "initContainers"):  # most pods, and half of the time
        return {name: amount for name, amount in _asked(containers[0]).items() if amount > 0}
    together: Counter[str] = Counter()
    peak: Counter[str] = Counter()
    for each in containers:
        together.update(_asked(each))
    beside: Counter[str] = Counter()
    for each in sequence(spec, "initContainers"):
        if text(each, "restartPolicy") == "Always":
            beside.update(_asked(each))
        else:
            peak |= beside + Counter(_asked(each))
    return dict((together + beside) | peak)


def _asked(container: Unstructured) -> Mapping[str, int]:
    """A limit alone is a request too: the API server writes it so for pods, not in a custom resource."""
    resources = mapping(container, "resources")
    limits, asked = mapping(resources, "limits"), mapping(resources, "requests")
    return _extended({**limits, **asked}) if limits or asked else {}


def _extended(quantities: Mapping[str, Unstructured]) -> dict[str, int]:
    """The extended resources among quantities; Kubernetes' own have no domain, or its own."""
    return {
        name: quantity(amount)
        for name, amount in quantities.items()
        if "/" in name and "kubernetes.io/" not in name and amount is not None
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
