"""What other replicas told: the hosts in Dask's clusters and worker groups, a moment after those are stored.

Replicas share no memory. But each hint is stored in the object that it was given to, so a watch of these objects tells
every replica of the others' promises, and a replica that was restarted of its own.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from kubernetes.client import ApiClient, CustomObjectsApi

from webhook.capacity.model import Demand, Group
from webhook.dask import GROUP
from webhook.inventory.following import Collection
from webhook.mutation.capacity import told
from webhook.raw import Raw, text

PATIENCE = 0.1  # seconds


class Groups:
    """Hears of clusters and groups. A cluster counts until it has its group, which is scaled without it."""

    def __init__(self, heard: Callable[[Demand], None], ready: Callable[[], bool]) -> None:
        """Tell `heard` of every group that carries hosts, whenever it has changed; not before it is `ready`."""
        self._heard = heard
        self._ready = ready
        self._own: set[Group] = set()

    def put(self, item: Raw) -> None:
        """A cluster or a group is there, or has changed."""
        demand = told(item)
        if demand is None:
            return
        if text(item, "kind") == "DaskWorkerGroup":
            self._own.add(demand.group)
        elif demand.group in self._own:
            return
        self._heard(demand)

    def drop(self, item: Raw) -> None:
        """A cluster or a group is gone; what it was promised ends by itself."""
        demand = told(item)
        if demand and text(item, "kind") == "DaskWorkerGroup":
            self._own.discard(demand.group)

    def begin(self) -> None:
        """A list begins: once nodes and pods are known, without which no promise could be counted."""
        while not self._ready():
            time.sleep(PATIENCE)

    def keep(self, items: Sequence[Raw]) -> None:
        """A page of a list."""
        for item in items:
            self.put(item)

    def listed(self) -> None:
        """The list is complete."""


def collections(client: ApiClient, groups: Groups) -> Iterator[Collection]:
    """What is followed: worker groups first."""
    core = CustomObjectsApi(client)
    for plural in ("daskworkergroups", "daskclusters"):
        call = partial(core.list_cluster_custom_object, GROUP, "v1", plural)
        yield Collection(name=plural, call=call, sink=groups)
