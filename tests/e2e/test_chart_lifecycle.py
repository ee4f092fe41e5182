"""helm install, upgrade, rollback and uninstall each leave the API server clean, and so does kubectl apply -k."""

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
    """A release in a namespace of its own, not yet installed."""
    bed.api.create("/api/v1/namespaces", {"metadata": {"name": NAME}})
    account = f"/api/v1/namespaces/{NAME}/serviceaccounts"
    maps = f"/api/v1/namespaces/{NAME}/configmaps"
    bed.wait(lambda: bool(bed.api.items(account) and bed.api.items(maps)), NAME, "what any namespace gets", 20)
    return Release(cluster=Cluster(kubeconfig=bed.plane.kubeconfig), name=NAME, namespace=NAME)


def test_life_of_a_release(bed: Bed, release: Release) -> None:
    """Each step works without a second one; certificates in force survive the changes; at the end all is as before."""
    before = release.cluster.names(NAME)
    notes = release.install()
    assert "kubectl annotate namespace" in notes
    renew(bed)
    changed = Release(cluster=release.cluster, name=NAME, namespace=NAME, settings=("replicas=3",))
    changed.upgrade()
    assert release.cluster.json("get", "deployment", FULL, "-n", NAME)["spec"]["replicas"] == 3
    assert kept(bed) == ("Y2VydA==", {"UEVN"})
    release.rollback(1)
    assert release.cluster.json("get", "deployment", FULL, "-n", NAME)["spec"]["replicas"] == 2
    assert kept(bed) == ("Y2VydA==", {"UEVN"})
    release.uninstall()
    left = {each for each in release.cluster.names(NAME) - before if not each.startswith(("pod/", "endpointslice"))}
    assert not left


def renew(bed: Bed) -> None:
    """What a replica does: fill the Secret, put the bundle in force."""
    bed.api.merge(SECRET, {"data": {"tls.crt": "Y2VydA=="}})
    webhooks = bed.api.get(CONFIGURATION)["webhooks"]
    for webhook in webhooks:
        webhook["clientConfig"]["caBundle"] = "UEVN"
    patch = [{"op": "replace", "path": "/webhooks", "value": webhooks}]
    kubectl = ["patch", "mutatingwebhookconfiguration", FULL, "--type=json", "-p", json.dumps(patch)]
    bed.kubectl(*kubectl)


def kept(bed: Bed) -> tuple[str, set[str]]:
    """The Secret's certificate and the bundles in force."""
    webhooks = bed.api.get(CONFIGURATION)["webhooks"]
    return bed.api.get(SECRET)["data"]["tls.crt"], {each["clientConfig"].get("caBundle") for each in webhooks}


def test_kustomize_is_accepted(kubectl: Kubectl) -> None:
    """A server-side dry run of `kubectl apply -k` is accepted whole, once its namespace is there."""
    kubectl("apply", "-f", str(KUSTOMIZE / "namespace.yaml"))
    try:
        said = kubectl("apply", "--dry-run=server", "-k", str(KUSTOMIZE))
        assert not said.warnings
        assert said.stdout.count("(server dry run)") == said.stdout.count("\n") > 10
    finally:
        kubectl("delete", "-f", str(KUSTOMIZE / "namespace.yaml"), "--wait=false")
