"""Code of the RAPIDS guide: start the cluster, compute, scale, reconnect by name, close.

`guide_user.py SPEC` reads a DaskCluster as JSON and prints its results as JSON on the last line.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from dask_kubernetes.operator import KubeCluster  # type: ignore[import-untyped] # the package has no py.typed
from distributed import Client


def use(spec: dict[str, object], name: str) -> dict[str, int]:
    """Return the computed sums and the number of workers after each step."""
    seen: dict[str, int] = {}
    cluster = KubeCluster(custom_cluster_spec=spec, quiet=True)
    with cluster, Client(cluster) as client:  # type: ignore[no-untyped-call] # distributed annotates only some
        cluster.scale(5)
        seen["scaled up"] = _workers(client, 5)
        seen["sum on five"] = client.submit(sum, range(10)).result(timeout=30)
        with KubeCluster.from_name(name, quiet=True) as again:
            again.scale(1)
            seen["scaled down"] = _workers(client, 1)
            seen["sum on one"] = client.submit(sum, range(11)).result(timeout=30)
    return seen


def _workers(client: Client, count: int) -> int:
    """Wait until there are `count` workers; `wait_for_workers` waits for more workers but not for fewer."""
    present = -1
    deadline = time.monotonic() + 60  # a scale-down takes 10 s, see dask_runtime.py
    while present != count and time.monotonic() < deadline:
        time.sleep(0.2)
        present = len(client.nthreads())  # type: ignore[no-untyped-call] # distributed annotates only some
    return present


if __name__ == "__main__":
    manifest = json.loads(Path(sys.argv[1]).read_text())
    sys.stdout.write(json.dumps(use(manifest, manifest["metadata"]["name"])) + "\n")
