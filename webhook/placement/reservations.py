"""GPUs reserved for pods that are not bound yet, so that two clusters of one second don't get the same hosts.

A reservation belongs to a worker group or to a Dask scheduler. It shrinks as its pods are bound, one by one, and
expires after `PATIENCE`: a cluster that was rejected after the webhook's answer, or whose pods wait for something else,
gives its hosts back.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from webhook.placement.model import (
    Demand,
    Group,
    Plan,
    Share,
)
from webhook.workloads.pod_templates import Role

# Seconds. The operator makes a cluster's workers within a few of them; a worker that is still not bound after a minute
# waits for something that no promise brings.
PATIENCE = 60.0
# Groups of which it is remembered that a promise ended before its workers were bound; about 1 MiB. One that is
# forgotten may be promised hosts for another minute.
MOST_LAPSED = 4096


@dataclass(slots=True)
class Reservation:
    """GPUs set aside for a worker group.

    Attributes:
        plan: All of it, as it was told.
        open: Workers that are not bound yet, by node, in the plan's order.
        resource: What is set aside.
        gpus: For each worker.
        wanted: All workers of the group, at the time it was promised.
        until: The instant it ends by itself.
    """

    plan: Plan
    open: dict[str, int]
    resource: str
    gpus: int
    wanted: int
    until: float


class Reservations:
    """All promises. Instants are seconds of any steady clock, never going back, and are handed in."""

    def __init__(self, reserve: Callable[[str, str, int], None], patience: float = PATIENCE) -> None:
        """Tell `reserve` of each node, resource and amount that is set aside, or, negative, given back."""
        self._reserve = reserve
        self._patience = patience
        self._promises: dict[Group, Reservation] = {}  # the one that ends first comes first
        self._groups: defaultdict[tuple[str, str], set[Group]] = defaultdict(set)
        self._lapsed: OrderedDict[Group, int] = OrderedDict()

    @property
    def workers(self) -> int:
        """Pods, workers and Dask schedulers, with a reservation that are not bound."""
        return sum(sum(each.open.values()) for each in tuple(self._promises.values()))

    def promise(self, demand: Demand, plan: Plan, now: float) -> None:
        """Set a plan's GPUs aside, on top of what the group was promised before."""
        group = demand.group
        if not plan:
            return
        before = self._promises.get(group)
        if before and (before.resource, before.gpus) != (demand.resource, demand.gpus):
            self.release(group)
        before = self._promises.pop(group, None)
        given = Reservation(
            plan=(*(before.plan if before else ()), *plan),
            open=before.open if before else {},
            resource=demand.resource,
            gpus=demand.gpus,
            wanted=demand.wanted,
            until=now + self._patience,
        )
        for share in plan:
            given.open[share.node] = given.open.get(share.node, 0) + share.workers
            self._reserve(share.node, demand.resource, share.workers * demand.gpus)
        self._promises[group] = given
        self._groups[group.namespace, group.cluster].add(group)

    def plan_of(self, group: Group) -> Plan | None:
        """What a group was promised, all of it, while some of its workers are not bound."""
        promise = self._promises.get(group)
        return promise.plan if promise else None

    def open_of(self, group: Group) -> int:
        """How many workers of a group are promised a place and not bound."""
        promise = self._promises.get(group)
        return sum(promise.open.values()) if promise else 0

    def nodes_of(self, namespace: str, cluster: str) -> set[str]:
        """Return the nodes that are reserved for workers of a cluster which are not bound yet."""
        groups = self._groups.get((namespace, cluster), ())
        return {node for group in groups if group.role is Role.WORKER for node in self._promises[group].open}

    def bound(self, group: Group, node: str) -> None:
        """A worker of the group stands on a node: one place less is kept for it, if not there then elsewhere."""
        promise = self._promises.get(group)
        if promise is None:
            return
        place = node if node in promise.open else next(reversed(promise.open))
        self._close(group, promise, place, 1)

    def trim(self, group: Group, most: int) -> None:
        """Leave no more than `most` workers of a group a place; what was promised last is given back first."""
        promise = self._promises.get(group)
        while promise and (excess := sum(promise.open.values()) - max(most, 0)) > 0:
            node, workers = next(reversed(promise.open.items()))
            self._close(group, promise, node, min(workers, excess))
            promise.plan = _without(promise.plan, Share(node, min(workers, excess)))

    def expire(self, now: float) -> None:
        """End promises that nobody took up."""
        while self._promises and (first := next(iter(self._promises.items())))[1].until <= now:
            self.release(first[0])
            self._lapsed[first[0]] = first[1].wanted
            self._lapsed.move_to_end(first[0])
            if len(self._lapsed) > MOST_LAPSED:
                self._lapsed.popitem(last=False)

    def lapsed(self, group: Group, wanted: int) -> int:
        """How many of the `wanted` workers had their time: their promise ended by itself, and there is no second."""
        if group in self._lapsed:
            self._lapsed[group] = min(self._lapsed[group], wanted)
        return self._lapsed.get(group, 0)

    def forget(self, group: Group) -> None:
        """The group is gone, or is made anew: whatever was promised to it is over."""
        self.release(group)
        self._lapsed.pop(group, None)

    def release(self, group: Group) -> None:
        """End the promise to a group, if there is one."""
        promise = self._promises.pop(group, None)
        if promise is None:
            return
        for node, workers in promise.open.items():
            self._reserve(node, promise.resource, -workers * promise.gpus)
        self._groups[group.namespace, group.cluster].discard(group)
        if not self._groups[group.namespace, group.cluster]:
            del self._groups[group.namespace, group.cluster]

    def _close(self, group: Group, promise: Reservation, node: str, workers: int) -> None:
        self._reserve(node, promise.resource, -workers * promise.gpus)
        promise.open[node] -= workers
        if not promise.open[node]:
            del promise.open[node]
        if not promise.open:
            self.release(group)


def _without(plan: Plan, less: Share) -> Plan:
    """A plan without so many workers on a node, the last ones there."""
    kept, workers = [], less.workers
    for share in reversed(plan):
        gone = min(workers, share.workers) if share.node == less.node else 0
        workers -= gone
        if share.workers > gone:
            kept.append(Share(share.node, share.workers - gone))
    return tuple(reversed(kept))
