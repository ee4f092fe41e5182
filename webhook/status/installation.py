"""Findings about the webhook's configuration and replicas.

An installation is found without its release name: by the names of its webhooks, then the Service that they call, the
Deployment whose pods that Service selects, and the Secret that the Deployment serves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from webhook.mutators.selector import matches
from webhook.policy import Policy
from webhook.policy.defaults import SettingsError, default_policy
from webhook.status.model import Finding
from webhook.status.snapshot import Snapshot, name, namespace
from webhook.workloads.unstructured import Unstructured, mapping, sequence, text, texts

WEBHOOKS = ("resources.colocate.dask.org", "pods.colocate.dask.org")
_RESOURCES = {WEBHOOKS[0]: {"daskclusters", "daskworkergroups", "daskjobs"}, WEBHOOKS[1]: {"pods"}}
INSTALL = (
    "helm install dask-colocate deploy/chart -n dask-colocate --create-namespace"
    " --set image.repository=REGISTRY/dask-colocate"
)
_PART_OF = "app.kubernetes.io/part-of"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationParts:
    """Objects of one installation; None if an object does not exist or is not readable.

    Attributes:
        configuration: MutatingWebhookConfiguration.
        service: Service that it calls.
        deployment: Deployment of the Service's pods.
        secret: Secret with the serving certificate, without its private key.
    """

    configuration: Unstructured
    service: Unstructured = None
    deployment: Unstructured = None
    secret: Unstructured = None

    @property
    def title(self) -> str:
        """Return `kind/name` of the configuration."""
        return f"mutatingwebhookconfiguration/{name(self.configuration)}"

    @property
    def called(self) -> tuple[str, str] | None:
        """Return namespace and name of the Service; None if the webhooks have a URL."""
        return next(iter(called_services([self.configuration])), None)

    @property
    def webhooks(self) -> Sequence[Unstructured]:
        """Return the webhooks of the configuration."""
        return sequence(self.configuration, "webhooks")

    @property
    def upgrade(self) -> str:
        """Return the command that restores every object of the installation."""
        return f"helm upgrade {self._release} --reuse-values" if self._by_helm else "kubectl apply -k deploy/kustomize"

    def upgrade_with(self, setting: str) -> str:
        """Return the command that also sets `NAME=VALUE` of the chart; without a release it renders the chart."""
        if self._by_helm:
            return f"{self.upgrade} --set {setting}"
        (container, *_) = (*sequence(self.deployment, "spec", "template", "spec", "containers"), {})
        repository, _, tag = (text(container, "image") or "REGISTRY/dask-colocate:TAG").rpartition(":")
        image = f"image.repository={repository},image.tag={tag}"
        return f"helm template {self._release} --set {image},{setting} | kubectl apply -f -"

    @property
    def restart(self) -> str:
        """Return the command that restarts the replicas, which check their certificate when they start."""
        return f"kubectl rollout restart deployment/{name(self.deployment)} -n {namespace(self.deployment)}"

    @property
    def _by_helm(self) -> bool:
        return texts(self.configuration, "metadata", "labels").get("app.kubernetes.io/managed-by") == "Helm"

    @property
    def _release(self) -> str:
        """Return release, chart and namespace as arguments of helm."""
        release = texts(self.configuration, "metadata", "labels").get("app.kubernetes.io/instance", "dask-colocate")
        where = self.called or ("dask-colocate", "")
        return f"{release} deploy/chart -n {where[0]}"


# ---- objects of an installation -----------------------------------------------------------------------


def has_webhooks(configuration: Unstructured) -> bool:
    """Return whether a MutatingWebhookConfiguration has a webhook of dask-colocate."""
    return any(text(webhook, "name") in WEBHOOKS for webhook in sequence(configuration, "webhooks"))


def called_services(configurations: Sequence[Unstructured]) -> tuple[tuple[str, str], ...]:
    """Return namespace and name of each Service that the configurations call."""
    references = (
        mapping(webhook, "clientConfig", "service")
        for configuration in configurations
        for webhook in sequence(configuration, "webhooks")
    )
    names = ((text(item, "namespace") or "", text(item, "name") or "") for item in references if item)
    return tuple(dict.fromkeys(names))


def deployment_of(service: Unstructured, deployments: Sequence[Unstructured]) -> Unstructured:
    """Return the Deployment whose pods a Service selects; without a Service, the one that has the part-of label."""
    selector = texts(service, "spec", "selector").items()
    for deployment in deployments:
        labels = texts(deployment, "spec", "template", "metadata", "labels")
        if (selector and selector <= labels.items()) if service else labels.get(_PART_OF) == "dask-colocate":
            return deployment
    return None


def secret_of(deployment: Unstructured) -> str:
    """Return the name of the Secret with the serving certificate: the flag `--secret`, else the Secret volume."""
    volumes = sequence(deployment, "spec", "template", "spec", "volumes")
    names = filter(None, (text(volume, "secret", "secretName") for volume in volumes))
    return flag(deployment, "secret") or next(names, "")


def flag(deployment: Unstructured, key: str) -> str:
    """Return the value of `--key=VALUE`, else of the variable `DASK_COLOCATE_KEY`; empty if neither is set."""
    variable = f"DASK_COLOCATE_{key.upper().replace('-', '_')}"
    for container in sequence(deployment, "spec", "template", "spec", "containers"):
        for argument in sequence(container, "args"):
            if isinstance(argument, str) and argument.startswith(f"--{key}="):
                return argument.partition("=")[2]
        for item in sequence(container, "env"):
            if text(item, "name") == variable:
                return text(item, "value") or ""
    return ""


def watches_capacity(deployment: Unstructured) -> bool:
    """Return whether the replicas watch capacity: by the flag `--capacity-hints` or its variable."""
    containers = sequence(deployment, "spec", "template", "spec", "containers")
    arguments = [argument for container in containers for argument in sequence(container, "args")]
    return "--capacity-hints" in arguments or flag(deployment, "capacity-hints").lower() in {"true", "1"}


def installations(snapshot: Snapshot) -> tuple[InstallationParts, ...]:
    """Return the installations in a snapshot."""
    return tuple(_parts(configuration, snapshot) for configuration in snapshot.configurations)


def _parts(configuration: Unstructured, snapshot: Snapshot) -> InstallationParts:
    called = called_services([configuration])
    service = next((item for item in snapshot.services if (namespace(item), name(item)) in called), None)
    namespaces = {where for where, _ in called}
    deployment = deployment_of(service, [item for item in snapshot.deployments if namespace(item) in namespaces])
    key = (namespace(deployment), secret_of(deployment))
    secret = next((item for item in snapshot.secrets if (namespace(item), name(item)) == key), None)
    return InstallationParts(configuration=configuration, service=service, deployment=deployment, secret=secret)


def defaults_of(parts: Sequence[InstallationParts]) -> Policy:
    """Return the policy defaults of an installation, by its Deployment's flags; else the built-in defaults."""
    for installation in parts:
        try:
            return default_policy(flag(installation.deployment, "defaults"))
        except SettingsError:  # the process rejects this value when it starts
            continue
    return Policy()


def excludes(namespace: Unstructured, parts: Sequence[InstallationParts]) -> bool:
    """Return whether the namespaceSelectors of all installations exclude a namespace."""
    selectors = [mapping(webhook, "namespaceSelector") for item in parts for webhook in item.webhooks]
    labels = texts(namespace, "metadata", "labels")
    return bool(selectors) and not any(matches(selector, labels) for selector in selectors)


# ---- findings -----------------------------------------------------------------------------------------


def configuration_findings(parts: Sequence[InstallationParts]) -> Iterator[Finding]:
    """Return the findings about the webhook configurations."""
    if not parts:
        yield Finding(object="installation", message="no webhook configuration: nothing is mutated", fix=INSTALL)
    if len(parts) > 1:
        listed = ", ".join(name(item.configuration) for item in parts)
        message = f"several webhook configurations: {listed}; one is enough"
        yield Finding(object="installation", message=message, action_required=False)
    for item in parts:
        names = {text(webhook, "name") for webhook in item.webhooks}
        messages = (
            *(f"the webhook {webhook} is missing" for webhook in WEBHOOKS if webhook not in names),
            *(f"{text(webhook, 'name')}: {drift}" for webhook in item.webhooks for drift in _drifts(webhook)),
        )
        if any(text(webhook, "failurePolicy") == "Fail" for webhook in item.webhooks):
            message = "failurePolicy is Fail: if no replica is ready, the API server rejects Dask objects and workers"
            yield Finding(object=item.title, message=message, action_required=False)
        yield from (Finding(object=item.title, message=message, fix=item.upgrade) for message in messages)


def _drifts(webhook: Unstructured) -> Iterator[str]:
    """Return manual changes that widen a webhook or prevent calls."""
    if not mapping(webhook, "namespaceSelector"):
        yield "no namespaceSelector: the webhook is also called for kube-system and its own namespace"
    resources = {
        resource
        for rule in sequence(webhook, "rules")
        for resource in sequence(rule, "resources")
        if isinstance(resource, str)
    }
    for missing in sorted(_RESOURCES.get(text(webhook, "name") or "", set()) - resources):
        yield f"its rules do not include {missing}: new {missing} are not mutated"


def replica_findings(parts: InstallationParts, snapshot: Snapshot) -> Iterator[Finding]:
    """Return the findings about Service, endpoints and Deployment, as far as they are readable."""
    if parts.called is None:
        message = "the webhook is called by URL: its replicas are not checked"
        yield Finding(object=parts.title, message=message, action_required=False)
        return
    where, service = parts.called
    title = f"service/{service}"
    if parts.service is None:
        if snapshot.readable("services"):
            yield Finding(object=title, message=f"does not exist in namespace {where}", fix=parts.upgrade)
    elif endpoints(parts, snapshot) == 0:
        message = "no ready endpoints: Dask objects and workers are not mutated"
        yield Finding(object=title, message=message, fix=parts.restart if parts.deployment else parts.upgrade)
    if parts.deployment is not None:
        yield from _deployment_findings(parts.deployment)
    elif snapshot.readable("deployments"):
        yield Finding(object=title, message="no Deployment has the pods that it selects", fix=parts.upgrade)


def _deployment_findings(deployment: Unstructured) -> Iterator[Finding]:
    ready, desired = replicas(deployment)
    title, where = f"deployment/{name(deployment)}", namespace(deployment)
    if not desired:
        fix = f"kubectl scale {title} -n {where} --replicas=2"
        yield Finding(object=title, message="is scaled to 0 replicas", fix=fix)
    elif ready < desired and not _rolling_out(deployment):
        labels = texts(deployment, "spec", "selector", "matchLabels")
        fix = f"kubectl describe pods -n {where} -l {','.join(f'{key}={value}' for key, value in labels.items())}"
        yield Finding(object=title, message=f"{ready} of {desired} replicas are ready", fix=fix)


def _rolling_out(deployment: Unstructured) -> bool:
    """Return whether a rollout makes progress."""
    return any(
        text(condition, "type") == "Progressing" and text(condition, "reason") == "ReplicaSetUpdated"
        for condition in sequence(deployment, "status", "conditions")
    )


def replicas(deployment: Unstructured) -> tuple[int, int]:
    """Return the ready and the desired replicas."""
    desired = mapping(deployment, "spec").get("replicas")
    ready = mapping(deployment, "status").get("readyReplicas")
    return ready if isinstance(ready, int) else 0, desired if isinstance(desired, int) else 1


def endpoints(parts: InstallationParts, snapshot: Snapshot) -> int | None:
    """Return the number of ready addresses of the Service; None if they are not readable."""
    if parts.called is None or not snapshot.readable("endpointslices"):
        return None
    return sum(len(sequence(endpoint, "addresses")) for endpoint, _ in ready_endpoints(parts.called, snapshot.slices))


def ready_endpoints(service: tuple[str, str], slices: Sequence[Unstructured]) -> Iterator[tuple[Unstructured, int]]:
    """Return the ready endpoints of a Service, given as namespace and name, each with its port."""
    for item in slices:
        if (namespace(item), texts(item, "metadata", "labels").get("kubernetes.io/service-name")) == service:
            ports = (mapping(port).get("port") for port in sequence(item, "ports"))
            port = next((number for number in ports if isinstance(number, int)), 0)
            for endpoint in sequence(item, "endpoints"):
                if mapping(endpoint, "conditions").get("ready") is not False:
                    yield endpoint, port
