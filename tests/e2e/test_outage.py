"""The webhook is gone: other people's work goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.examples import CLUSTERS, manifest
from tests.e2e.webhook_process import ENABLED, installed

if TYPE_CHECKING:
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl, NamespaceFactory


def test_webhook_down_stops_nobody(bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory) -> None:
    """With the webhook stopped clusters are still created, as their users wrote them."""
    with installed(bed) as served:
        served.process.stop()
        name = make_namespace(ENABLED)
        kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=1))
    spec = bed.api.get(CLUSTERS.format(name, "rapids-dask-cluster"))["spec"]
    assert spec["worker"]["spec"]["containers"][0]["args"][0] == "dask-worker"
