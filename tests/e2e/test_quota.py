"""A GPU limit that is added meets a ResourceQuota."""

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


def test_quota_says_no_and_the_object_says_who_asked(
    bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory
) -> None:
    """A pod is refused in the quota's words and ours; of a cluster they are at its ReplicaSet and in its Events."""
    with installed(bed, "--events"):
        namespace = make_namespace(ENABLED)
        path = f"/api/v1/namespaces/{namespace}/resourcequotas"
        bed.api.create(path, QUOTA)
        bed.wait(lambda: bool(bed.api.items(path)[0].get("status", {}).get("used")), namespace, "the quota counts", 30)
        own = pod(name="own", namespace=namespace)
        with pytest.raises(KubectlError, match=r"exceeded quota: gpus, requested: requests.nvidia.com/gpu=1") as said:
            kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(own))
        asked = "gets 1 nvidia.com/gpu (colocate.dask.org/gpu-limit)"
        assert f"Warning: dask-colocate: container worker {asked}" in str(said.value)
        kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("cluster", workers=1))

        def notes() -> str:
            return " ".join(each["message"] for each in bed.api.items(f"/api/v1/namespaces/{namespace}/events"))

        bed.wait(lambda: "exceeded quota: gpus" in notes(), namespace, "the ReplicaSet says why")
        describe = ("describe", "-n", namespace, "daskcluster", "rapids-dask-cluster")
        bed.wait(lambda: asked in kubectl(*describe).stdout, namespace, "the cluster says who asked")
