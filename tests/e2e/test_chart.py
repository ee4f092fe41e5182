"""The chart on a real API server: a process with the chart's settings serves the Service's address."""

from __future__ import annotations

import base64
import json
import ssl
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.bed.api import WEBHOOKS, Api, ApiError
from tests.e2e.examples import CLUSTERS, manifest
from tests.e2e.node.release import Cluster, Release
from tests.e2e.webhook_process import ENABLED
from tests.unit.deploy.chart import only, rendered
from tests.unit.deploy.test_monitoring import ENDS, exposed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.bed.api import Object
    from tests.e2e.bed.bed import Bed
    from tests.e2e.bed.process import Process
    from tests.e2e.conftest import Kubectl, NamespaceFactory

NAME = "dask-colocate"


@dataclass(frozen=True, kw_only=True)
class Installed:
    """Chart on the bed's API server, and the process that its Deployment would run.

    Attributes:
        release: The release.
        process: The replica.
        client: Sends requests to the Service's address and name; trusts the published CA bundle.
        api: Sends requests to the API server with the token of the ServiceAccount.
    """

    release: Release
    process: Process
    client: httpx.Client
    api: Api


@pytest.fixture(scope="module")
def release(bed: Bed) -> Iterator[Release]:
    """Run `helm install`. There is no kubelet, so do not wait for pods."""
    bed.api.create("/api/v1/namespaces", {"metadata": {"name": NAME}})
    cluster = Cluster(kubeconfig=bed.plane.kubeconfig)
    release = Release(cluster=cluster, name=NAME, namespace=NAME, settings=("defaults.gpu-limit=2",))
    release.install()
    yield release
    release.uninstall()


@pytest.fixture(scope="module")
def installed(bed: Bed, release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Start a replica with the chart's arguments, environment and ServiceAccount, on the Service's address.

    The fixture replaces the kubelet, which mounts the token, and kube-proxy, which forwards the port of the Service.
    """
    path = f"/api/v1/namespaces/{NAME}"
    request: Object = {"spec": {"expirationSeconds": 3600}}
    token = bed.api.create(f"{path}/serviceaccounts/{NAME}/token", request)["status"]["token"]
    folder = tmp_path_factory.mktemp("replica")
    argv, environment = started_as(release, kubeconfig(bed, folder, token))
    address = bed.api.get(f"{path}/services/{NAME}")["spec"]["clusterIP"]
    argv = [f"--port={443}" if argument.startswith("--port=") else argument for argument in argv] + [
        f"--host={address}"
    ]
    process = bed.plane.spawn("replica", [sys.executable, "-m", "webhook", *argv], environment)
    process.wait_until(lambda: published_bundle(bed) != b"", 60)
    context = ssl.create_default_context(cadata=published_bundle(bed).decode())
    transport = httpx.HTTPTransport(verify=context, local_address="127.0.0.1")
    url, name = f"https://{address}", {"sni_hostname": f"{NAME}.{NAME}.svc"}
    with httpx.Client(base_url=url, transport=transport, trust_env=False) as client:
        process.wait_until(lambda: ready(client, name), 60)
        api = Api(bed.plane.url, token, bed.plane.ca)
        yield Installed(release=release, process=process, client=client, api=api)
        api.close()
    process.stop(grace=15)


def ready(client: httpx.Client, name: dict[str, str]) -> bool:
    """Return whether the replica is ready; it may publish its CA bundle before it listens."""
    try:
        return client.get("/readyz", extensions=name).is_success
    except httpx.ConnectError:
        return False


def started_as(release: Release, account: Path) -> tuple[list[str], dict[str, str]]:
    """Return the container's arguments, with a kubeconfig instead of the mounted token, and its environment."""
    deployment = release.cluster.json("get", "deployment", "-n", release.namespace, release.name)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    environment = {variable["name"]: variable["value"] for variable in container.get("env", [])}
    return [*container["args"], f"--kubeconfig={account}"], environment


def kubeconfig(bed: Bed, folder: Path, token: str) -> Path:
    """Write a kubeconfig with the token of the ServiceAccount; return its path."""
    config = json.loads(bed.plane.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


def published_bundle(bed: Bed) -> bytes:
    """Return the CA bundle in the webhook configuration as PEM; empty before the replica has published it."""
    webhooks = bed.api.get(f"{WEBHOOKS}/{NAME}")["webhooks"]
    (bundle,) = {webhook["clientConfig"].get("caBundle", "") for webhook in webhooks}
    return base64.b64decode(bundle)


def test_cluster_is_mutated_through_the_service(
    bed: Bed, kubectl: Kubectl, installed: Installed, make_namespace: NamespaceFactory
) -> None:
    """A plain cluster in an annotated namespace is mutated through the chart's Service, Secret and CA bundle."""
    assert installed.process.child.poll() is None
    namespace = make_namespace(ENABLED)
    path = CLUSTERS.format(namespace, "rapids-dask-cluster")
    deadline = time.monotonic() + 10  # the API server loads a new configuration after a delay
    while time.monotonic() < deadline:
        kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("cluster", workers=1))
        (container,) = bed.api.get(path)["spec"]["worker"]["spec"]["containers"]
        if container["args"][0] == "dask-cuda-worker":
            break
        kubectl("delete", "daskcluster", "-n", namespace, "rapids-dask-cluster")
    assert container["args"][0] == "dask-cuda-worker"
    # the chart's `defaults`, not the built-in default 1
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}


def test_all_metrics_are_exposed(installed: Installed) -> None:
    """A running replica exposes every metric that the dashboard and the rules query."""
    families = text_string_to_metric_families(installed.client.get("/metrics").text)
    names = {f"{family.name}{end}" for family in families if family.type in ENDS for end in ENDS[family.type]}
    assert exposed() <= names


def test_configuration_is_fully_defaulted(release: Release) -> None:
    """The API server adds no default to the chart's webhooks; only caBundle differs."""
    stored = release.cluster.json("get", "mutatingwebhookconfiguration", NAME)["webhooks"]
    for webhook in stored:
        webhook["clientConfig"].pop("caBundle", None)
    assert stored == only("MutatingWebhookConfiguration")["webhooks"]


def test_rendered_values_are_stored_unchanged(release: Release) -> None:
    """The API server stores every rendered value unchanged, so that GitOps tools see no difference."""
    for wanted in rendered("defaults.gpu-limit=2"):
        if "helm.sh/hook" in wanted["metadata"].get("annotations", {}):
            continue
        scope = ("-n", NAME) if "namespace" in wanted["metadata"] else ()
        stored = release.cluster.json("get", wanted["kind"], wanted["metadata"]["name"], *scope)
        assert differences(wanted, stored) == []


def differences(wanted: object, stored: object, path: str = "") -> list[str]:
    """Return the paths of wanted values that `stored` lacks or has otherwise; lists must have the same length."""
    if isinstance(wanted, dict) and isinstance(stored, dict):
        return [line for key in wanted for line in differences(wanted[key], stored.get(key), f"{path}/{key}")]
    if isinstance(wanted, list) and isinstance(stored, list) and len(wanted) == len(stored):
        pairs = enumerate(zip(wanted, stored, strict=True))
        return [line for index, (left, right) in pairs for line in differences(left, right, f"{path}/{index}")]
    return [] if wanted == stored else [f"{path}: {wanted!r} != {stored!r}"]


# ---- permissions ------------------------------------------------------------------------------------

SECRET = f"{NAME}-certificates"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")


def test_permissions_are_exactly_these(bed: Bed, installed: Installed, namespace: str) -> None:
    """Of all verbs on all resources, in the webhook's namespace and another, only the listed ones are allowed.

    Permissions of every ServiceAccount, such as to create a SelfSubjectAccessReview, are not counted.
    """
    webhooks = {
        f"{verb} {resource}"
        for space in (NAME, namespace)
        for verb, resource in allowed(bed, f"system:serviceaccount:{NAME}:{NAME}", space)
    }
    every_account = {
        f"{verb} {resource}"
        for space in (NAME, namespace)
        for verb, resource in allowed(bed, f"system:serviceaccount:{namespace}:default", space)
    }
    assert installed.process.child.poll() is None
    assert webhooks - every_account == {"get namespaces", "list namespaces", "watch namespaces"}


def allowed(bed: Bed, user: str, namespace: str) -> Iterator[tuple[str, str]]:
    """Yield verb and resource of each request without a name that the API server allows the user."""
    groups = ["system:serviceaccounts", "system:authenticated", f"system:serviceaccounts:{user.split(':')[2]}"]
    for group, resource in resources(bed.api):
        for verb in (*VERBS, "impersonate", "bind", "escalate", "approve", "sign", "use"):
            attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
            plain, _, part = resource.partition("/")
            attributes |= {"resource": plain, "subresource": part}
            spec = {"user": user, "groups": groups, "resourceAttributes": attributes}
            review = bed.api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
            if review["status"]["allowed"]:
                yield verb, resource


def resources(api: Api) -> Iterator[tuple[str, str]]:
    """Yield group and plural name of all resources of the API server, including subresources."""
    paths = {"": "/api/v1"}
    for group in api.get("/apis")["groups"]:
        paths[group["name"]] = f"/apis/{group['preferredVersion']['groupVersion']}"
    for group, path in paths.items():
        for resource in api.get(path)["resources"]:
            yield group, resource["name"]


def test_permissions_by_name_exclude_other_names(bed: Bed, installed: Installed) -> None:
    """The webhook can read and patch its own Secret and configuration; other objects and verbs are forbidden."""
    bed.api.create(f"/api/v1/namespaces/{NAME}/secrets", {"metadata": {"name": "other"}})
    secrets, api = f"/api/v1/namespaces/{NAME}/secrets", installed.api
    for own in (f"{secrets}/{SECRET}", f"{WEBHOOKS}/{NAME}"):
        assert api.get(own)
        api.merge(own, {"metadata": {"labels": {"changed": "yes"}}})
        assert forbidden(api.delete, own)
    assert forbidden(api.get, f"{secrets}/other")
    assert forbidden(api.get, secrets)
    assert forbidden(api.get, "/api/v1/namespaces/kube-system/secrets")
    assert forbidden(api.create, secrets, {"metadata": {"name": "new"}})
    assert forbidden(api.merge, f"{secrets}/other", {"data": {}})
    assert forbidden(api.get, WEBHOOKS)
    assert forbidden(api.create, WEBHOOKS, {"metadata": {"name": "new"}})
    assert forbidden(api.merge, f"{WEBHOOKS}/another", {"webhooks": []})
    assert forbidden(api.merge, f"/api/v1/namespaces/{NAME}", {"metadata": {"labels": {"changed": "yes"}}})


def forbidden(call: object, *arguments: object) -> bool:
    """Return whether the API server responds with 403."""
    try:
        call(*arguments)  # type: ignore[operator] # any method of Api
    except ApiError as error:
        return error.status == httpx.codes.FORBIDDEN
    return False
