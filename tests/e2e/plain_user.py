"""A user who has never heard of GPUs or affinity: `KubeCluster` with what `make_cluster_spec` gives for RAPIDS' image.

`plain_user.py NAME` leaves a cluster of 5 workers in its default group and 2 in an added one, which is then scaled to
3 through `from_name`; it is not closed, so that its pods can be looked at.
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
    """Create, scale, add a group, come back by name."""
    spec = make_cluster_spec(name=name, n_workers=2, image=IMAGE)
    with KubeCluster(custom_cluster_spec=spec, shutdown_on_close=False, quiet=True) as cluster:
        cluster.scale(5)
        cluster.add_worker_group(name="added", n_workers=2, image=IMAGE)
    with KubeCluster.from_name(name, shutdown_on_close=False, quiet=True) as again:
        again.scale(3, worker_group="added")


if __name__ == "__main__":
    use(sys.argv[1])
