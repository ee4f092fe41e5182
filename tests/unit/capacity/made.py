"""Nodes, pods and demands, as small as they can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.placement.constraints import constraints
from webhook.placement.model import (
    Demand,
    Group,
    Node,
    PodUsage,
)
from webhook.placement.pool import Pool
from webhook.policy.topology_presets import HOSTNAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from webhook.workloads.unstructured import Unstructured

GPU = "nvidia.com/gpu"
RACK = "rack"
DEMO = Group("rapids", "demo", "demo-default")


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


def pool(nodes: Mapping[str, tuple[int, str]]) -> Pool:
    """A pool of nodes with so many free GPUs in such a rack."""
    made = Pool()
    for name, (free, rack) in nodes.items():
        made.put(name, rack, free)
    return made


def total(shares: Iterable[tuple[str, int]]) -> int:
    """All workers of a plan."""
    return sum(workers for _, workers in shares)
