"""What stored clusters and worker groups tell: each once, and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit import objects
from tests.unit.capacity.made import GPU
from webhook.kube.capacity.peer_reservations import Clusters, Groups
from webhook.placement.model import Demand, Group
from webhook.policy.topology_presets import HOSTNAME

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

DEFAULT = Group("rapids", "demo", "demo-default")
MARKED = {"key": "colocate.dask.org/hint", "operator": "DoesNotExist"}


class Told:
    """What was heard."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.heard: list[Demand] = []
        self.gone: list[Group] = []
        self.groups = Groups(self.heard.append, self.gone.append, lambda: True)
        self.clusters = Clusters(self.groups)


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
    assert [(each.group, each.told) for each in told.heard] == [(DEFAULT, ("a",)), (DEFAULT, ("b",))]


def test_what_is_deleted_is_over() -> None:
    """A group that is deleted, and a cluster that never had one, are told to be gone."""
    told = Told()
    told.clusters.put(objects.cluster(hinted("a")))
    told.clusters.drop(objects.cluster(hinted("a")))
    assert told.gone == [DEFAULT]
    told.groups.put(group("a"))
    told.clusters.drop(objects.cluster(hinted("a")))
    assert told.gone == [DEFAULT]
    told.groups.drop(group())
    assert told.gone == [DEFAULT, DEFAULT]
    assert not told.groups.known


def test_what_a_list_lacks_is_over() -> None:
    """A group that vanished while nobody watched is gone with the next list."""
    told = Told()
    for each in ("demo-default", "demo-more"):
        told.groups.put(group("a", name=each))
    told.groups.begin()
    told.groups.keep([group("a", name="demo-more")])
    told.groups.listed()
    assert told.gone == [DEFAULT]
    assert told.groups.known == {Group("rapids", "demo", "demo-more")}


def test_group_without_workers_wants_none() -> None:
    """A group that is scaled to nothing says so, so that its promise ends."""
    told = Told()
    empty = group("a")
    empty["spec"]["worker"]["replicas"] = 0
    told.groups.put(empty)
    assert [each.wanted for each in told.heard] == [0]
