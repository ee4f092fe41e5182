"""GPUs of nodes with Dynamic Resource Allocation (DRA): devices in ResourceSlices minus allocated devices.

A DeviceClass with `extendedResourceName` serves an extended resource such as `nvidia.com/gpu` from its devices, on
every node whose `status.allocatable` has none of it. kube-scheduler then creates a ResourceClaim for the pod. That
claim is not counted, because the pod's own request is: each GPU counts once, from the moment its pod is bound, as on a
node with a device plugin. All other claims count by the devices allocated to them.

Supported: `resource.k8s.io/v1` (Kubernetes 1.34 and later), devices of one node (`spec.nodeName`), and the selectors in
`selectors`. Not supported: DeviceTaintRules, and counters that partitions of one device share.

Source: Kubernetes API reference, `ResourceSlice`, `ResourceClaim` and `DeviceClass` resource.k8s.io/v1; kube-scheduler
1.37 `plugins/dynamicresources/extendeddynamicresources.go`; k8s.io/api 0.37 `resource/v1/types.go`.
"""

import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import orjson

from webhook.placement.constraints import EXCLUDING_EFFECTS
from webhook.placement.objects import DEVICE_CLASS
from webhook.placement.selectors import Comparison, comparisons, matches
from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    text,
)

# Annotation of the claim that kube-scheduler creates for a pod's extended resources.
_EXTENDED_RESOURCE_CLAIM = "resource.kubernetes.io/extended-resource-claim"

Key = TypeVar("Key")


class DevicePool(NamedTuple):
    """A pool of devices, identified by the driver and a name that is unique within the driver."""

    driver: str
    name: str


class Device(NamedTuple):
    """A device that is allocated to a claim."""

    pool: DevicePool
    name: str


class DeviceClass(NamedTuple):
    """A DeviceClass that serves an extended resource.

    Attributes:
        name: Name of the class.
        resource: The extended resource.
        created: `creationTimestamp`.
        selector: Comparisons that a device must match; None if the class uses an unsupported selector.
    """

    name: str
    resource: str
    created: str
    selector: tuple[Comparison, ...] | None


@dataclass(frozen=True, slots=True)
class Slice:
    """A ResourceSlice with devices of one node.

    Attributes:
        node: Name of the node.
        pool: Pool to which the devices belong.
        generation: Generation of the pool; devices of an earlier generation no longer exist.
        content: The raw devices, compressed: 1 KiB for 8 GPUs instead of 10 KiB of JSON. Decompressed again when a
            DeviceClass changes.
    """

    node: str
    pool: DevicePool
    generation: int
    content: bytes


def device_class(item: Unstructured) -> DeviceClass | None:
    """Parse a raw DeviceClass; return None if it serves no extended resource."""
    resource = text(item, "spec", "extendedResourceName")
    if resource is None:
        return None
    name, created = text(item, "metadata", "name") or "", text(item, "metadata", "creationTimestamp") or ""
    return DeviceClass(name, resource, created, comparisons(sequence(item, "spec", "selectors")))


def resource_slice(item: Unstructured) -> Slice | None:
    """Parse a raw ResourceSlice; return None if it does not belong to one node."""
    spec = mapping(item, "spec")
    node, generation = text(spec, "nodeName"), mapping(spec, "pool").get("generation")
    if node is None:
        return None
    pool = DevicePool(text(spec, "driver") or "", text(spec, "pool", "name") or "")
    usable = [device for device in sequence(spec, "devices") if not _tainted(device)]
    content = zlib.compress(orjson.dumps(usable))
    return Slice(node, pool, generation if isinstance(generation, int) else 0, content)


def claimed_devices(item: Unstructured) -> tuple[Device, ...]:
    """Return the devices allocated to a raw ResourceClaim; none if a pod's own request counts for them."""
    if text(item, "metadata", "annotations", _EXTENDED_RESOURCE_CLAIM) == "true":
        return ()
    results = sequence(item, "status", "allocation", "devices", "results")
    return tuple(
        Device(DevicePool(text(result, "driver") or "", text(result, "pool") or ""), text(result, "device") or "")
        for result in results
        if mapping(result).get("adminAccess") is not True  # the device stays free
    )


def _tainted(device: Unstructured) -> bool:
    return any(text(taint, "effect") in EXCLUDING_EFFECTS for taint in sequence(device, "taints"))


class Devices:
    """Index of all devices of nodes and the claims on them. Not thread-safe."""

    def __init__(self, changed: Callable[[str], None] = lambda _node: None) -> None:
        """Start empty; call `changed` with each node whose devices change."""
        self._changed = changed
        self._classes: dict[str, DeviceClass] = {}
        self._class_by_resource: dict[str, DeviceClass] = {}
        self._slices: dict[str, Slice] = {}
        self._devices: dict[str, Mapping[str, frozenset[str]]] = {}  # by slice, then by extended resource
        self._slices_by_node: defaultdict[str, set[str]] = defaultdict(set)
        self._slices_by_pool: defaultdict[DevicePool, set[str]] = defaultdict(set)
        self._claims: dict[str, tuple[Device, ...]] = {}
        self._claimed: defaultdict[DevicePool, Counter[str]] = defaultdict(Counter)

    @property
    def classes(self) -> Mapping[str, DeviceClass]:
        """Every class that serves an extended resource, by name."""
        return self._classes

    @property
    def slices(self) -> Mapping[str, Slice]:
        """Every slice with devices of one node, by name."""
        return self._slices

    @property
    def claims(self) -> Mapping[str, tuple[Device, ...]]:
        """Allocated devices of every claim that has any, by uid."""
        return self._claims

    def implicit_name(self, resource: str) -> str:
        """Return the implicit extended resource of the class that serves a resource; "" without such a class."""
        device_class = self._class_by_resource.get(resource)
        return f"{DEVICE_CLASS}{device_class.name}" if device_class else ""

    def resource_named(self, name: str) -> str:
        """Return the explicit extended resource for an implicit one; return any other name unchanged."""
        device_class = self._classes.get(name.removeprefix(DEVICE_CLASS)) if name.startswith(DEVICE_CLASS) else None
        return device_class.resource if device_class else name

    def total(self, node: str, resource: str) -> int:
        """Return the number of devices of a node that serve a resource."""
        return sum(len(self._devices[name].get(resource, ())) for name in self._current(node))

    def claimed(self, node: str, resource: str) -> int:
        """Return the number of devices of a node that serve a resource and are allocated to claims."""
        return sum(
            device in claimed
            for name in self._current(node)
            if (claimed := self._claimed.get(self._slices[name].pool))
            for device in self._devices[name].get(resource, ())
        )

    def served_by(self, node: str, device: Device) -> str | None:
        """Return the extended resource that a device of a node serves; None if it serves none."""
        slices = (self._devices[name] for name in self._current(node) if self._slices[name].pool == device.pool)
        return next((resource for names in slices for resource in names if device.name in names[resource]), None)

    def resources_of(self, node: str) -> set[str]:
        """Return the extended resources that devices of a node serve."""
        return {resource for name in self._current(node) for resource, names in self._devices[name].items() if names}

    def _current(self, node: str) -> list[str]:
        """Return the slices of a node that belong to the latest generation of their pool."""
        return [name for name in self._slices_by_node.get(node, ()) if self._is_current(self._slices[name])]

    def _is_current(self, part: Slice) -> bool:
        return part.generation == max(self._slices[name].generation for name in self._slices_by_pool[part.pool])

    # ---- changes ----------------------------------------------------------------------------------

    def put_class(self, device_class: DeviceClass) -> None:
        """Add or update a class."""
        if self._classes.get(device_class.name) != device_class:
            self._classes[device_class.name] = device_class
            self._match_classes()

    def delete_class(self, name: str) -> None:
        """Remove a class."""
        if self._classes.pop(name, None):
            self._match_classes()

    def _match_classes(self) -> None:
        """Choose the class of each resource like kube-scheduler: the latest, then the first by name."""
        by_name = sorted(self._classes.values(), key=lambda device_class: device_class.name, reverse=True)
        by_age = sorted(by_name, key=lambda device_class: device_class.created)
        self._class_by_resource = {device_class.resource: device_class for device_class in by_age}
        self._devices = {name: self._matching_devices(part) for name, part in self._slices.items()}
        for node in tuple(self._slices_by_node):
            self._changed(node)

    def put_slice(self, name: str, part: Slice) -> None:
        """Add or update a slice."""
        if self._slices.get(name) == part:
            return
        self.delete_slice(name)
        self._slices[name], self._devices[name] = part, self._matching_devices(part)
        self._slices_by_node[part.node].add(name)
        self._slices_by_pool[part.pool].add(name)
        self._changed(part.node)

    def delete_slice(self, name: str) -> None:
        """Remove a slice."""
        part = self._slices.pop(name, None)
        if part is None:
            return
        del self._devices[name]
        _discard(self._slices_by_node, part.node, name)
        _discard(self._slices_by_pool, part.pool, name)
        self._changed(part.node)

    def put_claim(self, uid: str, devices: tuple[Device, ...]) -> None:
        """Add or update a claim; a claim without allocated devices is removed."""
        if self._claims.get(uid, ()) == devices:
            return
        self.delete_claim(uid)
        if devices:
            self._claims[uid] = devices
            self._count(devices, 1)

    def delete_claim(self, uid: str) -> None:
        """Remove a claim and free its devices."""
        self._count(self._claims.pop(uid, ()), -1)

    def _count(self, devices: tuple[Device, ...], sign: int) -> None:
        for pool, name in devices:
            claimed = self._claimed[pool]
            claimed[name] += sign
            if not claimed[name]:
                del claimed[name]
            if not claimed:
                del self._claimed[pool]
        for pool in {device.pool for device in devices}:
            for node in {self._slices[name].node for name in self._slices_by_pool.get(pool, ())}:
                self._changed(node)

    def _matching_devices(self, part: Slice) -> Mapping[str, frozenset[str]]:
        """Return the names of a slice's devices by the extended resource that they serve."""
        devices, driver = orjson.loads(zlib.decompress(part.content)), part.pool.driver
        return {
            resource: frozenset(
                text(device, "name") or "" for device in devices if matches(device_class.selector, device, driver)
            )
            for resource, device_class in self._class_by_resource.items()
            if device_class.selector is not None
        }


def _discard(sets: defaultdict[Key, set[str]], key: Key, name: str) -> None:
    sets[key].discard(name)
    if not sets[key]:
        del sets[key]
