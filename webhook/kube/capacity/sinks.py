"""Sinks that bring watched objects into the node index, each change under the lock."""

import logging
import threading
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from webhook.placement import dra, objects
from webhook.placement.node_index import NodeIndex
from webhook.workloads.unstructured import Unstructured, text

_log = logging.getLogger(__name__)


def _nothing() -> None:
    """Do nothing."""


@dataclass(slots=True, kw_only=True)
class Into:
    """Sink for objects of one kind.

    Attributes:
        lock: Held for each change.
        key: Returns the key of an object.
        put_one: Adds or replaces an object; takes the lock by itself, after parsing.
        drop_one: Removes an object by its key.
        known: Returns the keys of all objects.
        then: Called after each complete list.
    """

    lock: threading.Lock
    key: Callable[[Unstructured], str]
    put_one: Callable[[Unstructured], None]
    drop_one: Callable[[str], None]
    known: Callable[[], AbstractSet[str]]
    then: Callable[[], None] = _nothing
    _seen: set[str] = field(default_factory=set)

    def put(self, item: Unstructured) -> None:
        """Add or replace an object."""
        self.put_one(item)

    def drop(self, item: Unstructured) -> None:
        """Remove an object."""
        with self.lock:
            self.drop_one(self.key(item))

    def begin(self) -> None:
        """Begin a list."""
        self._seen = set()

    def keep(self, items: Sequence[Unstructured]) -> None:
        """Take a page of a list."""
        for item in items:
            self._seen.add(self.key(item))
            self.put_one(item)

    def listed(self) -> None:
        """Remove what a complete list did not hold."""
        with self.lock:
            for key in self.known() - self._seen:
                self.drop_one(key)
        self._seen = set()
        self.then()


def nodes(index: NodeIndex, lock: threading.Lock) -> Into:
    """Return the sink for Nodes."""

    def put(item: Unstructured) -> None:
        node = objects.node(item)
        with lock:
            index.put_node(node)

    return Into(lock=lock, key=_name, put_one=put, drop_one=index.drop_node, known=index.nodes.keys)


def pods(index: NodeIndex, lock: threading.Lock) -> Into:
    """Return the sink for Pods."""

    def put(item: Unstructured) -> None:
        held = objects.held(item)
        with lock:
            if held:
                index.put_pod(_uid(item), held)
            else:
                index.drop_pod(_uid(item))

    return Into(lock=lock, key=_uid, put_one=put, drop_one=index.drop_pod, known=index.pods.keys)


def device_classes(devices: dra.Devices, lock: threading.Lock, then: Callable[[], None]) -> Into:
    """Return the sink for DeviceClasses; call `then` after each complete list."""

    def put(item: Unstructured) -> None:
        found = dra.device_class(item)
        if found and found.selector is None:
            _log.warning("device class %s: its selectors are not supported, its devices are not counted", found.name)
        with lock:
            if found:
                devices.put_class(found)
            else:
                devices.drop_class(_name(item))

    return Into(lock=lock, key=_name, put_one=put, drop_one=devices.drop_class, known=devices.classes.keys, then=then)


def slices(devices: dra.Devices, lock: threading.Lock) -> Into:
    """Return the sink for ResourceSlices."""

    def put(item: Unstructured) -> None:
        found = dra.resource_slice(item)
        with lock:
            if found:
                devices.put_slice(_name(item), found)

    return Into(lock=lock, key=_name, put_one=put, drop_one=devices.drop_slice, known=devices.slices.keys)


def claims(devices: dra.Devices, lock: threading.Lock) -> Into:
    """Return the sink for ResourceClaims."""

    def put(item: Unstructured) -> None:
        found = dra.claimed_devices(item)
        with lock:
            devices.put_claim(_uid(item), found)

    return Into(lock=lock, key=_uid, put_one=put, drop_one=devices.drop_claim, known=devices.claims.keys)


def _name(item: Unstructured) -> str:
    return text(item, "metadata", "name") or ""


def _uid(item: Unstructured) -> str:
    return text(item, "metadata", "uid") or ""
