"""Devices that a pod requests or holds, counted as capacity hints count them, and the state of a pod."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from webhook.placement import dra, objects
from webhook.status.snapshot import Snapshot, name, namespace
from webhook.workloads import accelerators
from webhook.workloads.unstructured import Unstructured, mapping, sequence, text, texts

_ENDED = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Ask:
    """What a pod needs of a node, as far as it is judged here: devices, and the labels of its `nodeSelector`.

    Attributes:
        devices: Resource and how many, sorted.
        labels: Key and value, sorted.
        claimed: Those among `devices` that the pod holds by its own ResourceClaims, sorted.
    """

    devices: tuple[tuple[str, int], ...]
    labels: tuple[tuple[str, str], ...] = ()
    claimed: tuple[tuple[str, int], ...] = ()

    @property
    def gpus(self) -> int:
        """Devices of all resources."""
        return sum(count for _, count in self.devices)


@dataclass(frozen=True, slots=True)
class Devices:
    """Extended resources that count as GPUs, and where they are.

    Attributes:
        resources: Those that the namespaces' policies name; CUDA's own count too.
        published: Devices of nodes with Dynamic Resource Allocation.
        claims: The devices that a pod, by namespace and name, holds by its own ResourceClaims.
    """

    resources: tuple[str, ...]
    published: dra.Devices = field(default_factory=dra.Devices)
    claims: Mapping[tuple[str, str], tuple[dra.Device, ...]] = field(default_factory=dict)

    def allocatable(self, node: Unstructured) -> dict[str, int]:
        """Return the devices for a node's pods: the device plugin's, else those that ResourceSlices publish."""
        where, plugin = name(node), self._counted(objects.node(node).extended)
        published = {each: self.published.total(where, each) for each in self.published.resources_of(where)}
        return self._counted(published) | plugin

    def held(self, node: Unstructured) -> dict[str, int]:
        """Return the devices of a node that are held by ResourceClaims."""
        where, plugin = name(node), objects.node(node).extended
        resources = (each for each in self.published.resources_of(where) if not plugin.get(each))
        return self._counted({each: self.published.claimed(where, each) for each in resources})

    def ask(self, pod: Unstructured) -> Ask:
        """Return what a pod requests, as kube-scheduler adds it up, and what it holds by ResourceClaims."""
        spec = mapping(pod, "spec")
        requested = Counter(self._counted(objects.requests(spec)))
        held = self.claims.get((namespace(pod), name(pod)), ())
        claimed = Counter(
            resource for device in held if (resource := self.published.served_by(node_of(pod), device)) is not None
        )
        labels = tuple(sorted(texts(spec, "nodeSelector").items()))
        return Ask(tuple(sorted((requested + claimed).items())), labels, tuple(sorted(claimed.items())))

    def _counted(self, amounts: Mapping[str, int]) -> dict[str, int]:
        """Return the GPUs among extended resources."""
        found: Counter[str] = Counter()
        for resource, count in amounts.items():
            named = self.published.resource_named(resource)
            if any(accelerators.is_cuda_device(named, resource) for resource in ("", *self.resources)):
                found[named] += count
        return {resource: count for resource, count in found.items() if count}


def devices(snapshot: Snapshot, resources: tuple[str, ...]) -> Devices:
    """Return the devices of a snapshot."""
    published = dra.Devices()
    for found in filter(None, map(dra.device_class, snapshot.device_classes)):
        published.put_class(found)
    for item in snapshot.resource_slices:
        if found_slice := dra.resource_slice(item):
            published.put_slice(name(item), found_slice)
    claims: dict[tuple[str, str], tuple[dra.Device, ...]] = {}
    for item in snapshot.resource_claims:
        held = dra.claimed_devices(item)
        published.put_claim(f"{namespace(item)}/{name(item)}", held)
        if consumer := _consumer(item):
            claims[consumer] = (*claims.get(consumer, ()), *held)
    return Devices(resources, published, claims)


def _consumer(claim: Unstructured) -> tuple[str, str] | None:
    """Return the pod that a claim is shown with: pods may share a claim, and its devices are counted once."""
    pods = (text(each, "name") for each in sequence(claim, "status", "reservedFor") if text(each, "resource") == "pods")
    first = next(filter(None, pods), None)
    return (namespace(claim), first) if first else None


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
