"""`status` on all that is deployed: what is wrong with it is found, and mended by the command that is given."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.bed.api import WEBHOOKS
from tests.e2e.status_process import document, mended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.bed.bed import Bed

KUSTOMIZE = Path(__file__).parents[2] / "deploy" / "kustomize"


@pytest.fixture
def installation(bed: Bed, gpu_nodes: list[str]) -> Iterator[Bed]:
    """All that is deployed, with kwok in the place of kubelets: the replicas are ready and answer nobody."""
    assert gpu_nodes  # for the pods to stand on
    bed.kubectl("apply", "-k", str(KUSTOMIZE))
    bed.kubectl("rollout", "status", "-n", "dask-colocate", "deployment/dask-colocate", "--timeout=60s")
    yield bed
    bed.kubectl("delete", "-k", str(KUSTOMIZE), "--wait=false")


def put_certificate_in_force(bed: Bed) -> None:
    """What the replicas would do: a certificate in the Secret, its authority in every caBundle."""
    pair = bed.plane.authority.issue("deployed", ["dask-colocate.dask-colocate.svc"])
    files = {"tls.crt": pair.certificate, "tls.key": pair.key}
    data = {key: base64.b64encode(path.read_bytes()).decode() for key, path in files.items()}
    bed.api.merge("/api/v1/namespaces/dask-colocate/secrets/dask-colocate-certificates", {"data": data})
    path = f"{WEBHOOKS}/dask-colocate"
    webhooks = bed.api.get(path)["webhooks"]
    for each in webhooks:
        each["clientConfig"]["caBundle"] = base64.b64encode(bed.plane.ca.read_bytes()).decode()
    bed.api.merge(path, {"webhooks": webhooks})


def test_what_is_deployed_is_found_and_judged(installation: Bed) -> None:
    """Service, replicas, Secret and caBundle are found from the webhook configuration; what is wrong is mended."""
    found = document(installation)
    assert {each["where"] for each in found["findings"] if each["care"]} == {"secret/dask-colocate-certificates"}
    put_certificate_in_force(installation)
    found = document(installation)
    assert [each for each in found["findings"] if each["care"]] == []
    webhook = found["installation"]
    assert (webhook["service"], webhook["ready"], webhook["endpoints"]) == ("dask-colocate/dask-colocate", 2, 2)
    assert webhook["expires"] > found["at"]
    installation.kubectl("scale", "-n", "dask-colocate", "deployment/dask-colocate", "--replicas=0")
    installation.wait(lambda: not document(installation)["installation"]["endpoints"], "dask-colocate", "no endpoints")
    care = [each for each in document(installation)["findings"] if each["care"]]
    assert {each["where"] for each in care} == {"service/dask-colocate", "deployment/dask-colocate"}
    (scaled,) = (each for each in care if each["where"] == "deployment/dask-colocate")
    mended(installation, scaled)
    installation.kubectl("rollout", "status", "-n", "dask-colocate", "deployment/dask-colocate", "--timeout=60s")
    installation.wait(lambda: document(installation)["exit_status"] == 0, "dask-colocate", "all is in order")
