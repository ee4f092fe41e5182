"""Node pools and Dask clusters of a load: sizes and resource requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

REQUESTS: Mapping[str, str] = {"cpu": "4", "memory": "16Gi"}
"""Half of one GPU's share of a node with 8 GPUs, 64 cores and 256 GiB."""


@dataclass(frozen=True, kw_only=True)
class PoolShape:
    """Nodes of a load.

    Attributes:
        nodes: Number of nodes, spread evenly over the racks.
        gpus: GPUs of each node.
        racks: Number of racks.
        dra_nodes: Number of nodes in each rack that publish their GPUs as ResourceSlices. The other nodes have a device
            plugin, which is the GPU count in `status.allocatable`.
    """

    nodes: int = 16
    gpus: int = 8
    racks: int = 4
    dra_nodes: int = 0

    @property
    def capacity(self) -> int:
        """Return the number of GPUs of all nodes."""
        return self.nodes * self.gpus

    @property
    def name(self) -> str:
        """Return a name that is the same for all pools of a shape."""
        return f"{self.nodes}x{self.gpus}-{self.racks}-{self.dra_nodes}"


@dataclass(frozen=True, kw_only=True)
class ClusterShape:
    """Pod templates of the Dask clusters of a load.

    Attributes:
        requests: CPU and memory that workers and schedulers request. Without them kube-scheduler sees all nodes as
            equally full.
        scheduler_gpus: GPUs of the Dask scheduler; the RAPIDS guide gives it one.
        cpu_group: Whether the cluster has a second worker group, for CPUs, as large as the first.
        images: Number of different images; each is 12 GB large and present on one node of each rack. 0: a small image
            that is present on no node.
    """

    requests: Mapping[str, str] = field(default_factory=lambda: REQUESTS)
    scheduler_gpus: int = 1
    cpu_group: bool = False
    images: int = 0


NODES_OF_8 = PoolShape()
NODES_OF_2 = PoolShape(nodes=32, gpus=2)
WITH_REQUESTS = ClusterShape()
BARE = ClusterShape(requests={})  # as the RAPIDS guide writes it
