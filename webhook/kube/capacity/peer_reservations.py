"""What other replicas told: the hosts in Dask's clusters and worker groups, a moment after those are stored.

Replicas share no memory. But each hint is stored in the object that it was given to, so a watch of these objects tells
every replica of the others' promises, and a replica that was restarted of its own.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from webhook.kube.informer import Collection, Sink
from webhook.mutators.capacity import group_of, told
from webhook.placement.model import Demand, Group
from webhook.workloads.pod_templates import GROUP
from webhook.workloads.unstructured import Unstructured

PATIENCE = 0.1  # seconds


class Hinted(Protocol):
    """The namespaces that ask for capacity hints: what stands in objects of others was told by nobody."""

    @property
    def ready(self) -> bool:
        """Whether it is known which they are."""

    def __contains__(self, name: str) -> bool:
        """Whether a namespace is one of them."""


class Groups:
    """Hears of worker groups."""

    def __init__(
        self, heard: Callable[[Demand], None], gone: Callable[[Group], None], ready: Callable[[], bool]
    ) -> None:
        """Tell `heard` of every group that carries hosts, whenever it has changed; not before it is `ready`.

        And tell `gone` of every group that is deleted.
        """
        self.heard = heard
        self.gone = gone
        self._ready = ready
        self._seen: set[Group] = set()
        self.known: set[Group] = set()

    def put(self, item: Unstructured) -> None:
        """A group is there, or has changed."""
        if group := group_of(item):
            self.known.add(group)
        if demand := told(item):
            self.heard(demand)

    def drop(self, item: Unstructured) -> None:
        """A group is gone, and what it was promised."""
        if group := group_of(item):
            self._end(group)

    def begin(self) -> None:
        """A list begins: once nodes and pods are known, without which no promise could be counted."""
        self.wait()
        self._seen = set()

    def wait(self) -> None:
        """Until what is heard can be counted."""
        while not self._ready():
            time.sleep(PATIENCE)

    def keep(self, items: Sequence[Unstructured]) -> None:
        """A page of a list."""
        for item in items:
            self._seen |= {group for group in (group_of(item),) if group}
            self.put(item)

    def listed(self) -> None:
        """The list is complete: what it did not hold is gone."""
        for group in self.known - self._seen:
            self._end(group)
        self._seen = set()

    def _end(self, group: Group) -> None:
        self.known.discard(group)
        self.gone(group)


class Clusters:
    """Hears of clusters: one counts until it has its group, which is scaled without it."""

    def __init__(self, groups: Groups) -> None:
        """Beside these groups."""
        self._groups = groups

    def put(self, item: Unstructured) -> None:
        """A cluster is there, or has changed."""
        demand = told(item)
        if demand and demand.group not in self._groups.known:
            self._groups.heard(demand)

    def drop(self, item: Unstructured) -> None:
        """A cluster is gone; its groups follow by themselves."""
        group = group_of(item)
        if group and group not in self._groups.known:
            self._groups.gone(group)

    def begin(self) -> None:
        """A list begins."""
        self._groups.wait()

    def keep(self, items: Sequence[Unstructured]) -> None:
        """A page of a list."""
        for item in items:
            self.put(item)

    def listed(self) -> None:
        """The list is complete."""


def collections(groups: Groups) -> Iterator[Collection]:
    """What is followed: worker groups first."""
    sinks: tuple[tuple[str, Sink], ...] = (("daskworkergroups", groups), ("daskclusters", Clusters(groups)))
    for plural, sink in sinks:
        yield Collection(name=plural, path=f"/apis/{GROUP}/v1/{plural}", sink=sink)
