"""Capacity from manifests, without an API server. For `review` and tests."""

from collections.abc import Callable, Iterable, Mapping

from webhook.placement import dra, objects
from webhook.placement.allocator import Allocator
from webhook.placement.model import Hints, NoHint, Questions
from webhook.placement.stored_groups import stored_groups
from webhook.workloads.unstructured import Unstructured, text


class StaticCapacity:
    """Nodes, Pods, DaskWorkerGroups and devices as `kubectl get` prints them; reservations never expire."""

    def __init__(self, manifests: Iterable[Unstructured], problem: NoHint | None = None) -> None:
        """Add the supported kinds among `manifests`; with a `problem`, return it for every question."""
        self._problem = problem
        self._allocator = Allocator(lifetime=float("inf"))
        self._devices = self._allocator.index.devices
        add: Mapping[str, Callable[[Unstructured], None]] = {
            "Node": lambda item: self._allocator.index.put_node(objects.node(item)),
            "Pod": self._add_pod,
            "DeviceClass": self._add_device_class,
            "ResourceSlice": self._add_slice,
            "ResourceClaim": lambda item: self._devices.put_claim(_key(item), dra.claimed_devices(item)),
            "DaskWorkerGroup": self._add_worker_group,  # last: reservations depend on all other kinds
        }
        by_kind = [(text(item, "kind") or "", item) for item in manifests]
        for kind in add:
            for item in (item for item_kind, item in by_kind if item_kind == kind):
                add[kind](item)

    def hints(self, questions: Questions) -> Hints:
        """Return the nodes to prefer; see `Capacity`."""
        return questions.without(self._problem) if self._problem else self._allocator.hints(questions, 0)

    def _add_pod(self, item: Unstructured) -> None:
        if usage := objects.pod_usage(item):
            self._allocator.index.put_pod(_key(item), usage)

    def _add_device_class(self, item: Unstructured) -> None:
        if device_class := dra.device_class(item):
            self._devices.put_class(device_class)

    def _add_slice(self, item: Unstructured) -> None:
        if resource_slice := dra.resource_slice(item):
            self._devices.put_slice(_key(item), resource_slice)

    def _add_worker_group(self, item: Unstructured) -> None:
        for group, size, demand in stored_groups(item):
            self._allocator.set_size(group, size)
            if demand:
                self._allocator.reserve_stored(demand, 0)


def _key(item: Unstructured) -> str:
    return f"{text(item, 'metadata', 'namespace')}/{text(item, 'metadata', 'name')}"
