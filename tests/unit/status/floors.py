"""Whole floors of nodes with Dask clusters on them, for the page."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.unit.status.made import Worker, cluster, namespace, node, other_pod, snapshot

if TYPE_CHECKING:
    from webhook.status.snapshot import Snapshot

SPACES = ("forecast", "genomics", "research", "vision")


@dataclass(frozen=True, kw_only=True)
class Hall:
    """A hall of equal racks.

    Attributes:
        racks: How many.
        nodes: In each rack.
        gpus: In each node.
        clusters: How many Dask clusters, of 2 to 24 workers; each sixteenth was missed, is spread and holds no GPU.
    """

    racks: int = 6
    nodes: int = 8
    gpus: int = 8
    clusters: int = 22

    def snapshot(self) -> Snapshot:
        """The hall as an API server tells of it; always the same."""
        chance = random.Random(1)  # noqa: S311 - guards nothing
        names = [f"gpu-pool-{rack:02}-{place:02}" for rack in range(self.racks) for place in range(self.nodes)]
        free = dict.fromkeys(names, self.gpus)
        owners = [(SPACES[index % 4], f"train-{index}") for index in range(self.clusters)]
        workers = [worker for index, owner in enumerate(owners) for worker in self._workers(index, owner, free, chance)]
        others = [other_pod(f"notebook-{name}", name, 1) for name in names if free[name] and chance.random() < 0.2]
        nodes = tuple(node(name, self.gpus, zone=f"rack-{name[-5:-3]}") for name in names)
        nodes[3]["spec"]["unschedulable"] = True
        return snapshot(
            nodes=nodes,
            pods=(*(worker.pod() for worker in workers), *others),
            clusters=tuple(cluster(name, where) for where, name in owners),
            namespaces=tuple(map(namespace, SPACES)),
        )

    def _workers(self, index: int, owner: tuple[str, str], free: dict[str, int], chance: random.Random) -> list[Worker]:
        """The workers of one cluster, put where there is room."""
        wanted, missed, made = chance.choice((2, 4, 8, 8, 16, 24)), index % 16 == 3, []
        names = list(free)
        begin = chance.randrange(len(names))
        for name in names[begin:] + names[:begin]:
            for _ in range(min(free[name], wanted - len(made), 1 if missed else self.gpus)):
                about = f"{owner[1]}-default-worker-{chance.getrandbits(40):010x}"
                gpus = 0 if missed else 1
                made.append(Worker(name=about, node=name, of=owner[1], where=owner[0], gpus=gpus, mutated=not missed))
                free[name] -= gpus
        return made
