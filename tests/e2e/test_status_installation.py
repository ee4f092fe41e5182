"""`status` of a complete installation: issues, and the commands that fix them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.bed.api import WEBHOOKS
from tests.e2e.status_process import apply_fix, document, issues

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.bed.bed import Bed

KUSTOMIZE = Path(__file__).parents[2] / "deploy" / "kustomize"


@pytest.fixture
def installation(bed: Bed, gpu_nodes: list[str]) -> Iterator[Bed]:
    """Install with kustomize. kwok simulates the kubelets: replicas are ready and do not listen."""
    assert gpu_nodes  # the replicas need nodes
    bed.kubectl("apply", "-k", str(KUSTOMIZE))
    bed.kubectl("rollout", "status", "-n", "dask-colocate", "deployment/dask-colocate", "--timeout=60s")
    yield bed
    bed.kubectl("delete", "-k", str(KUSTOMIZE), "--wait=false")


def publish_certificate(bed: Bed) -> None:
    """Do what replicas do: store a certificate in the Secret, and its CA in every caBundle."""
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
    """Service, replicas, Secret and caBundle are found from the webhook configuration, and fixes work."""
    assert [issue["object"] for issue in issues(document(installation))] == ["secret/dask-colocate-certificates"]
    publish_certificate(installation)
    report = document(installation)
    assert issues(report) == []
    webhook = report["installation"]
    assert (webhook["service"], webhook["ready"], webhook["endpoints"]) == ("dask-colocate/dask-colocate", 2, 2)
    assert webhook["expires"] > report["at"]
    installation.kubectl("scale", "-n", "dask-colocate", "deployment/dask-colocate", "--replicas=0")
    installation.wait(lambda: not document(installation)["installation"]["endpoints"], "dask-colocate", "no endpoints")
    fixes = {issue["object"]: issue for issue in issues(document(installation))}
    assert fixes.keys() == {"service/dask-colocate", "deployment/dask-colocate"}
    apply_fix(installation, fixes["deployment/dask-colocate"])
    installation.kubectl("rollout", "status", "-n", "dask-colocate", "deployment/dask-colocate", "--timeout=60s")
    installation.wait(lambda: document(installation)["exit_status"] == 0, "dask-colocate", "no issues")
