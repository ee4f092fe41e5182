"""Code of a user without GPU or affinity settings: `KubeCluster` with the output of `make_cluster_spec`.

`plain_user.py NAME` creates a cluster with 5 workers in its default group and 2 in an added group, and scales the added
group to 3 through `from_name`. It does not close the cluster, so that a test can inspect its pods.
"""

from __future__ import annotations

import sys

from dask_kubernetes.operator import (  # type: ignore[import-untyped] # the package has no py.typed
    KubeCluster,
    make_cluster_spec,
)

# The image of `make_cluster_spec` has no dask-cuda, so its workers are CPU workers.
IMAGE = "rapidsai/base:26.08"


def use(name: str) -> None:
    """Create a cluster, scale it, add a group, and reconnect by name."""
    spec = make_cluster_spec(name=name, n_workers=2, image=IMAGE)
    with KubeCluster(custom_cluster_spec=spec, shutdown_on_close=False, quiet=True) as cluster:
        cluster.scale(5)
        cluster.add_worker_group(name="added", n_workers=2, image=IMAGE)
    with KubeCluster.from_name(name, shutdown_on_close=False, quiet=True) as again:
        again.scale(3, worker_group="added")


if __name__ == "__main__":
    use(sys.argv[1])
