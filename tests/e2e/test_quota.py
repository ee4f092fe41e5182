"""Added GPU limits and a ResourceQuota."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.bed.bed import KubectlError
from tests.e2e.examples import manifest
from tests.e2e.webhook_process import ENABLED, installed
from tests.unit.objects import pod

if TYPE_CHECKING:
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl, NamespaceFactory

QUOTA = {"metadata": {"name": "gpus"}, "spec": {"hard": {"requests.nvidia.com/gpu": "0"}}}


def test_quota_error_and_added_limit_are_both_reported(
    bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory
) -> None:
    """A rejected pod's error and a cluster's Events contain the quota's message and the added limit."""
    with installed(bed, "--events"):
        namespace = make_namespace(ENABLED)
        path = f"/api/v1/namespaces/{namespace}/resourcequotas"
        bed.api.create(path, QUOTA)
        bed.wait(
            lambda: bool(bed.api.items(path)[0].get("status", {}).get("used")), namespace, "the quota is calculated", 30
        )
        own = pod(name="own", namespace=namespace)
        with pytest.raises(
            KubectlError, match=r"exceeded quota: gpus, requested: requests.nvidia.com/gpu=1"
        ) as rejected:
            kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(own))
        added = "gets 1 nvidia.com/gpu (colocate.dask.org/gpu-limit)"
        assert f"Warning: dask-colocate: container worker {added}" in str(rejected.value)
        kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("cluster", workers=1))

        def messages() -> str:
            return " ".join(event["message"] for event in bed.api.items(f"/api/v1/namespaces/{namespace}/events"))

        bed.wait(lambda: "exceeded quota: gpus" in messages(), namespace, "an Event of the ReplicaSet shows the quota")
        describe = ("describe", "-n", namespace, "daskcluster", "rapids-dask-cluster")
        bed.wait(
            lambda: "(colocate.dask.org/gpu-limit)" in kubectl(*describe).stdout,
            namespace,
            "the Events show the added limit",
        )
