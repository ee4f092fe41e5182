"""GPUs reserved for pods that are not bound yet, so that clusters created in the same second get different nodes.

A reservation belongs to a worker group or to a Dask scheduler. It shrinks with each of its pods that is bound, and
expires after `RESERVATION_SECONDS`, for example if the cluster was rejected after the webhook's response.
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

# The operator creates a cluster's workers within a few seconds. A worker that is not bound after a minute waits for
# something that a reservation cannot provide.
RESERVATION_SECONDS = 60.0
# Groups whose expired reservation is recorded, about 1 MiB. A group beyond this limit may get a second reservation.
MAX_EXPIRED_GROUPS = 4096


@dataclass(slots=True)
class Reservation:
    """GPUs reserved for one group.

    Attributes:
        plan: The complete plan.
        unbound: Number of pods that are not bound yet, by node, in the plan's order.
        resource: The extended resource.
        gpus: GPUs of each pod.
        replicas: All pods of the group, at the time of the reservation.
        expires_at: Time at which the reservation ends.
    """

    plan: Plan
    unbound: dict[str, int]
    resource: str
    gpus: int
    replicas: int
    expires_at: float


class Reservations:
    """All reservations. Times are seconds of a monotonic clock, passed in by the caller."""

    def __init__(self, reserve: Callable[[str, str, int], None], lifetime: float = RESERVATION_SECONDS) -> None:
        """Call `reserve` with node, resource and amount for each change; a negative amount is released."""
        self._reserve = reserve
        self._lifetime = lifetime
        self._reservations: dict[Group, Reservation] = {}  # in order of expiry
        self._groups: defaultdict[tuple[str, str], set[Group]] = defaultdict(set)
        self._expired: OrderedDict[Group, int] = OrderedDict()

    @property
    def pods(self) -> int:
        """Number of unbound pods, workers and Dask schedulers, with a reservation."""
        return sum(sum(reservation.unbound.values()) for reservation in tuple(self._reservations.values()))

    def add(self, demand: Demand, plan: Plan, now: float) -> None:
        """Reserve the GPUs of a plan, in addition to the group's earlier reservation."""
        group = demand.group
        if not plan:
            return
        earlier = self._reservations.get(group)
        if earlier and (earlier.resource, earlier.gpus) != (demand.resource, demand.gpus):
            self.release(group)
        earlier = self._reservations.pop(group, None)
        reservation = Reservation(
            plan=(*(earlier.plan if earlier else ()), *plan),
            unbound=earlier.unbound if earlier else {},
            resource=demand.resource,
            gpus=demand.gpus,
            replicas=demand.replicas,
            expires_at=now + self._lifetime,
        )
        for share in plan:
            reservation.unbound[share.node] = reservation.unbound.get(share.node, 0) + share.workers
            self._reserve(share.node, demand.resource, share.workers * demand.gpus)
        self._reservations[group] = reservation
        self._groups[group.namespace, group.cluster].add(group)

    def plan(self, group: Group) -> Plan | None:
        """Return the complete plan of a group's reservation; None without a reservation."""
        reservation = self._reservations.get(group)
        return reservation.plan if reservation else None

    def unbound_count(self, group: Group) -> int:
        """Return the number of a group's unbound pods with a reservation."""
        reservation = self._reservations.get(group)
        return sum(reservation.unbound.values()) if reservation else 0

    def worker_nodes(self, namespace: str, cluster: str) -> set[str]:
        """Return the nodes that are reserved for unbound workers of a cluster."""
        groups = self._groups.get((namespace, cluster), ())
        return {node for group in groups if group.role is Role.WORKER for node in self._reservations[group].unbound}

    def settle(self, group: Group, node: str) -> None:
        """Release the place of one pod that was bound: on its node if reserved there, else on the last node."""
        reservation = self._reservations.get(group)
        if reservation:
            place = node if node in reservation.unbound else next(reversed(reservation.unbound))
            self._release_pods(group, reservation, place, 1)

    def trim(self, group: Group, most: int) -> None:
        """Keep at most `most` unbound pods of a group; release the latest reservations first."""
        reservation = self._reservations.get(group)
        while reservation and (excess := sum(reservation.unbound.values()) - max(most, 0)) > 0:
            node, workers = next(reversed(reservation.unbound.items()))
            self._release_pods(group, reservation, node, min(workers, excess))
            reservation.plan = _without(reservation.plan, Share(node, min(workers, excess)))

    def expire(self, now: float) -> None:
        """Release the reservations whose time is over."""
        while self._reservations:
            group, reservation = next(iter(self._reservations.items()))
            if reservation.expires_at > now:
                return
            self.release(group)
            self._expired[group] = reservation.replicas
            self._expired.move_to_end(group)
            if len(self._expired) > MAX_EXPIRED_GROUPS:
                self._expired.popitem(last=False)

    def expired_count(self, group: Group, replicas: int) -> int:
        """Return the number of a group's `replicas` whose reservation expired; they get no second reservation."""
        if group in self._expired:
            self._expired[group] = min(self._expired[group], replicas)
        return self._expired.get(group, 0)

    def forget(self, group: Group) -> None:
        """Release a group's reservation and its record of expiry, because the group was deleted or created again."""
        self.release(group)
        self._expired.pop(group, None)

    def release(self, group: Group) -> None:
        """Release a group's reservation, if any."""
        reservation = self._reservations.pop(group, None)
        if reservation is None:
            return
        for node, workers in reservation.unbound.items():
            self._reserve(node, reservation.resource, -workers * reservation.gpus)
        self._groups[group.namespace, group.cluster].discard(group)
        if not self._groups[group.namespace, group.cluster]:
            del self._groups[group.namespace, group.cluster]

    def _release_pods(self, group: Group, reservation: Reservation, node: str, workers: int) -> None:
        self._reserve(node, reservation.resource, -workers * reservation.gpus)
        reservation.unbound[node] -= workers
        if not reservation.unbound[node]:
            del reservation.unbound[node]
        if not reservation.unbound:
            self.release(group)


def _without(plan: Plan, removed: Share) -> Plan:
    """Return a plan without a number of workers on a node, removed from the end."""
    shares, workers = [], removed.workers
    for share in reversed(plan):
        excess = min(workers, share.workers) if share.node == removed.node else 0
        workers -= excess
        if share.workers > excess:
            shares.append(Share(share.node, share.workers - excess))
    return tuple(reversed(shares))
