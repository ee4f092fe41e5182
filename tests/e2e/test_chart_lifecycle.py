"""Helm install, upgrade, rollback and uninstall, and `kubectl apply -k`, on a real API server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.bed.binaries import CONTROL_PLANE, locate
from tests.e2e.node.release import Cluster, Release

if TYPE_CHECKING:
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
KUSTOMIZE = Path(__file__).parents[2] / "deploy" / "kustomize"
NAME = "life"
FULL = "life-dask-colocate"
OVERLAY = "dask-colocate"
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
        kubectl("delete", "-f", str(KUSTOMIZE / "namespace.yaml"))


def test_local_recipes_are_accepted(bed: Bed, kubectl: Kubectl) -> None:
    """Each recipe has six commands; their kubectl commands install the local image and enable the namespace default."""
    recipes = [commands(EXAMPLES / name) for name in ("kind.sh", "minikube.sh")]
    assert [len(each) for each in recipes] == [6, 6]
    apply, _rollout, annotate = recipes[0][3:]  # the test bed has no kubelet for the rollout
    assert recipes[1][3:] == recipes[0][3:]
    try:
        for command in (apply, annotate):
            program, *arguments = command.replace("deploy/examples", str(EXAMPLES)).split()
            assert program == "kubectl"
            assert not kubectl(*arguments).warnings
        deployment = bed.api.get(f"/apis/apps/v1/namespaces/{OVERLAY}/deployments/{OVERLAY}")["spec"]
        (container,) = deployment["template"]["spec"]["containers"]
        assert (deployment["replicas"], container["image"]) == (1, "dask-colocate:local")
        enabled = bed.api.get("/api/v1/namespaces/default")["metadata"]["annotations"]
        assert enabled["colocate.dask.org/enabled"] == "true"
    finally:
        kubectl("annotate", "namespace", "default", "colocate.dask.org/enabled-")
        kubectl("delete", "-k", str(EXAMPLES / "local"), "--ignore-not-found")


def commands(recipe: Path) -> list[str]:
    """Return the commands of a recipe."""
    return [each for each in recipe.read_text().splitlines() if not each.startswith("#")]


def test_kubectl_finds_the_command(tmp_path: Path) -> None:
    """`kubectl dask-colocate` runs the installed program: kubectl looks for its name with an underscore."""
    scripts = tomllib.loads((EXAMPLES.parents[1] / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["kubectl-dask_colocate"] == scripts["dask-colocate"]
    plugin = tmp_path / "kubectl-dask_colocate"
    plugin.write_text(f'#!/bin/sh\nexec {sys.executable} -m webhook "$@"\n')
    plugin.chmod(0o755)
    (program,) = locate(tuple(each for each in CONTROL_PLANE if each.name == "kubectl")).values()
    done = subprocess.run(
        [str(program), "dask-colocate", "--version"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert done.stdout.strip() == version("dask-colocate")
