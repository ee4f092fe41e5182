"""Simulated nodes: kwok plays every kubelet, the scheduler and the controllers are real.

The stages say how a node or pod goes on (here: at once). They are kwok's own, kept beside this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.e2e.bed import process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.e2e.bed.api import Api, Object
    from tests.e2e.bed.controlplane import ControlPlane

_DATA = Path(__file__).parent / "kwok"
FORWARDS = "/apis/kwok.x-k8s.io/v1alpha1/clusterportforwards"
NODES = "/api/v1/nodes"


def start_kwok(plane: ControlPlane) -> process.Process:
    """Start kwok. It also serves port-forward for its pods, as a kubelet would: see `dask_runtime.py`.

    Needs the CRD of `port_forward_crd` in the API server.
    """
    (port,) = process.free_ports(1)
    serving = plane.authority.issue("kwok", ["127.0.0.1"])
    stages = plane.state / "stages.yaml"
    stages.write_text("\n---\n".join(each.read_text() for each in sorted(_DATA.glob("*.yaml")) if _is_stage(each)))
    argv = [
        str(plane.programs["kwok"]),
        f"--kubeconfig={plane.kubeconfig}",
        "--manage-all-nodes=true",
        "--node-lease-duration-seconds=40",
        f"--config={stages}",
        "--enable-crds=ClusterPortForward",
        f"--server-address=127.0.0.1:{port}",
        "--node-ip=127.0.0.1",
        f"--node-port={port}",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
    ]
    kwok = plane.spawn("kwok", argv)
    kwok.wait_until(lambda: process.listening(port))
    return kwok


def port_forward_crd() -> Object:
    """The definition of kwok's ClusterPortForward."""
    crd: Object = yaml.safe_load((_DATA / "clusterportforwards.crd.yaml").read_text())
    return crd


def add(
    api: Api, names: list[str], gpus: int, labels: Mapping[str, str], images: Mapping[str, int] | None = None
) -> None:
    """Create nodes with `gpus` of `nvidia.com/gpu`, 64 cores, 256 GiB and 110 pods each.

    Args:
        api: Connection to the API server.
        names: Names of the nodes.
        gpus: GPUs of each node; with 0 the node does not have the resource.
        labels: Further labels of each node.
        images: Images that each node reports, with their sizes in bytes.
    """
    for name in names:
        node = _node(name, gpus, labels)
        node["status"]["images"] = [{"names": [image], "sizeBytes": size} for image, size in (images or {}).items()]
        api.create(NODES, node)


def remove(api: Api, names: list[str]) -> None:
    """Delete the nodes; their pods are left to the controllers."""
    for name in names:
        api.delete(f"{NODES}/{name}")


def _node(name: str, gpus: int, labels: Mapping[str, str]) -> Object:
    room = {"cpu": "64", "memory": "256Gi", "pods": "110", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                **labels,
            },
        },
        "status": {"allocatable": room, "capacity": room},  # no nodeInfo: kwok fills it in
    }


def _is_stage(path: Path) -> bool:
    return ".crd." not in path.name
