"""What stored clusters and worker groups tell: each once, and their end."""

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


class Told:
    """Receiver that records what it gets."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.demands: list[Demand] = []
        self.ended: list[Group] = []
        self.sizes: dict[Group, int] = {}
        self.groups = WorkerGroups(self, lambda: True)
        self.clusters = Clusters(self.groups)

    def sized(self, group: Group, size: int) -> None:
        """Record the size of a worker group."""
        self.sizes[group] = size

    def heard(self, demand: Demand) -> None:
        """Record a group with hosts."""
        self.demands.append(demand)

    def gone(self, group: Group) -> None:
        """Record the end of a group."""
        self.ended.append(group)


def hinted(*hosts: str) -> Unstructured:
    """A pod spec that names hosts; one with none names no hosts."""
    named = {"key": HOSTNAME, "operator": "In", "values": list(hosts)}
    item = {"weight": 30, "preference": {"matchExpressions": [named, MARKED]}}
    wish = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [item]}} if hosts else {}
    return objects.spec(objects.container(resources={"limits": {GPU: "1"}}), affinity=wish)


def group(*hosts: str, name: str = "demo-default") -> Any:  # noqa: ANN401 - a raw object
    """A worker group of the cluster `demo`."""
    return objects.group(hinted(*hosts), name=name)


def test_cluster_counts_until_it_has_its_group() -> None:
    """A cluster tells of its first group's hosts; once that is there, the group does, with or without hosts."""
    told = Told()
    told.clusters.put(objects.cluster(hinted("a")))
    told.groups.put(group())
    told.clusters.put(objects.cluster(hinted("a")))
    told.groups.put(group("b"))
    assert [(each.group, each.told) for each in told.demands] == [(DEFAULT, ("a",)), (DEFAULT, ("b",))]


def test_what_is_deleted_is_over() -> None:
    """A deleted group ends; a deleted cluster ends its scheduler, and its workers where no worker group is stored."""
    told = Told()
    told.clusters.put(objects.cluster(hinted("a")))
    told.clusters.drop(objects.cluster(hinted("a")))
    assert set(told.ended) == {DEFAULT, SCHEDULER}
    told.ended.clear()
    told.groups.put(group("a"))
    told.clusters.drop(objects.cluster(hinted("a")))
    assert told.ended == [SCHEDULER]
    told.groups.drop(group())
    assert told.ended == [SCHEDULER, DEFAULT]
    assert not told.groups.known


def test_hosts_of_a_scheduler_are_heard_of_beside_the_group() -> None:
    """A stored cluster's scheduler is passed on with its host, also once the worker group is stored."""
    told = Told()
    told.groups.put(group())
    item = objects.cluster()
    item["spec"]["scheduler"]["spec"] = hinted("c")
    told.clusters.put(item)
    assert [(each.group, each.told, each.wanted) for each in told.demands] == [(SCHEDULER, ("c",), 1)]


def test_size_of_a_group_is_passed_on() -> None:
    """A worker group's size is passed on, with hosts or without."""
    told = Told()
    small = group()
    small["spec"]["worker"]["replicas"] = 3
    told.groups.put(small)
    assert told.sizes == {DEFAULT: 3}


def test_what_a_list_lacks_is_over() -> None:
    """A group that vanished while nobody watched is gone with the next list."""
    told = Told()
    for each in ("demo-default", "demo-more"):
        told.groups.put(group("a", name=each))
    told.groups.begin()
    told.groups.keep([group("a", name="demo-more")])
    told.groups.listed()
    assert told.ended == [DEFAULT]
    assert told.groups.known == {Group("rapids", "demo", "demo-more")}


def test_group_without_workers_wants_none() -> None:
    """A group that is scaled to nothing says so, so that its promise ends."""
    told = Told()
    empty = group("a")
    empty["spec"]["worker"]["replicas"] = 0
    told.groups.put(empty)
    assert [each.wanted for each in told.demands] == [0]
