"""Admission while the webhook is down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.examples import CLUSTERS, manifest
from tests.e2e.webhook_process import ENABLED, installed

if TYPE_CHECKING:
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl, NamespaceFactory


def test_cluster_is_created_while_the_webhook_is_down(
    bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory
) -> None:
    """While the webhook is stopped, the API server creates clusters unmodified."""
    with installed(bed) as served:
        served.process.stop()
        name = make_namespace(ENABLED)
        kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=1))
    spec = bed.api.get(CLUSTERS.format(name, "rapids-dask-cluster"))["spec"]
    assert spec["worker"]["spec"]["containers"][0]["args"][0] == "dask-worker"
