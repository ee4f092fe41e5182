"""Capacity from manifests: no Kubernetes anywhere. For `review` and tests."""

from collections.abc import Callable, Iterable, Mapping

from webhook.mutators.capacity import stored
from webhook.placement import dra, objects
from webhook.placement.allocator import Allocator
from webhook.placement.model import Hints, NoHint, Questions
from webhook.workloads.unstructured import Unstructured, text


class Static:
    """Nodes, Pods, DaskWorkerGroups and devices as `kubectl get` printed them; reservations never expire."""

    def __init__(self, manifests: Iterable[Unstructured], problem: NoHint | None = None) -> None:
        """Take what counts among `manifests`; with a `problem`, answer every question with it."""
        self._problem = problem
        self._stock = Allocator(patience=float("inf"))
        take: Mapping[str, Callable[[Unstructured], None]] = {
            "Node": lambda item: self._stock.index.put_node(objects.node(item)),
            "Pod": self._pod,
            "DeviceClass": self._device_class,
            "ResourceSlice": self._slice,
            "ResourceClaim": lambda item: self._devices.put_claim(_key(item), dra.claimed_devices(item)),
            "DaskWorkerGroup": self._worker_group,
        }
        order = tuple(take)
        found = [(kind, item) for item in manifests if (kind := text(item, "kind") or "") in take]
        for kind, item in sorted(found, key=lambda each: order.index(each[0])):  # groups need all the rest
            take[kind](item)

    def hints(self, questions: Questions) -> Hints:
        """Return the hosts to prefer; see `Capacity`."""
        return questions.without(self._problem) if self._problem else self._stock.hints(questions, 0)

    @property
    def _devices(self) -> dra.Devices:
        return self._stock.index.devices

    def _pod(self, item: Unstructured) -> None:
        if held := objects.held(item):
            self._stock.index.put_pod(_key(item), held)

    def _device_class(self, item: Unstructured) -> None:
        if found := dra.device_class(item):
            self._devices.put_class(found)

    def _slice(self, item: Unstructured) -> None:
        if found := dra.resource_slice(item):
            self._devices.put_slice(_key(item), found)

    def _worker_group(self, item: Unstructured) -> None:
        for found in stored(item):
            self._stock.sized(found.group, found.size)
            if found.demand:
                self._stock.heard(found.demand, 0)


def _key(item: Unstructured) -> str:
    return f"{text(item, 'metadata', 'namespace')}/{text(item, 'metadata', 'name')}"
