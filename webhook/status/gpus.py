"""GPUs of nodes and pods, counted as capacity hints count them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from webhook.placement import dra, objects
from webhook.placement.model import Node
from webhook.status.snapshot import Snapshot, name, namespace, node_name
from webhook.workloads import accelerators
from webhook.workloads.unstructured import Unstructured, mapping, sequence, text, texts


@dataclass(frozen=True, slots=True)
class PodRequest:
    """GPUs and `nodeSelector` of a pod, each sorted.

    Attributes:
        devices: Resource and number of devices that the pod requests or holds.
        node_selector: Label key and value.
        claimed: Part of `devices` that the pod holds by its own ResourceClaims.
    """

    devices: tuple[tuple[str, int], ...]
    node_selector: tuple[tuple[str, str], ...] = ()
    claimed: tuple[tuple[str, int], ...] = ()

    @property
    def gpus(self) -> int:
        """Return the number of devices of all resources."""
        return sum(count for _, count in self.devices)


@dataclass(frozen=True, slots=True)
class GpuInventory:
    """Extended resources that count as GPUs, and the devices of Dynamic Resource Allocation.

    Attributes:
        resources: GPU resources of the namespaces' policies; CUDA devices count too.
        published: Devices in ResourceSlices and the claims on them.
        claims: Namespace and name of a pod to the devices that its own ResourceClaims hold.
    """

    resources: tuple[str, ...]
    published: dra.Devices = field(default_factory=dra.Devices)
    claims: Mapping[tuple[str, str], tuple[dra.Device, ...]] = field(default_factory=dict)

    def allocatable(self, node: Node) -> dict[str, int]:
        """Return the GPUs of a node: those of the device plugin, else those in ResourceSlices."""
        resources = self.published.resources_of(node.name)
        published = {resource: self.published.total(node.name, resource) for resource in resources}
        return self._gpus(published) | self._gpus(node.extended)

    def allocated(self, node: Node) -> dict[str, int]:
        """Return the GPUs of a node that are allocated to ResourceClaims."""
        resources = (name for name in self.published.resources_of(node.name) if not node.extended.get(name))
        return self._gpus({resource: self.published.claimed(node.name, resource) for resource in resources})

    def request(self, pod: Unstructured) -> PodRequest:
        """Return the GPUs that a pod requests, as kube-scheduler adds them up, and holds by ResourceClaims."""
        spec, node = mapping(pod, "spec"), node_name(pod)
        claims = self.claims.get((namespace(pod), name(pod)), ())
        served = (self.published.served_by(node, device) for device in claims)
        claimed = Counter(resource for resource in served if resource is not None)
        devices = Counter(self._gpus(objects.requests(spec))) + claimed
        selector = texts(spec, "nodeSelector")
        return PodRequest(
            tuple(sorted(devices.items())), tuple(sorted(selector.items())), tuple(sorted(claimed.items()))
        )

    def _gpus(self, amounts: Mapping[str, int]) -> dict[str, int]:
        """Return the GPUs among extended resources."""
        gpus: Counter[str] = Counter()
        for resource, count in amounts.items():
            explicit = self.published.resource_named(resource)
            if any(accelerators.is_cuda_device(explicit, gpu) for gpu in ("", *self.resources)):
                gpus[explicit] += count
        return dict(+gpus)


def inventory(snapshot: Snapshot, resources: tuple[str, ...]) -> GpuInventory:
    """Return the inventory of a snapshot."""
    published = dra.Devices()
    for device_class in filter(None, map(dra.device_class, snapshot.device_classes)):
        published.put_class(device_class)
    for item in snapshot.resource_slices:
        if resource_slice := dra.resource_slice(item):
            published.put_slice(name(item), resource_slice)
    claims: dict[tuple[str, str], tuple[dra.Device, ...]] = {}
    for item in snapshot.resource_claims:
        devices = dra.claimed_devices(item)
        published.put_claim(f"{namespace(item)}/{name(item)}", devices)
        if pod := _consumer(item):
            claims[pod] = (*claims.get(pod, ()), *devices)
    return GpuInventory(resources, published, claims)


def _consumer(claim: Unstructured) -> tuple[str, str] | None:
    """Return the first pod of a claim: pods may share a claim, and its devices count once."""
    consumers = sequence(claim, "status", "reservedFor")
    pods = (text(consumer, "name") for consumer in consumers if text(consumer, "resource") == "pods")
    pod = next(filter(None, pods), None)
    return (namespace(claim), pod) if pod else None
