"""`dask-colocate status` on the deployed manifests: findings about the installation, and their commands."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.bed.api import WEBHOOKS
from tests.e2e.status_process import document, run_fix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.bed.bed import Bed

KUSTOMIZE = Path(__file__).parents[2] / "deploy" / "kustomize"


@pytest.fixture
def installation(bed: Bed, gpu_nodes: list[str]) -> Iterator[Bed]:
    """Apply the deployed manifests. kwok replaces the kubelets: the replicas are ready but do not respond."""
    assert gpu_nodes  # for the replicas
    bed.kubectl("apply", "-k", str(KUSTOMIZE))
    bed.kubectl("rollout", "status", "-n", "dask-colocate", "deployment/dask-colocate", "--timeout=60s")
    yield bed
    bed.kubectl("delete", "-k", str(KUSTOMIZE), "--wait=false")


def publish_certificate(bed: Bed) -> None:
    """Write a certificate to the Secret and its CA to every caBundle, as the replicas do."""
    pair = bed.plane.authority.issue("deployed", ["dask-colocate.dask-colocate.svc"])
    files = {"tls.crt": pair.certificate, "tls.key": pair.key}
    data = {key: base64.b64encode(path.read_bytes()).decode() for key, path in files.items()}
    bed.api.merge("/api/v1/namespaces/dask-colocate/secrets/dask-colocate-certificates", {"data": data})
    path = f"{WEBHOOKS}/dask-colocate"
    webhooks = bed.api.get(path)["webhooks"]
    for webhook in webhooks:
        webhook["clientConfig"]["caBundle"] = base64.b64encode(bed.plane.ca.read_bytes()).decode()
    bed.api.merge(path, {"webhooks": webhooks})


def test_installation_is_checked(installation: Bed) -> None:
    """`status` finds Service, replicas, Secret and caBundle of the webhook, and its command fixes a finding."""
    report = document(installation)
    assert {finding["where"] for finding in report["findings"] if finding["care"]} == {
        "secret/dask-colocate-certificates"
    }
    publish_certificate(installation)
    report = document(installation)
    assert [finding for finding in report["findings"] if finding["care"]] == []
    webhook = report["installation"]
    assert (webhook["service"], webhook["ready"], webhook["endpoints"]) == ("dask-colocate/dask-colocate", 2, 2)
    assert webhook["expires"] > report["at"]
    installation.kubectl("scale", "-n", "dask-colocate", "deployment/dask-colocate", "--replicas=0")
    installation.wait(lambda: not document(installation)["installation"]["endpoints"], "dask-colocate", "no endpoints")
    findings = [finding for finding in document(installation)["findings"] if finding["care"]]
    assert {finding["where"] for finding in findings} == {"service/dask-colocate", "deployment/dask-colocate"}
    (scaled,) = (finding for finding in findings if finding["where"] == "deployment/dask-colocate")
    run_fix(installation, scaled)
    installation.kubectl("rollout", "status", "-n", "dask-colocate", "deployment/dask-colocate", "--timeout=60s")
    installation.wait(lambda: document(installation)["exit_status"] == 0, "dask-colocate", "no findings are left")
