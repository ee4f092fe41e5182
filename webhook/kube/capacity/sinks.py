"""Informer sinks that update the node index under its lock."""

import logging
import threading
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from webhook.placement import dra, objects
from webhook.placement.node_index import NodeIndex
from webhook.workloads.unstructured import Unstructured, text

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class IndexSink:
    """Sink for objects of one kind.

    Attributes:
        lock: Lock of the node index.
        key: Returns the key of an object.
        put: Adds or updates an object; acquires the lock itself, after parsing.
        delete_key: Removes an object by its key.
        keys: Returns the keys of all objects.
        on_listed: Called after each complete list.
    """

    lock: threading.Lock
    key: Callable[[Unstructured], str]
    put: Callable[[Unstructured], None]
    delete_key: Callable[[str], None]
    keys: Callable[[], AbstractSet[str]]
    on_listed: Callable[[], None] = lambda: None
    _listed: set[str] = field(default_factory=set)

    def delete(self, item: Unstructured) -> None:
        """Remove an object."""
        with self.lock:
            self.delete_key(self.key(item))

    def begin_list(self) -> None:
        """Begin a list."""
        self._listed = set()

    def put_page(self, items: Sequence[Unstructured]) -> None:
        """Add or update the objects of a page."""
        for item in items:
            self._listed.add(self.key(item))
            self.put(item)

    def end_list(self) -> None:
        """Remove the objects that the list did not contain."""
        with self.lock:
            for key in self.keys() - self._listed:
                self.delete_key(key)
        self._listed = set()
        self.on_listed()


def nodes(index: NodeIndex, lock: threading.Lock) -> IndexSink:
    """Return the sink for Nodes."""

    def put(item: Unstructured) -> None:
        node = objects.node(item)
        with lock:
            index.put_node(node)

    return IndexSink(lock=lock, key=_name, put=put, delete_key=index.delete_node, keys=index.nodes.keys)


def pods(index: NodeIndex, lock: threading.Lock) -> IndexSink:
    """Return the sink for Pods."""

    def put(item: Unstructured) -> None:
        usage = objects.pod_usage(item)
        with lock:
            if usage:
                index.put_pod(_uid(item), usage)
            else:
                index.delete_pod(_uid(item))

    return IndexSink(lock=lock, key=_uid, put=put, delete_key=index.delete_pod, keys=index.pods.keys)


def device_classes(devices: dra.Devices, lock: threading.Lock, on_listed: Callable[[], None]) -> IndexSink:
    """Return the sink for DeviceClasses; call `on_listed` after each complete list."""

    def put(item: Unstructured) -> None:
        device_class = dra.device_class(item)
        if device_class and device_class.selector is None:
            _log.warning("DeviceClass %s has unsupported selectors: its devices are not counted", device_class.name)
        with lock:
            if device_class:
                devices.put_class(device_class)
            else:
                devices.delete_class(_name(item))

    delete, keys = devices.delete_class, devices.classes.keys
    return IndexSink(lock=lock, key=_name, put=put, delete_key=delete, keys=keys, on_listed=on_listed)


def slices(devices: dra.Devices, lock: threading.Lock) -> IndexSink:
    """Return the sink for ResourceSlices."""

    def put(item: Unstructured) -> None:
        resource_slice = dra.resource_slice(item)
        with lock:
            if resource_slice:
                devices.put_slice(_name(item), resource_slice)

    return IndexSink(lock=lock, key=_name, put=put, delete_key=devices.delete_slice, keys=devices.slices.keys)


def claims(devices: dra.Devices, lock: threading.Lock) -> IndexSink:
    """Return the sink for ResourceClaims."""

    def put(item: Unstructured) -> None:
        claimed = dra.claimed_devices(item)
        with lock:
            devices.put_claim(_uid(item), claimed)

    return IndexSink(lock=lock, key=_uid, put=put, delete_key=devices.delete_claim, keys=devices.claims.keys)


def _name(item: Unstructured) -> str:
    return text(item, "metadata", "name") or ""


def _uid(item: Unstructured) -> str:
    return text(item, "metadata", "uid") or ""
