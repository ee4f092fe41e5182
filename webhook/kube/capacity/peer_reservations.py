"""Reservations of other replicas (peers), and the sizes of worker groups, from stored Dask objects.

Replicas share no memory. Each hint is stored in the object that received it, so watching DaskClusters and
DaskWorkerGroups gives every replica the reservations of its peers, and a restarted replica its own. The size of a
worker group is needed when a pod is created that the group's hint does not cover.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from webhook.kube.informer import Collection, Sink
from webhook.placement.model import Demand, Group
from webhook.placement.stored_groups import StoredGroup, stored_groups
from webhook.workloads.pod_templates import GROUP, Role
from webhook.workloads.unstructured import Unstructured

POLL_SECONDS = 0.1


class HintedNamespaces(Protocol):
    """Namespaces with capacity hints. Hint items in objects of any other namespace are ignored."""

    @property
    def ready(self) -> bool:
        """True if all namespaces are in the cache."""

    def __contains__(self, name: str) -> bool:
        """Return whether a namespace has capacity hints."""


class GroupReceiver(Protocol):
    """Receiver of worker groups and Dask schedulers."""

    def set_size(self, group: Group, size: int) -> None:
        """Set the number of workers that a worker group wants."""

    def reserve_stored(self, demand: Demand) -> None:
        """Reserve the nodes in a group's hint."""

    def delete(self, group: Group) -> None:
        """Remove a group and its reservation."""


class WorkerGroups:
    """Sink for stored DaskWorkerGroups."""

    def __init__(self, receiver: GroupReceiver, ready: Callable[[], bool]) -> None:
        """Pass each added or modified group to `receiver`, once `ready` returns true."""
        self.receiver = receiver
        self._ready = ready
        self._listed: set[Group] = set()
        self.groups: set[Group] = set()

    def put(self, item: Unstructured) -> None:
        """Pass on a group that was added or modified."""
        for group, size, demand in stored_groups(item):
            self.groups.add(group)
            self.receiver.set_size(group, size)
            if demand:
                self.receiver.reserve_stored(demand)

    def delete(self, item: Unstructured) -> None:
        """Remove a group and its reservation."""
        for stored in stored_groups(item):
            self._delete(stored.group)

    def begin_list(self) -> None:
        """Wait until nodes and pods are listed, because reservations depend on them."""
        self.wait_until_ready()
        self._listed = set()

    def wait_until_ready(self) -> None:
        """Wait until reservations can be made."""
        while not self._ready():
            time.sleep(POLL_SECONDS)

    def put_page(self, items: Sequence[Unstructured]) -> None:
        """Pass on the groups of a page."""
        for item in items:
            self._listed |= {stored.group for stored in stored_groups(item)}
            self.put(item)

    def end_list(self) -> None:
        """Remove the groups that the list did not contain."""
        for group in self.groups - self._listed:
            self._delete(group)
        self._listed = set()

    def _delete(self, group: Group) -> None:
        self.groups.discard(group)
        self.receiver.delete(group)


class Clusters:
    """Sink for stored DaskClusters: their Dask schedulers, and their workers until the worker group is stored."""

    def __init__(self, workers: WorkerGroups) -> None:
        """Use the receiver of `workers`, and skip the worker groups that are stored themselves."""
        self._workers = workers

    def put(self, item: Unstructured) -> None:
        """Pass on a cluster that was added or modified."""
        for stored in self._groups(item):
            if stored.demand:
                self._workers.receiver.reserve_stored(stored.demand)

    def delete(self, item: Unstructured) -> None:
        """Remove a cluster's Dask scheduler; its worker groups have their own events."""
        for stored in self._groups(item):
            self._workers.receiver.delete(stored.group)

    def _groups(self, item: Unstructured) -> Iterator[StoredGroup]:
        return (
            stored
            for stored in stored_groups(item)
            if stored.group.role is Role.SCHEDULER or stored.group not in self._workers.groups
        )

    def begin_list(self) -> None:
        """Wait until nodes and pods are listed."""
        self._workers.wait_until_ready()

    def put_page(self, items: Sequence[Unstructured]) -> None:
        """Pass on the clusters of a page."""
        for item in items:
            self.put(item)

    def end_list(self) -> None:
        """Do nothing: reservations of clusters that were deleted meanwhile expire."""


def collections(workers: WorkerGroups) -> Iterator[Collection]:
    """Yield the watched collections, worker groups first."""
    sinks: tuple[tuple[str, Sink], ...] = (("daskworkergroups", workers), ("daskclusters", Clusters(workers)))
    for plural, sink in sinks:
        yield Collection(name=plural, path=f"/apis/{GROUP}/v1/{plural}", sink=sink)
