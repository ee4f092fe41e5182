"""Factory of large clusters for the page."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.unit.status.factories import WorkerPod, cluster, namespace, node, other_pod, snapshot

if TYPE_CHECKING:
    from webhook.status.snapshot import Snapshot

NAMESPACES = ("forecast", "genomics", "research", "vision")


@dataclass(frozen=True, kw_only=True)
class LargeCluster:
    """Parameters of a cluster of equal racks.

    Attributes:
        racks: Number of racks.
        nodes: Nodes in each rack.
        gpus: GPUs in each node.
        clusters: Number of Dask clusters with 2 to 24 workers; each sixteenth is not mutated, spread and without GPUs.
    """

    racks: int = 6
    nodes: int = 8
    gpus: int = 8
    clusters: int = 22

    def snapshot(self) -> Snapshot:
        """Return the snapshot, which is the same for the same parameters."""
        generator = random.Random(1)  # noqa: S311 - not for security
        names = [f"gpu-pool-{rack:02}-{place:02}" for rack in range(self.racks) for place in range(self.nodes)]
        free = dict.fromkeys(names, self.gpus)
        owners = [(NAMESPACES[index % 4], f"train-{index}") for index in range(self.clusters)]
        workers = [pod for index, owner in enumerate(owners) for pod in self._workers(index, owner, free, generator)]
        others = [other_pod(f"notebook-{name}", name, 1) for name in names if free[name] and generator.random() < 0.2]
        nodes = tuple(node(name, self.gpus, zone=f"rack-{name[-5:-3]}") for name in names)
        nodes[3]["spec"]["unschedulable"] = True
        return snapshot(
            nodes=nodes,
            pods=(*(worker.pod() for worker in workers), *others),
            clusters=tuple(cluster(name, where) for where, name in owners),
            namespaces=tuple(map(namespace, NAMESPACES)),
        )

    def _workers(
        self, index: int, owner: tuple[str, str], free: dict[str, int], generator: random.Random
    ) -> list[WorkerPod]:
        """Return the workers of one cluster on nodes with free GPUs."""
        size, mutated = generator.choice((2, 4, 8, 8, 16, 24)), index % 16 != 3
        workers: list[WorkerPod] = []
        names = list(free)
        first = generator.randrange(len(names))
        for node_name in names[first:] + names[:first]:
            for _ in range(min(free[node_name], size - len(workers), self.gpus if mutated else 1)):
                worker = WorkerPod(
                    name=f"{owner[1]}-default-worker-{generator.getrandbits(40):010x}",
                    node=node_name,
                    cluster=owner[1],
                    namespace=owner[0],
                    gpus=int(mutated),
                    mutated=mutated,
                )
                workers.append(worker)
                free[node_name] -= worker.gpus
        return workers
