"""The chart in a real API server: a process with what it installs is what answers through the Service."""

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
    """The chart in the bed's API server, and the process that its Deployment would run.

    Attributes:
        release: The release.
        process: The replica.
        client: Talks to it at the Service's address and name, trusting what the API server trusts.
        api: Requests with its ServiceAccount's token.
    """

    release: Release
    process: Process
    client: httpx.Client
    api: Api


@pytest.fixture(scope="module")
def release(bed: Bed) -> Iterator[Release]:
    """`helm install` with no second step; there is no kubelet, so nothing is waited for."""
    bed.api.create("/api/v1/namespaces", {"metadata": {"name": NAME}})
    cluster = Cluster(kubeconfig=bed.plane.kubeconfig)
    held = Release(cluster=cluster, name=NAME, namespace=NAME, settings=("defaults.gpu-limit=2",))
    held.install()
    yield held
    held.uninstall()


@pytest.fixture(scope="module")
def installed(bed: Bed, release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """A replica with the chart's own arguments, environment and ServiceAccount, on the Service's address.

    Only what a kubelet and kube-proxy would do is done here: the token's place, and the port behind the Service.
    """
    path = f"/api/v1/namespaces/{NAME}"
    request: Object = {"spec": {"expirationSeconds": 3600}}
    token = bed.api.create(f"{path}/serviceaccounts/{NAME}/token", request)["status"]["token"]
    folder = tmp_path_factory.mktemp("replica")
    argv, environment = started_as(release, kubeconfig(bed, folder, token))
    address = bed.api.get(f"{path}/services/{NAME}")["spec"]["clusterIP"]
    argv = [f"--port={443}" if each.startswith("--port=") else each for each in argv] + [f"--host={address}"]
    process = bed.plane.spawn("replica", [sys.executable, "-m", "webhook", *argv], environment)
    process.wait_until(lambda: in_force(bed) != b"", 60)
    context = ssl.create_default_context(cadata=in_force(bed).decode())
    transport = httpx.HTTPTransport(verify=context, local_address="127.0.0.1")
    url, name = f"https://{address}", {"sni_hostname": f"{NAME}.{NAME}.svc"}
    with httpx.Client(base_url=url, transport=transport, trust_env=False) as client:
        process.wait_until(lambda: ready(client, name), 60)
        api = Api(bed.plane.url, token, bed.plane.ca)
        yield Installed(release=release, process=process, client=client, api=api)
        api.close()
    process.stop(grace=15)


def ready(client: httpx.Client, name: dict[str, str]) -> bool:
    """Whether the replica says so; it may put its bundle in force before it listens."""
    try:
        return client.get("/readyz", extensions=name).is_success
    except httpx.ConnectError:
        return False


def started_as(release: Release, account: Path) -> tuple[list[str], dict[str, str]]:
    """The container's arguments, with a kubeconfig in the place of the mounted token, and its environment."""
    deployment = release.cluster.json("get", "deployment", "-n", release.namespace, release.name)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each["value"] for each in container.get("env", [])}
    return [*container["args"], f"--kubeconfig={account}"], environment


def kubeconfig(bed: Bed, folder: Path, token: str) -> Path:
    """The API server as the ServiceAccount."""
    config = json.loads(bed.plane.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


def in_force(bed: Bed) -> bytes:
    """The bundle that the API server trusts, PEM; empty before the replica has put one there."""
    webhooks = bed.api.get(f"{WEBHOOKS}/{NAME}")["webhooks"]
    (bundle,) = {each["clientConfig"].get("caBundle", "") for each in webhooks}
    return base64.b64decode(bundle)


def test_clusters_go_through_the_service(
    bed: Bed, kubectl: Kubectl, installed: Installed, make_namespace: NamespaceFactory
) -> None:
    """A plain cluster in an annotated namespace gets everything, by way of Service, Secret and caBundle."""
    assert installed.process.child.poll() is None
    namespace = make_namespace(ENABLED)
    path = CLUSTERS.format(namespace, "rapids-dask-cluster")
    deadline = time.monotonic() + 10  # the API server takes a new configuration up a moment later
    while time.monotonic() < deadline:
        kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("cluster", workers=1))
        (container,) = bed.api.get(path)["spec"]["worker"]["spec"]["containers"]
        if container["args"][0] == "dask-cuda-worker":
            break
        kubectl("delete", "daskcluster", "-n", namespace, "rapids-dask-cluster")
    assert container["args"][0] == "dask-cuda-worker"
    # the chart's `defaults`, not the 1 that ships
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}


def test_metrics_are_all_there(installed: Installed) -> None:
    """Every metric that dashboard and rules ask for is what a running replica shows."""
    families = text_string_to_metric_families(installed.client.get("/metrics").text)
    shown = {f"{each.name}{end}" for each in families if each.type in ENDS for end in ENDS[each.type]}
    assert exposed() <= shown


def test_configuration_is_fully_defaulted(release: Release) -> None:
    """What the API server keeps of the webhooks is what the chart writes, but for caBundle: nothing to drift."""
    kept = release.cluster.json("get", "mutatingwebhookconfiguration", NAME)["webhooks"]
    for webhook in kept:
        webhook["clientConfig"].pop("caBundle", None)
    assert kept == only("MutatingWebhookConfiguration")["webhooks"]


def test_nothing_that_is_rendered_reads_back_otherwise(release: Release) -> None:
    """No value of any object comes back in another spelling or not at all, which a GitOps tool would fight for."""
    for wanted in rendered("defaults.gpu-limit=2"):
        if "helm.sh/hook" in wanted["metadata"].get("annotations", {}):
            continue
        scope = ("-n", NAME) if "namespace" in wanted["metadata"] else ()
        kept = release.cluster.json("get", wanted["kind"], wanted["metadata"]["name"], *scope)
        assert missing(wanted, kept) == []


def missing(wanted: object, kept: object, path: str = "") -> list[str]:
    """Where `kept` lacks what is wanted or has another value; lists have to be as long."""
    if isinstance(wanted, dict) and isinstance(kept, dict):
        return [each for key in wanted for each in missing(wanted[key], kept.get(key), f"{path}/{key}")]
    if isinstance(wanted, list) and isinstance(kept, list) and len(wanted) == len(kept):
        pairs = enumerate(zip(wanted, kept, strict=True))
        return [each for index, (one, other) in pairs for each in missing(one, other, f"{path}/{index}")]
    return [] if wanted == kept else [f"{path}: {wanted!r} != {kept!r}"]


# ---- rights -----------------------------------------------------------------------------------------

SECRET = f"{NAME}-certificates"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")


def test_rights_are_exactly_these(bed: Bed, installed: Installed, namespace: str) -> None:
    """Of every verb on every resource of the API, in its own namespace and another, only the listed are allowed.

    What any ServiceAccount may do, such as asking for its own rights, is taken off.
    """
    ours = {
        (f"{verb} {what}")
        for space in (NAME, namespace)
        for verb, what in allowed(bed, f"system:serviceaccount:{NAME}:{NAME}", space)
    }
    anyone = {
        (f"{verb} {what}")
        for space in (NAME, namespace)
        for verb, what in allowed(bed, f"system:serviceaccount:{namespace}:default", space)
    }
    assert installed.process.child.poll() is None
    assert ours - anyone == {"get namespaces", "list namespaces", "watch namespaces"}


def allowed(bed: Bed, user: str, namespace: str) -> Iterator[tuple[str, str]]:
    """Verb and resource for each that the API server says the user may; names are not given."""
    groups = ["system:serviceaccounts", "system:authenticated", f"system:serviceaccounts:{user.split(':')[2]}"]
    for group, resource in resources(bed.api):
        for verb in (*VERBS, "impersonate", "bind", "escalate", "approve", "sign", "use"):
            asked = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
            plain, _, part = resource.partition("/")
            asked |= {"resource": plain, "subresource": part}
            spec = {"user": user, "groups": groups, "resourceAttributes": asked}
            answer = bed.api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
            if answer["status"]["allowed"]:
                yield verb, resource


def resources(api: Api) -> Iterator[tuple[str, str]]:
    """Group and plural of everything that the API server serves, subresources among them."""
    paths = {"": "/api/v1"}
    for group in api.get("/apis")["groups"]:
        paths[group["name"]] = f"/apis/{group['preferredVersion']['groupVersion']}"
    for group, path in paths.items():
        for each in api.get(path)["resources"]:
            yield group, each["name"]


def test_named_rights_end_at_the_name(bed: Bed, installed: Installed) -> None:
    """Its own Secret and configuration are read and patched, really; any other, and any other verb, is forbidden."""
    bed.api.create(f"/api/v1/namespaces/{NAME}/secrets", {"metadata": {"name": "other"}})
    secrets, api = f"/api/v1/namespaces/{NAME}/secrets", installed.api
    for own in (f"{secrets}/{SECRET}", f"{WEBHOOKS}/{NAME}"):
        assert api.get(own)
        api.merge(own, {"metadata": {"labels": {"tried": "yes"}}})
        assert refused(api.delete, own)
    assert refused(api.get, f"{secrets}/other")
    assert refused(api.get, secrets)
    assert refused(api.get, "/api/v1/namespaces/kube-system/secrets")
    assert refused(api.create, secrets, {"metadata": {"name": "new"}})
    assert refused(api.merge, f"{secrets}/other", {"data": {}})
    assert refused(api.get, WEBHOOKS)
    assert refused(api.create, WEBHOOKS, {"metadata": {"name": "new"}})
    assert refused(api.merge, f"{WEBHOOKS}/another", {"webhooks": []})
    assert refused(api.merge, f"/api/v1/namespaces/{NAME}", {"metadata": {"labels": {"tried": "yes"}}})


def refused(call: object, *arguments: object) -> bool:
    """Whether the API server answers 403."""
    try:
        call(*arguments)  # type: ignore[operator] # a method of Api, whichever
    except ApiError as error:
        return error.status == httpx.codes.FORBIDDEN
    return False
