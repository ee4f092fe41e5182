"""Helm install, upgrade, rollback and uninstall, and `kubectl apply -k`, on a real API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.node.release import Cluster, Release

if TYPE_CHECKING:
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl

KUSTOMIZE = Path(__file__).parents[2] / "deploy" / "kustomize"
NAME = "life"
FULL = "life-dask-colocate"
SECRET = f"/api/v1/namespaces/{NAME}/secrets/{FULL}-certificates"
CONFIGURATION = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{FULL}"


@pytest.fixture
def release(bed: Bed) -> Release:
    """Create a namespace and return a release that is not installed yet."""
    bed.api.create("/api/v1/namespaces", {"metadata": {"name": NAME}})
    account = f"/api/v1/namespaces/{NAME}/serviceaccounts"
    maps = f"/api/v1/namespaces/{NAME}/configmaps"
    bed.wait(
        lambda: bool(bed.api.items(account) and bed.api.items(maps)), NAME, "the default objects of a namespace", 20
    )
    return Release(cluster=Cluster(kubeconfig=bed.plane.kubeconfig), name=NAME, namespace=NAME)


def test_release_lifecycle(bed: Bed, release: Release) -> None:
    """Each step needs one command, upgrades keep the certificates, and uninstall leaves no object."""
    before = release.cluster.names(NAME)
    notes = release.install()
    assert "kubectl annotate namespace" in notes
    write_certificates(bed)
    changed = Release(cluster=release.cluster, name=NAME, namespace=NAME, settings=("replicas=3",))
    changed.upgrade()
    assert release.cluster.json("get", "deployment", FULL, "-n", NAME)["spec"]["replicas"] == 3
    assert certificates(bed) == ("Y2VydA==", {"UEVN"})
    release.rollback(1)
    assert release.cluster.json("get", "deployment", FULL, "-n", NAME)["spec"]["replicas"] == 2
    assert certificates(bed) == ("Y2VydA==", {"UEVN"})
    release.uninstall()
    added = release.cluster.names(NAME) - before
    left = {name for name in added if not name.startswith(("pod/", "endpointslice"))}
    assert not left


def write_certificates(bed: Bed) -> None:
    """Fill the Secret and publish the CA bundle, as a replica does."""
    bed.api.merge(SECRET, {"data": {"tls.crt": "Y2VydA=="}})
    webhooks = bed.api.get(CONFIGURATION)["webhooks"]
    for webhook in webhooks:
        webhook["clientConfig"]["caBundle"] = "UEVN"
    patch = [{"op": "replace", "path": "/webhooks", "value": webhooks}]
    kubectl = ["patch", "mutatingwebhookconfiguration", FULL, "--type=json", "-p", json.dumps(patch)]
    bed.kubectl(*kubectl)


def certificates(bed: Bed) -> tuple[str, set[str]]:
    """Return the certificate in the Secret and the published CA bundles."""
    webhooks = bed.api.get(CONFIGURATION)["webhooks"]
    return bed.api.get(SECRET)["data"]["tls.crt"], {webhook["clientConfig"].get("caBundle") for webhook in webhooks}


def test_kustomize_is_accepted(kubectl: Kubectl) -> None:
    """A server-side dry run of `kubectl apply -k` is accepted without warnings once the namespace exists."""
    kubectl("apply", "-f", str(KUSTOMIZE / "namespace.yaml"))
    try:
        output = kubectl("apply", "--dry-run=server", "-k", str(KUSTOMIZE))
        assert not output.warnings
        assert output.stdout.count("(server dry run)") == output.stdout.count("\n") > 10
    finally:
        kubectl("delete", "-f", str(KUSTOMIZE / "namespace.yaml"), "--wait=false")
