"""Reservations of other replicas, and the sizes of worker groups, from stored DaskClusters and DaskWorkerGroups.

Replicas share no memory. But each hint is stored in the object that it was given to, so a watch of these objects tells
every replica the others' reservations, and a restarted replica its own. A worker group's size is needed when a pod is
created that its group's hint does not cover.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from webhook.kube.informer import Collection, Sink
from webhook.mutators.capacity import Stored, stored
from webhook.placement.model import Demand, Group
from webhook.workloads.pod_templates import GROUP, Role
from webhook.workloads.unstructured import Unstructured

PATIENCE = 0.1  # seconds


class Hinted(Protocol):
    """Namespaces with capacity hints: in any other namespace an item of ours in an object is no hint."""

    @property
    def ready(self) -> bool:
        """Return whether all of them are known."""

    def __contains__(self, name: str) -> bool:
        """Return whether a namespace is one of them."""


class Groups(Protocol):
    """Receiver of worker groups and Dask schedulers."""

    def sized(self, group: Group, size: int) -> None:
        """Set how many workers a worker group wants."""

    def heard(self, demand: Demand) -> None:
        """Take a group with hosts."""

    def gone(self, group: Group) -> None:
        """Remove a group."""


class WorkerGroups:
    """Sink for stored DaskWorkerGroups."""

    def __init__(self, groups: Groups, ready: Callable[[], bool]) -> None:
        """Pass each group on to `groups`, whenever it has changed; not before `ready` returns true."""
        self.groups = groups
        self._ready = ready
        self._seen: set[Group] = set()
        self.known: set[Group] = set()

    def put(self, item: Unstructured) -> None:
        """Pass on a group that was added or modified."""
        for found in stored(item):
            self.known.add(found.group)
            self.groups.sized(found.group, found.size)
            if found.demand:
                self.groups.heard(found.demand)

    def drop(self, item: Unstructured) -> None:
        """Remove a group and its reservation."""
        for found in stored(item):
            self._end(found.group)

    def begin(self) -> None:
        """Begin a list, once nodes and pods are known: without them no reservation can be counted."""
        self.wait()
        self._seen = set()

    def wait(self) -> None:
        """Wait until reservations can be counted."""
        while not self._ready():
            time.sleep(PATIENCE)

    def keep(self, items: Sequence[Unstructured]) -> None:
        """Take a page of a list."""
        for item in items:
            self._seen |= {found.group for found in stored(item)}
            self.put(item)

    def listed(self) -> None:
        """Remove what a complete list did not hold."""
        for group in self.known - self._seen:
            self._end(group)
        self._seen = set()

    def _end(self, group: Group) -> None:
        self.known.discard(group)
        self.groups.gone(group)


class Clusters:
    """Sink for stored DaskClusters: their Dask schedulers, and their workers until the worker group is stored."""

    def __init__(self, workers: WorkerGroups) -> None:
        """Use the receiver of `workers`, and skip the groups that it knows."""
        self._workers = workers

    def put(self, item: Unstructured) -> None:
        """Pass on a cluster that was added or modified."""
        for found in self._own(item):
            if found.demand:
                self._workers.groups.heard(found.demand)

    def drop(self, item: Unstructured) -> None:
        """Remove a cluster's scheduler; its worker groups are deleted on their own."""
        for found in self._own(item):
            self._workers.groups.gone(found.group)

    def _own(self, item: Unstructured) -> Iterator[Stored]:
        return (
            found
            for found in stored(item)
            if found.group.role is Role.SCHEDULER or found.group not in self._workers.known
        )

    def begin(self) -> None:
        """Begin a list."""
        self._workers.wait()

    def keep(self, items: Sequence[Unstructured]) -> None:
        """Take a page of a list."""
        for item in items:
            self.put(item)

    def listed(self) -> None:
        """End a list."""


def collections(workers: WorkerGroups) -> Iterator[Collection]:
    """Yield what is watched: worker groups first."""
    sinks: tuple[tuple[str, Sink], ...] = (("daskworkergroups", workers), ("daskclusters", Clusters(workers)))
    for plural, sink in sinks:
        yield Collection(name=plural, path=f"/apis/{GROUP}/v1/{plural}", sink=sink)
