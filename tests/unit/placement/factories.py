"""Factories of nodes, pods, demands and allocators for the placement tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.placement.allocator import Allocator
from webhook.placement.constraints import constraints
from webhook.placement.model import (
    Demand,
    Group,
    Node,
    NoHint,
    NoHintReason,
    PodUsage,
    PreferredNodes,
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
    """Return a node whose hostname is its name."""
    labels = {HOSTNAME: name, RACK: rack, **fields.pop("labels", {})}
    extended = {GPU: gpus}
    return Node(
        **{"name": name, "hostname": name, "labels": labels, "taints": (), "extended": extended, "schedulable": True}
        | fields
    )


def pod(where: str, gpus: int = 1, group: Group | None = None) -> PodUsage:
    """Return the usage of a bound pod."""
    return PodUsage(where, ((GPU, gpus),), group)


def demand(workers: int, gpus: int = 1, spec: Unstructured = None, **fields: Unstructured) -> Demand:
    """Return a demand for workers of the cluster `demo`."""
    fixed = {"group": DEMO, "resource": GPU, "rack_label": RACK, "constraints": constraints(spec or {})}
    return Demand(**{**fixed, "workers": workers, "gpus": gpus, **fields})


def questions(worker: Question | None = None, scheduler: Question | None = None) -> Questions:
    """Return the questions about one object; a role may have none."""
    nothing = NoHint(NoHintReason.NO_WORKERS_ADDED, "")
    return Questions(worker or nothing, scheduler or nothing)


def pool(nodes: Mapping[str, tuple[int, str]]) -> Pool:
    """Return a pool of nodes, given the free GPUs and the rack of each."""
    made = Pool()
    for name, (free, rack) in nodes.items():
        made.put(name, rack, free)
    return made


def total(shares: Iterable[tuple[str, int]]) -> int:
    """Return the number of workers in a plan."""
    return sum(workers for _, workers in shares)


class WorkerAllocator(Allocator):
    """An allocator with a shortcut for questions about workers."""

    def hint(self, question: Question, now: float) -> Hint:
        """Return the hint for workers."""
        return self.hints(questions(question), now).worker


def make_allocator(*gpus: int) -> WorkerAllocator:
    """Return an allocator with the nodes `n0`, `n1`, ..., given the GPUs of each."""
    made = WorkerAllocator(lifetime=60)
    for number, each in enumerate(gpus):
        made.index.put_node(node(f"n{number}", each))
    return made


def hostnames(hint: Hint) -> set[str]:
    """Return the hostnames in a hint."""
    assert isinstance(hint, PreferredNodes), hint
    return set(hint.hostnames)


def reason(hint: Hint) -> NoHintReason:
    """Return the reason for a missing hint."""
    assert isinstance(hint, NoHint), hint
    return hint.reason
