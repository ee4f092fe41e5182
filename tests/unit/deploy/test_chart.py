"""The chart as helm sees it: what it accepts, what it refuses, and what it renders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.unit.deploy.chart import CHART, NAME, only, rendered, run
from webhook.policy import ANNOTATIONS

if TYPE_CHECKING:
    from tests.unit.deploy.chart import Object

# Every switch that adds or changes objects, on.
EVERYTHING = (
    "namespace.create=true",
    "monitoring.serviceMonitor.enabled=true",
    "monitoring.prometheusRule.enabled=true",
    "monitoring.dashboard.enabled=true",
    "priorityClassName=system-cluster-critical",
    "events.enabled=true",
    "capacityHints=true",
    "networkPolicy.apiServerPorts={443,6443}",
    "webhook.aksEnforcerDisabled=true",
    "webhook.excludeNamespaces={monitoring}",
    "defaults.enabled=true",
    "defaults.gpu-limit=2",
)
CERTIFICATES = {
    "self-managed": (),
    "cert-manager": ("certificates.mode=cert-manager",),
    "files": ("certificates.mode=files", "certificates.files.secret=pair", "certificates.files.caBundle=PEM"),
}


def arguments(*settings: str) -> list[str]:
    """What the container is started with."""
    (container,) = only("Deployment", *settings)["spec"]["template"]["spec"]["containers"]
    found: list[str] = container["args"]
    return found


def test_lint_is_clean() -> None:
    """`helm lint --strict` has nothing to say against the defaults or against everything switched on."""
    for settings in ((), EVERYTHING, *CERTIFICATES.values()):
        flags = [flag for setting in settings for flag in ("--set", setting)]
        done = run("lint", "--strict", str(CHART), *flags)
        assert "0 chart(s) failed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("replcas=3", "at '': additional properties 'replcas'"),
        ("webhook.timeout=3", "at '/webhook': additional properties 'timeout'"),
        ("monitoring.serviceMonitor.enable=true", "at '/monitoring/serviceMonitor': additional properties 'enable'"),
        ("defaults.gpu-limits=1", "at '/defaults': additional properties 'gpu-limits'"),
        ("certificates.certManager.issuerRef.nme=x", "at '/certificates/certManager/issuerRef'"),
        ("webhook.timeoutSeconds=30", "at '/webhook/timeoutSeconds': maximum"),
        ("webhook.failurePolicy=ignore", "at '/webhook/failurePolicy': value must be one of"),
        ("image.digest=latest", "at '/image/digest'"),
        ("defaults.mode=warning", "at '/defaults/mode'"),
    ],
)
def test_schema_names_what_is_wrong(setting: str, path: str) -> None:
    """A misspelled or impossible value is refused, and its path is said."""
    done = run("template", NAME, str(CHART), "--set", setting)
    assert done.returncode
    assert path in done.stderr


def test_schema_knows_every_value() -> None:
    """Each value of values.yaml is in the schema and the other way round, so that neither grows alone."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    differing: list[str] = []

    def compare(schema: Object, values: Object, path: str) -> None:
        known = set(schema["properties"]) - {"global"}
        differing.extend(f"{path}/{name}" for name in known ^ set(values))
        for name in known & set(values):
            if schema["properties"][name].get("additionalProperties") is False and values[name]:
                compare(schema["properties"][name], values[name], f"{path}/{name}")

    compare(schema, values, "")
    assert not differing


def test_every_annotation_has_a_default_to_set() -> None:
    """`defaults` takes exactly the namespace annotations that the webhook knows."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]["defaults"]["properties"]) == {each.name for each in ANNOTATIONS}


def test_defaults_reach_the_webhook() -> None:
    """Installation defaults arrive as the one flag that the webhook reads them from."""
    assert "--defaults=enabled=true; gpu-limit=2" in arguments("defaults.enabled=true", "defaults.gpu-limit=2")
    assert not [each for each in arguments() if each.startswith("--defaults")]


def test_version_that_yaml_would_round_is_refused() -> None:
    """24.10 without quotes is the number 24.1: refused, rather than another version."""
    done = run("template", NAME, str(CHART), "--set-json", 'defaults={"dask-cuda-version": 24.10}')
    assert "at '/defaults/dask-cuda-version'" in done.stderr


def test_kubelets_port_is_refused_on_the_hosts_network() -> None:
    """The host's network with the kubelet's port fails while rendering, not on each node."""
    done = run("template", NAME, str(CHART), "--set", "hostNetwork=true,port=10250")
    assert "kubelet" in done.stderr


def test_platform_settings() -> None:
    """GKE's port, EKS's host network and AKS's enforcer arrive where they have to."""
    assert "--port=10250" in arguments("port=10250")
    pod = only("Deployment", "hostNetwork=true")["spec"]["template"]["spec"]
    assert pod["hostNetwork"]
    assert pod["dnsPolicy"] == "ClusterFirstWithHostNet"
    about = only("MutatingWebhookConfiguration", "webhook.aksEnforcerDisabled=true")["metadata"]
    assert about["annotations"] == {"admissions.enforcer/disabled": "true"}
    quota = only("ResourceQuota", "priorityClassName=system-cluster-critical")
    assert quota["spec"]["scopeSelector"]["matchExpressions"][0]["values"] == ["system-cluster-critical"]


def test_webhooks_leave_out_what_could_lock_a_cluster() -> None:
    """The system's namespaces, the release's own and those asked for are never sent to the webhook."""
    configuration = only("MutatingWebhookConfiguration", "webhook.excludeNamespaces={monitoring}")
    for webhook in configuration["webhooks"]:
        (expression,) = webhook["namespaceSelector"]["matchExpressions"]
        assert expression["operator"] == "NotIn"
        assert {"kube-system", "kube-public", "kube-node-lease", NAME, "monitoring"} == set(expression["values"])
        assert webhook["failurePolicy"] == "Ignore"
        assert webhook["timeoutSeconds"] <= 5


@pytest.mark.parametrize("mode", CERTIFICATES)
def test_certificates(mode: str) -> None:
    """Each mode's flags and objects fit together: who issues, who says whom to trust, who may do so."""
    settings = CERTIFICATES[mode]
    kinds = {each["kind"] for each in rendered(*settings)}
    flag = {"self-managed": "self-managed", "cert-manager": "injected", "files": "files"}[mode]
    assert f"--certs={flag}" in arguments(*settings)
    assert ("Certificate" in kinds) == (mode == "cert-manager")
    assert ("Role" in kinds) == (mode == "self-managed")
    configuration = only("MutatingWebhookConfiguration", *settings)
    bundles = {each["clientConfig"].get("caBundle") for each in configuration["webhooks"]}
    assert bundles == ({"UEVN"} if mode == "files" else {None})
    injected = configuration["metadata"].get("annotations", {}).get("cert-manager.io/inject-ca-from")
    assert injected == (f"{NAME}/{NAME}" if mode == "cert-manager" else None)


def test_secret_has_no_content() -> None:
    """The chart's Secret names no data: an upgrade or a GitOps sync would otherwise empty it."""
    assert set(only("Secret")) == {"apiVersion", "kind", "metadata", "type"}


@pytest.mark.parametrize("mode", CERTIFICATES)
def test_rights_are_the_least(mode: str) -> None:
    """Namespaces are read, its own Secret and configuration are named; there is no other rule and no star."""
    rules = [
        rule
        for each in rendered(*CERTIFICATES[mode])
        if each["kind"] in {"Role", "ClusterRole"}
        for rule in each["rules"]
    ]
    for rule in rules:
        named = rule.get("resourceNames", [])
        assert rule["resources"] == ["namespaces"] or (all(NAME in name for name in named) and named)
        assert set(rule["verbs"]) <= {"get", "list", "watch", "patch"}
    assert len(rules) == {"self-managed": 3, "cert-manager": 2, "files": 1}[mode]


def test_capacity_hints_bring_their_rights() -> None:
    """The switch passes the flag, and grants to list and watch what hints are made of; off, neither is there."""
    plain, hinting = (only("ClusterRole", *each)["rules"] for each in ((), ("capacityHints=true",)))
    assert [rule for rule in hinting if rule not in plain] == [
        {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list", "watch"]},
        {
            "apiGroups": ["kubernetes.dask.org"],
            "resources": ["daskclusters", "daskworkergroups"],
            "verbs": ["list", "watch"],
        },
        {
            "apiGroups": ["resource.k8s.io"],
            "resources": ["deviceclasses", "resourceclaims", "resourceslices"],
            "verbs": ["list", "watch"],
        },
    ]
    assert "--capacity-hints" in arguments("capacityHints=true")
    assert "--capacity-hints" not in arguments()


def test_rights_to_devices_need_an_api_server_that_serves_them() -> None:
    """Helm grants the rights to `resource.k8s.io` only where the cluster serves its version 1."""
    template = (CHART / "templates" / "rbac.yaml").read_text()
    before, _, after = template.partition('{{- if .Capabilities.APIVersions.Has "resource.k8s.io/v1" }}')
    assert "resource.k8s.io]" not in before
    assert "resource.k8s.io]" in after.partition("{{- end }}")[0]


@pytest.mark.parametrize("settings", [(), EVERYTHING, CERTIFICATES["cert-manager"]], ids=["plain", "all", "mounted"])
def test_pods_comply_with_restricted(settings: tuple[str, ...]) -> None:
    """The Pod Security Standard `restricted`, beside a read-only root, for the webhook and the chart's test."""
    pods = [each["spec"] for each in rendered(*settings) if each["kind"] == "Pod"]
    pods.append(only("Deployment", *settings)["spec"]["template"]["spec"])
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert all(set(each) & {"secret", "configMap"} for each in pod.get("volumes", []))
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "cpu" not in container["resources"]["limits"]


def test_rollouts_keep_two_replicas() -> None:
    """No replica goes before its successor is ready, and a leaving one has time to be taken off the Service."""
    spec = only("Deployment")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    (drain,) = (int(each.partition("=")[2]) for each in arguments() if each.startswith("--drain-seconds="))
    # uvicorn gives answers that are under way 5 s more
    assert 0 < sleep < sleep + drain + 5 < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("mode", CERTIFICATES)
def test_labels_and_names(mode: str) -> None:
    """Every object carries the recommended labels and those asked for, and none is named twice."""
    objects = rendered(*EVERYTHING, *CERTIFICATES[mode], "commonLabels.team=gpu")
    seen = set()
    for each in objects:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == NAME
        if each["kind"] != "Pod":
            assert labels["app.kubernetes.io/part-of"] == NAME
            assert labels["team"] == "gpu"
            assert labels["helm.sh/chart"].startswith(NAME)
        seen.add((each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]))
    assert len(seen) == len(objects)


def test_selectors_find_the_pods_and_nothing_else() -> None:
    """Service, PodDisruptionBudget and NetworkPolicy select the webhook's pods, and not the chart's test pod."""
    labels = only("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        only("Service")["spec"]["selector"],
        only("Deployment")["spec"]["selector"]["matchLabels"],
        only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    (check,) = (each for each in rendered() if each["kind"] == "Pod")
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= check["metadata"]["labels"].items()


def test_release_with_any_name() -> None:
    """A release's name that does not say what it is gets the chart's; references follow it everywhere."""
    done = run("template", "prod", str(CHART), "--namespace", "gpu")
    assert not done.returncode, done.stderr
    objects = [each for each in yaml.safe_load_all(done.stdout) if each]
    (configuration,) = (each for each in objects if each["kind"] == "MutatingWebhookConfiguration")
    service = configuration["webhooks"][0]["clientConfig"]["service"]
    assert (service["name"], service["namespace"]) == ("prod-dask-colocate", "gpu")
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"--service=prod-dask-colocate", "--service-namespace=gpu"} <= set(container["args"])
