"""What a pod asks of a node, and whether it still does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from webhook.status.snapshot import name, namespace
from webhook.workloads import accelerators
from webhook.workloads.unstructured import (
    Unstructured,
    sequence,
    text,
    texts,
)

_ENDED = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Ask:
    """What a pod needs of a node, as far as it is judged here: devices, and the labels of its `nodeSelector`.

    Attributes:
        devices: Resource and how many, sorted.
        labels: Key and value, sorted.
    """

    devices: tuple[tuple[str, int], ...]
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def gpus(self) -> int:
        """Devices of all resources."""
        return sum(count for _, count in self.devices)


@dataclass(frozen=True, slots=True)
class Devices:
    """Which extended resources count as GPUs: those that the namespaces' policies name, and CUDA's own."""

    resources: tuple[str, ...]

    def of(self, container: Unstructured) -> dict[str, int]:
        """The devices in a container's requests and limits."""
        found: dict[str, int] = {}
        for resource in self.resources:
            found |= accelerators.counted(container, resource)
        return {resource: count for resource, count in found.items() if count}

    def allocatable(self, node: Unstructured) -> dict[str, int]:
        """The devices that a node's pods can be given."""
        return self.of({"resources": {"limits": texts(node, "status", "allocatable")}})

    def ask(self, pod: Unstructured) -> Ask:
        """What a pod asks for: its containers together, or its largest init container if that asks for more."""
        spec = pod.get("spec")
        together = _added(map(self.of, sequence(spec, "containers")))
        for one in map(self.of, sequence(spec, "initContainers")):
            together |= {resource: max(count, together.get(resource, 0)) for resource, count in one.items()}
        return Ask(tuple(sorted(together.items())), tuple(sorted(texts(spec, "nodeSelector").items())))


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for resource, count in one.items():
            total[resource] = total.get(resource, 0) + count
    return total


def title(pod: Unstructured) -> str:
    """`namespace/name`."""
    return f"{namespace(pod)}/{name(pod)}"


def node_of(pod: Unstructured) -> str:
    """Where a pod stands; empty while it waits."""
    return text(pod, "spec", "nodeName") or ""


def ended(pod: Unstructured) -> bool:
    """Whether a pod is over and holds nothing any more."""
    return text(pod, "status", "phase") in _ENDED


def leaving(item: Unstructured) -> bool:
    """Whether an object is being deleted."""
    return text(item, "metadata", "deletionTimestamp") is not None
