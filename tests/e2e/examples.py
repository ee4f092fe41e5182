"""The shipped example manifests, for any namespace and number of workers."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

EXAMPLES = Path(__file__).parents[2] / "webhook" / "cli" / "examples"
CLUSTERS = "/apis/kubernetes.dask.org/v1/namespaces/{}/daskclusters/{}"


def manifest(example: str, workers: int = 4, **metadata: str) -> str:
    """One of the examples, for any namespace, with so many workers.

    The Dask scheduler's own GPU is left out: it takes half of some node, which a soft affinity between workers
    knows nothing of, and so makes the fewest nodes a matter of luck.
    """
    item = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text())
    del item["metadata"]["namespace"]
    del item["spec"]["scheduler"]["spec"]["containers"][0]["resources"]
    item["metadata"] |= metadata
    item["spec"]["worker"]["replicas"] = workers
    return json.dumps(item)
