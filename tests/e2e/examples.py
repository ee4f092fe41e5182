"""Manifests of the shipped examples, for any namespace and number of workers."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

EXAMPLES = Path(__file__).parents[2] / "webhook" / "cli" / "examples"
CLUSTERS = "/apis/kubernetes.dask.org/v1/namespaces/{}/daskclusters/{}"


def manifest(example: str, workers: int = 4, *, scheduler_gpu: bool = True, **metadata: str) -> str:
    """Return an example as JSON, for any namespace, with `workers` workers.

    Without `scheduler_gpu` the Dask scheduler requests no GPU: for tests whose nodes have none left for it.
    """
    item = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text())
    del item["metadata"]["namespace"]
    if not scheduler_gpu:
        del item["spec"]["scheduler"]["spec"]["containers"][0]["resources"]
    item["metadata"] |= metadata
    item["spec"]["worker"]["replicas"] = workers
    return json.dumps(item)
