"""GPUs of nodes with Dynamic Resource Allocation: devices in ResourceSlices, less those that ResourceClaims hold.

A DeviceClass with `extendedResourceName` serves an extended resource such as `nvidia.com/gpu` from its devices, on
every node whose `status.allocatable` has none of it. kube-scheduler then writes a ResourceClaim for the pod by itself.
Such a claim is not counted here, because the pod's own request is: so a pod's GPU is counted once, and at the moment
in which the pod is bound, as on a node with a device plugin. All other claims count by the devices that they hold.

Supported: `resource.k8s.io/v1` (Kubernetes 1.34 and later), devices of one node (`spec.nodeName`), and the selectors of
`selectors`. Not read: DeviceTaintRules, and counters that partitions of one device share.

Source: Kubernetes API reference, `ResourceSlice`, `ResourceClaim` and `DeviceClass` resource.k8s.io/v1; kube-scheduler
1.37 `plugins/dynamicresources/extendeddynamicresources.go`; k8s.io/api 0.37 `resource/v1/types.go`.
"""

import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import orjson

from webhook.placement.objects import DEVICE_CLASS
from webhook.placement.selectors import Comparison, comparisons, matches
from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    text,
)

# Marks the claim that kube-scheduler writes for a pod's extended resources.
_OF_EXTENDED_RESOURCE = "resource.kubernetes.io/extended-resource-claim"
_KEEPING_AWAY = frozenset({"NoSchedule", "NoExecute"})


Key = TypeVar("Key")


class DevicePool(NamedTuple):
    """A pool of devices: the driver, and the pool's name, which is unique for the driver."""

    driver: str
    name: str


class Device(NamedTuple):
    """A device that a claim holds."""

    pool: DevicePool
    name: str


class DeviceClass(NamedTuple):
    """A DeviceClass that serves an extended resource.

    Attributes:
        name: Its name.
        resource: The extended resource.
        created: `creationTimestamp`.
        selector: What a device must be like; None where the class uses an unsupported selector.
    """

    name: str
    resource: str
    created: str
    selector: tuple[Comparison, ...] | None


@dataclass(frozen=True, slots=True)
class Slice:
    """A ResourceSlice with devices of one node.

    Attributes:
        node: Its node.
        pool: The pool that it is a part of.
        generation: Of the pool: devices of an earlier one are gone.
        content: The raw devices, compressed: 1 KiB for 8 GPUs, against 10 KiB of JSON. Read once more when a
            DeviceClass changes.
    """

    node: str
    pool: DevicePool
    generation: int
    content: bytes


def device_class(item: Unstructured) -> DeviceClass | None:
    """Return a raw DeviceClass; None where it serves no extended resource."""
    resource = text(item, "spec", "extendedResourceName")
    if resource is None:
        return None
    name, created = text(item, "metadata", "name") or "", text(item, "metadata", "creationTimestamp") or ""
    return DeviceClass(name, resource, created, comparisons(sequence(item, "spec", "selectors")))


def resource_slice(item: Unstructured) -> Slice | None:
    """Return a raw ResourceSlice; None where its devices are not of one node."""
    spec = mapping(item, "spec")
    node, generation = text(spec, "nodeName"), mapping(spec, "pool").get("generation")
    if node is None:
        return None
    pool = DevicePool(text(spec, "driver") or "", text(spec, "pool", "name") or "")
    usable = [device for device in sequence(spec, "devices") if not _tainted(device)]
    content = zlib.compress(orjson.dumps(usable))
    return Slice(node, pool, generation if isinstance(generation, int) else 0, content)


def claimed_devices(item: Unstructured) -> tuple[Device, ...]:
    """Return the devices that a raw ResourceClaim holds; none where a pod's own request counts for them."""
    if text(item, "metadata", "annotations", _OF_EXTENDED_RESOURCE) == "true":
        return ()
    results = sequence(item, "status", "allocation", "devices", "results")
    return tuple(
        Device(DevicePool(text(each, "driver") or "", text(each, "pool") or ""), text(each, "device") or "")
        for each in results
        if mapping(each).get("adminAccess") is not True  # which looks at a device and leaves it free
    )


def _tainted(device: Unstructured) -> bool:
    return any(text(taint, "effect") in _KEEPING_AWAY for taint in sequence(device, "taints"))


class Devices:
    """All devices of nodes and the claims on them. Not thread-safe."""

    def __init__(self, changed: Callable[[str], None] = lambda _node: None) -> None:
        """Start empty; call `changed` with each node whose devices change."""
        self._changed = changed
        self._classes: dict[str, DeviceClass] = {}
        self._serving: dict[str, DeviceClass] = {}
        self._slices: dict[str, Slice] = {}
        self._serves: dict[str, Mapping[str, frozenset[str]]] = {}  # slice to extended resource to names of devices
        self._on_node: defaultdict[str, set[str]] = defaultdict(set)
        self._in_pool: defaultdict[DevicePool, set[str]] = defaultdict(set)
        self._claims: dict[str, tuple[Device, ...]] = {}
        self._held: defaultdict[DevicePool, Counter[str]] = defaultdict(Counter)

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
        """The devices of every claim that holds any, by uid."""
        return self._claims

    def implicit_name(self, resource: str) -> str:
        """Return the other name by which pods request devices of the class that serves a resource."""
        serving = self._serving.get(resource)
        return f"{DEVICE_CLASS}{serving.name}" if serving else ""

    def resource_named(self, name: str) -> str:
        """Return the extended resource that a name in a pod's requests stands for; any but an implicit name is one."""
        found = self._classes.get(name.removeprefix(DEVICE_CLASS)) if name.startswith(DEVICE_CLASS) else None
        return found.resource if found else name

    def total(self, node: str, resource: str) -> int:
        """Return how many devices of a node serve a resource."""
        return sum(len(self._serves[name].get(resource, ())) for name in self._current(node))

    def held(self, node: str, resource: str) -> int:
        """Return how many of these devices are held by claims."""
        return sum(
            device in held
            for name in self._current(node)
            if (held := self._held.get(self._slices[name].pool))
            for device in self._serves[name].get(resource, ())
        )

    def served_by(self, node: str, device: Device) -> str | None:
        """Return the extended resource that a device of a node serves; None where it serves none."""
        serves = (self._serves[name] for name in self._current(node) if self._slices[name].pool == device.pool)
        return next((resource for each in serves for resource, found in each.items() if device.name in found), None)

    def resources_of(self, node: str) -> set[str]:
        """Return the extended resources that devices of a node serve."""
        return {resource for name in self._current(node) for resource, found in self._serves[name].items() if found}

    def _current(self, node: str) -> list[str]:
        """Return the slices of a node without those of an outdated generation of their pool."""
        return [name for name in self._on_node.get(node, ()) if self._is_current(self._slices[name])]

    def _is_current(self, found: Slice) -> bool:
        return found.generation == max(self._slices[name].generation for name in self._in_pool[found.pool])

    # ---- changes ----------------------------------------------------------------------------------

    def put_class(self, found: DeviceClass) -> None:
        """Add or replace a class."""
        if self._classes.get(found.name) != found:
            self._classes[found.name] = found
            self._classified()

    def drop_class(self, name: str) -> None:
        """Remove a class."""
        if self._classes.pop(name, None):
            self._classified()

    def _classified(self) -> None:
        """Choose the class of each resource as kube-scheduler does: the latest, then the first by name."""
        ordered = sorted(self._classes.values(), key=lambda each: each.name, reverse=True)
        self._serving = {each.resource: each for each in sorted(ordered, key=lambda each: each.created)}
        self._serves = {name: self._matched(each) for name, each in self._slices.items()}
        for node in tuple(self._on_node):
            self._changed(node)

    def put_slice(self, name: str, found: Slice) -> None:
        """Add or replace a slice."""
        if self._slices.get(name) == found:
            return
        self.drop_slice(name)
        self._slices[name], self._serves[name] = found, self._matched(found)
        self._on_node[found.node].add(name)
        self._in_pool[found.pool].add(name)
        self._changed(found.node)

    def drop_slice(self, name: str) -> None:
        """Remove a slice."""
        before = self._slices.pop(name, None)
        if before is None:
            return
        del self._serves[name]
        _discard(self._on_node, before.node, name)
        _discard(self._in_pool, before.pool, name)
        self._changed(before.node)

    def put_claim(self, uid: str, devices: tuple[Device, ...]) -> None:
        """Add or replace a claim; one that holds no devices is not kept."""
        if self._claims.get(uid, ()) == devices:
            return
        self.drop_claim(uid)
        if devices:
            self._claims[uid] = devices
            self._hold(devices, 1)

    def drop_claim(self, uid: str) -> None:
        """Remove a claim: its devices are free."""
        self._hold(self._claims.pop(uid, ()), -1)

    def _hold(self, devices: tuple[Device, ...], sign: int) -> None:
        for pool, name in devices:
            held = self._held[pool]
            held[name] += sign
            if not held[name]:
                del held[name]
            if not held:
                del self._held[pool]
        for pool in {device.pool for device in devices}:
            for node in {self._slices[name].node for name in self._in_pool.get(pool, ())}:
                self._changed(node)

    def _matched(self, found: Slice) -> Mapping[str, frozenset[str]]:
        devices, driver = orjson.loads(zlib.decompress(found.content)), found.pool.driver
        return {
            resource: frozenset(text(each, "name") or "" for each in devices if matches(serving.selector, each, driver))
            for resource, serving in self._serving.items()
            if serving.selector is not None
        }


def _discard(sets: defaultdict[Key, set[str]], key: Key, name: str) -> None:
    sets[key].discard(name)
    if not sets[key]:
        del sets[key]
