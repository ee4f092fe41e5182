"""Topology presets: the node labels that platforms set for racks and network blocks, such as `topology: gke`.

A preset for another platform has no effect: nodes without the label of a preferred term score 0 for it.
"""

from collections.abc import Mapping, Sequence

HOSTNAME = "kubernetes.io/hostname"

# Platform to its topology keys, nearest first. At most three keys, because each one adds work for the scheduler.
PRESETS: Mapping[str, Sequence[str]] = {
    # cloud.google.com/ai-hypercomputer, "Schedule GKE workloads with TAS": a sub-block is a rack.
    "gke": (HOSTNAME, "cloud.google.com/gce-topology-subblock", "cloud.google.com/gce-topology-block"),
    # docs.aws.amazon.com/eks, "ml-workload-topology": the highest layer number is the nearest switch.
    "eks": (HOSTNAME, "topology.k8s.aws/network-node-layer-3", "topology.k8s.aws/network-node-layer-2"),
    # oracle-quickstart/oci-hpc-oke, "using-rdma-network-locality": first and second latency band.
    "oke": (HOSTNAME, "oci.oraclecloud.com/rdma.local_block_id", "oci.oraclecloud.com/rdma.network_block_id"),
    # docs.coreweave.com, "InfiniBand and RoCE labels".
    "coreweave": (HOSTNAME, "node.coreweave.cloud/rack", "backend.coreweave.cloud/leafgroup"),
    # NVIDIA/topograph v1, docs/reference/node-labels.md: tier 0 is the nearest switch.
    "topograph": (HOSTNAME, "fabric.topograph.run/tier-0", "fabric.topograph.run/tier-1"),
    # GPU feature discovery: NVLink partition of a node with multi-node NVLink.
    "nvlink": (HOSTNAME, "nvidia.com/gpu.clique"),
}
