"""Nodes, pods and demands, as small as they can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.placement.allocator import Allocator
from webhook.placement.constraints import constraints
from webhook.placement.model import (
    Demand,
    Group,
    Hosts,
    Node,
    NoHint,
    NoHintReason,
    PodUsage,
    Questions,
    scheduler_of,
)
from webhook.placement.pool import Pool
from webhook.policy.topology_presets import HOSTNAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from webhook.placement.model import Hint, Question
    from webhook.workloads.unstructured import Unstructured

GPU = "nvidia.com/gpu"
RACK = "rack"
DEMO = Group("rapids", "demo", "demo-default")
SCHEDULER = scheduler_of("rapids", "demo")


def node(name: str, gpus: int = 8, rack: str = "", **fields: Unstructured) -> Node:
    """A node whose host name is its own."""
    labels = {HOSTNAME: name, RACK: rack, **fields.pop("labels", {})}
    extended = {GPU: gpus}
    return Node(
        **{"name": name, "host": name, "labels": labels, "taints": (), "extended": extended, "open": True} | fields
    )


def pod(where: str, gpus: int = 1, group: Group | None = None) -> PodUsage:
    """A bound pod."""
    return PodUsage(where, ((GPU, gpus),), group)


def demand(workers: int, gpus: int = 1, spec: Unstructured = None, **fields: Unstructured) -> Demand:
    """Workers of the cluster `demo`."""
    fixed = {"group": DEMO, "resource": GPU, "rack": RACK, "constraints": constraints(spec or {})}
    return Demand(**{**fixed, "workers": workers, "gpus": gpus, **fields})


def questions(worker: Question | None = None, scheduler: Question | None = None) -> Questions:
    """Questions about one object; for a role without a question there is nothing to ask."""
    nothing = NoHint(NoHintReason.NO_WORKERS_ADDED, "")
    return Questions(worker or nothing, scheduler or nothing)


def pool(nodes: Mapping[str, tuple[int, str]]) -> Pool:
    """A pool of nodes with so many free GPUs in such a rack."""
    made = Pool()
    for name, (free, rack) in nodes.items():
        made.put(name, rack, free)
    return made


def total(shares: Iterable[tuple[str, int]]) -> int:
    """All workers of a plan."""
    return sum(workers for _, workers in shares)


class Room(Allocator):
    """An allocator that is asked about one role at a time."""

    def hint(self, question: Question, now: float) -> Hint:
        """Return the hint for workers."""
        return self.hints(questions(question), now).worker


def stock(*gpus: int) -> Room:
    """Nodes `n0`, `n1`, ... with so many GPUs."""
    made = Room(patience=60)
    for number, each in enumerate(gpus):
        made.index.put_node(node(f"n{number}", each))
    return made


def names(hint: Hint) -> set[str]:
    """The hosts of a hint."""
    assert isinstance(hint, Hosts), hint
    return set(hint.names)


def lack(hint: Hint) -> NoHintReason:
    """Why there is no hint."""
    assert isinstance(hint, NoHint), hint
    return hint.reason
