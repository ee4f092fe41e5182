"""Reservations from stored clusters and worker groups, and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit import objects
from tests.unit.placement.factories import GPU
from webhook.kube.capacity.peer_reservations import Clusters, WorkerGroups
from webhook.placement.model import Demand, Group, scheduler_of
from webhook.policy.topology_presets import HOSTNAME

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

DEFAULT = Group("rapids", "demo", "demo-default")
SCHEDULER = scheduler_of("rapids", "demo")
MARKED = {"key": "colocate.dask.org/hint", "operator": "DoesNotExist"}


class RecordingReceiver:
    """Receiver that records its calls."""

    def __init__(self) -> None:
        """Start without records."""
        self.demands: list[Demand] = []
        self.deleted: list[Group] = []
        self.sizes: dict[Group, int] = {}
        self.groups = WorkerGroups(self, lambda: True)
        self.clusters = Clusters(self.groups)

    def set_size(self, group: Group, size: int) -> None:
        """Record the size of a worker group."""
        self.sizes[group] = size

    def reserve_stored(self, demand: Demand) -> None:
        """Record a group with hosts."""
        self.demands.append(demand)

    def delete(self, group: Group) -> None:
        """Record the end of a group."""
        self.deleted.append(group)


def hinted(*hosts: str) -> Unstructured:
    """Return a pod spec with a hint for these nodes; without nodes it has no hint."""
    named = {"key": HOSTNAME, "operator": "In", "values": list(hosts)}
    item = {"weight": 30, "preference": {"matchExpressions": [named, MARKED]}}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [item]}} if hosts else {}
    return objects.spec(objects.container(resources={"limits": {GPU: "1"}}), affinity=affinity)


def group(*hosts: str, name: str = "demo-default") -> Any:  # noqa: ANN401 - a raw object
    """Return a worker group of the cluster `demo`."""
    return objects.group(hinted(*hosts), name=name)


def test_cluster_counts_until_its_group_is_stored() -> None:
    """A cluster reserves nodes for its default group only until that group is stored, with or without a hint."""
    receiver = RecordingReceiver()
    receiver.clusters.put(objects.cluster(hinted("a")))
    receiver.groups.put(group())
    receiver.clusters.put(objects.cluster(hinted("a")))
    receiver.groups.put(group("b"))
    assert [(each.group, each.hostnames) for each in receiver.demands] == [(DEFAULT, ("a",)), (DEFAULT, ("b",))]


def test_deleted_objects_end_their_groups() -> None:
    """A deleted group is removed; a deleted cluster removes its scheduler, and workers without a stored group."""
    receiver = RecordingReceiver()
    receiver.clusters.put(objects.cluster(hinted("a")))
    receiver.clusters.delete(objects.cluster(hinted("a")))
    assert set(receiver.deleted) == {DEFAULT, SCHEDULER}
    receiver.deleted.clear()
    receiver.groups.put(group("a"))
    receiver.clusters.delete(objects.cluster(hinted("a")))
    assert receiver.deleted == [SCHEDULER]
    receiver.groups.delete(group())
    assert receiver.deleted == [SCHEDULER, DEFAULT]
    assert not receiver.groups.groups


def test_scheduler_is_passed_on_beside_the_group() -> None:
    """A stored cluster's scheduler is passed on with its node, also after the worker group is stored."""
    receiver = RecordingReceiver()
    receiver.groups.put(group())
    item = objects.cluster()
    item["spec"]["scheduler"]["spec"] = hinted("c")
    receiver.clusters.put(item)
    assert [(each.group, each.hostnames, each.replicas) for each in receiver.demands] == [(SCHEDULER, ("c",), 1)]


def test_size_of_a_group_is_passed_on() -> None:
    """A worker group's size is passed on, with or without a hint."""
    receiver = RecordingReceiver()
    small = group()
    small["spec"]["worker"]["replicas"] = 3
    receiver.groups.put(small)
    assert receiver.sizes == {DEFAULT: 3}


def test_list_removes_missing_groups() -> None:
    """A group that was deleted without an event is removed by the next list."""
    receiver = RecordingReceiver()
    for each in ("demo-default", "demo-more"):
        receiver.groups.put(group("a", name=each))
    receiver.groups.begin_list()
    receiver.groups.put_page([group("a", name="demo-more")])
    receiver.groups.end_list()
    assert receiver.deleted == [DEFAULT]
    assert receiver.groups.groups == {Group("rapids", "demo", "demo-more")}


def test_group_without_workers_wants_none() -> None:
    """A group that is scaled to zero is passed on, so that its reservation is released."""
    receiver = RecordingReceiver()
    empty = group("a")
    empty["spec"]["worker"]["replicas"] = 0
    receiver.groups.put(empty)
    assert [each.replicas for each in receiver.demands] == [0]
