"""Node labels of the platforms that say in which rack a node stands: what `topology: gke` is short for.

A preferred term whose label a node lacks gives that node nothing and blocks nobody, so a wrong preset is harmless.
"""

from collections.abc import Mapping, Sequence

HOSTNAME = "kubernetes.io/hostname"

# The levels of the platforms whose nodes say in which rack they stand, by name. Never more than three: each
# level costs the scheduler. Each begins with the node, whose label all of them have.
PRESETS: Mapping[str, Sequence[str]] = {
    # cloud.google.com/ai-hypercomputer, "Schedule GKE workloads with TAS": a sub-block is a rack.
    "gke": (HOSTNAME, "cloud.google.com/gce-topology-subblock", "cloud.google.com/gce-topology-block"),
    # docs.aws.amazon.com/eks, "ml-workload-topology": the higher the number, the nearer the switch.
    "eks": (HOSTNAME, "topology.k8s.aws/network-node-layer-3", "topology.k8s.aws/network-node-layer-2"),
    # oracle-quickstart/oci-hpc-oke, "using-rdma-network-locality": the first and second latency band.
    "oke": (HOSTNAME, "oci.oraclecloud.com/rdma.local_block_id", "oci.oraclecloud.com/rdma.network_block_id"),
    # docs.coreweave.com, "InfiniBand and RoCE labels".
    "coreweave": (HOSTNAME, "node.coreweave.cloud/rack", "backend.coreweave.cloud/leafgroup"),
    # NVIDIA/topograph v1, docs/reference/node-labels.md: tier 0 is the nearest switch.
    "topograph": (HOSTNAME, "fabric.topograph.run/tier-0", "fabric.topograph.run/tier-1"),
    # GPU feature discovery: the NVLink partition a node with multi-node NVLink belongs to.
    "nvlink": (HOSTNAME, "nvidia.com/gpu.clique"),
}
