"""Kubernetes Events on Dask objects (`serve --events`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.e2e.examples import manifest
from tests.e2e.webhook_process import ENABLED, installed

if TYPE_CHECKING:
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl, NamespaceFactory


def test_describe_shows_applied_and_skipped_rules(bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory) -> None:
    """`kubectl describe` of a cluster shows the applied and the skipped rules; a dry run creates no Event."""
    cluster = json.loads(manifest("cluster", workers=0))
    (container,) = cluster["spec"]["worker"]["spec"]["containers"]
    container |= {"command": ["sh", "-c"], "args": ["dask-worker | tee log"]}
    with installed(bed, "--events"):
        namespace = make_namespace(ENABLED)
        dry = {**cluster, "metadata": {"name": "dry"}}
        kubectl("apply", "-n", namespace, "--dry-run=server", "-f", "-", stdin=json.dumps(dry))
        kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(cluster))

        def described() -> str:
            return kubectl("describe", "-n", namespace, "daskcluster", "rapids-dask-cluster").stdout

        bed.wait(lambda: "NotColocated" in described(), namespace, "the Events are created")
        assert "gpu: limit container worker to 1 nvidia.com/gpu" in described()
        assert "command: container worker: cannot parse '|' in the command" in described()
    events = bed.api.items(f"/api/v1/namespaces/{namespace}/events")
    assert not [event for event in events if event["involvedObject"]["name"] == "dry"]
