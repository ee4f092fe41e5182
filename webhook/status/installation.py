"""Whether the webhook itself is in order: its configuration, its replicas, its certificate.

An installation is found by what it cannot do without, whatever the release is called: the names of its webhooks, then
the Service they call, the Deployment behind the Service, and the Secret that the Deployment serves.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from webhook.mutators.selector import matches
from webhook.policy import Policy
from webhook.policy.defaults import SettingsError, default_policy
from webhook.status.model import Finding
from webhook.status.snapshot import Snapshot, name, namespace
from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    text,
    texts,
)

WEBHOOKS = ("resources.colocate.dask.org", "pods.colocate.dask.org")
_RESOURCES = {WEBHOOKS[0]: {"daskclusters", "daskworkergroups", "daskjobs"}, WEBHOOKS[1]: {"pods"}}
INSTALL = (
    "helm install dask-colocate deploy/chart -n dask-colocate --create-namespace"
    " --set image.repository=REGISTRY/dask-colocate"
)
_PART_OF = "app.kubernetes.io/part-of"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One webhook configuration and what it leads to; None where that is not there, or was not read.

    Attributes:
        configuration: The MutatingWebhookConfiguration.
        service: The Service it calls.
        deployment: The Deployment behind the Service.
        secret: The Secret with the serving certificate, without its key.
    """

    configuration: Unstructured
    service: Unstructured = None
    deployment: Unstructured = None
    secret: Unstructured = None

    @property
    def title(self) -> str:
        """How findings name the configuration."""
        return f"mutatingwebhookconfiguration/{name(self.configuration)}"

    @property
    def called(self) -> tuple[str, str] | None:
        """Namespace and name of the Service called; None where a URL is."""
        return next(iter(services([self.configuration])), None)

    @property
    def upgrade(self) -> str:
        """The command that puts every object of the installation back as it was delivered."""
        return f"helm upgrade {self._release} --reuse-values" if self._by_helm else "kubectl apply -k deploy/kustomize"

    def upgrade_with(self, setting: str) -> str:
        """The same with a `NAME=VALUE` of the chart's; what kustomize applies is the chart's rendering."""
        if self._by_helm:
            return f"{self.upgrade} --set {setting}"
        (container, *_) = (*sequence(self.deployment, "spec", "template", "spec", "containers"), {})
        repository, _, tag = (text(container, "image") or "REGISTRY/dask-colocate:TAG").rpartition(":")
        image = f"image.repository={repository},image.tag={tag}"
        return f"helm template {self._release} --set {image},{setting} | kubectl apply -f -"

    @property
    def _by_helm(self) -> bool:
        return texts(self.configuration, "metadata", "labels").get("app.kubernetes.io/managed-by") == "Helm"

    @property
    def _release(self) -> str:
        """Release, chart and namespace, as helm takes them."""
        release = texts(self.configuration, "metadata", "labels").get("app.kubernetes.io/instance", "dask-colocate")
        where = self.called or ("dask-colocate", "")
        return f"{release} deploy/chart -n {where[0]}"

    @property
    def restart(self) -> str:
        """The command that starts the replicas anew: they look after their certificates when they start."""
        return f"kubectl rollout restart deployment/{name(self.deployment)} -n {namespace(self.deployment)}"


# ---- what leads where: also asked by who reads a cluster --------------------------------------------


def is_ours(configuration: Unstructured) -> bool:
    """Whether a MutatingWebhookConfiguration is one of dask-colocate."""
    return any(text(webhook, "name") in WEBHOOKS for webhook in sequence(configuration, "webhooks"))


def services(configurations: Sequence[Unstructured]) -> tuple[tuple[str, str], ...]:
    """Namespace and name of the Services that configurations call, each once."""
    called = (
        mapping(webhook, "clientConfig", "service") for one in configurations for webhook in sequence(one, "webhooks")
    )
    return tuple(dict.fromkeys((text(one, "namespace") or "", text(one, "name") or "") for one in called if one))


def deployment_of(service: Unstructured, deployments: Sequence[Unstructured]) -> Unstructured:
    """The Deployment whose pods a Service selects; without a Service, the one that is part of dask-colocate."""
    selector = texts(service, "spec", "selector").items()
    for one in deployments:
        labels = texts(one, "spec", "template", "metadata", "labels")
        if (selector and selector <= labels.items()) if service else labels.get(_PART_OF) == "dask-colocate":
            return one
    return None


def secret_of(deployment: Unstructured) -> str:
    """The name of the Secret that holds the serving certificate: by the flag `--secret`, else by its volume."""
    spec = mapping(deployment, "spec", "template", "spec")
    named = flag(deployment, "secret")
    return named or next(filter(None, (text(one, "secret", "secretName") for one in sequence(spec, "volumes"))), "")


def flag(deployment: Unstructured, key: str) -> str:
    """The value of `--key=VALUE`, else of `DASK_COLOCATE_KEY`, in the Deployment's pods; empty without either."""
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
    """Whether its replicas know the free capacity: by a flag without a value, or by its variable."""
    containers = sequence(deployment, "spec", "template", "spec", "containers")
    flags = [argument for container in containers for argument in sequence(container, "args")]
    return "--capacity-hints" in flags or flag(deployment, "capacity-hints").lower() in {"true", "1"}


def parts_of(snapshot: Snapshot) -> tuple[Parts, ...]:
    """Every installation in a snapshot."""
    return tuple(_parts(one, snapshot) for one in snapshot.configurations)


def defaults_of(parts: Sequence[Parts]) -> Policy:
    """The installation's own policy, from its Deployment's flags; the one that ships where that is not known."""
    for one in parts:
        try:
            return default_policy(flag(one.deployment, "defaults"))
        except SettingsError:  # such a process would not have started: these are not in force
            continue
    return Policy()


def leaves_out(namespace: Unstructured, parts: Sequence[Parts]) -> bool:
    """Whether an installation is never called for what is in a namespace, by its namespaceSelectors."""
    selectors = [
        mapping(webhook, "namespaceSelector") for each in parts for webhook in sequence(each.configuration, "webhooks")
    ]
    labels = texts(namespace, "metadata", "labels")
    return bool(selectors) and not any(matches(selector, labels) for selector in selectors)


def _parts(configuration: Unstructured, snapshot: Snapshot) -> Parts:
    called = services([configuration])
    service = next((one for one in snapshot.services if (namespace(one), name(one)) in called), None)
    there = [one for one in snapshot.deployments if namespace(one) in {where for where, _ in called}]
    deployment = deployment_of(service, there)
    wanted = (namespace(deployment), secret_of(deployment))
    secret = next((one for one in snapshot.secrets if (namespace(one), name(one)) == wanted), None)
    return Parts(configuration=configuration, service=service, deployment=deployment, secret=secret)


# ---- what is wrong ----------------------------------------------------------------------------------


def configuration_findings(parts: Sequence[Parts]) -> Iterator[Finding]:
    """What is wrong with the webhook configurations themselves."""
    if not parts:
        yield Finding(where="installation", text="no webhook configuration: nothing is mutated", mend=INSTALL)
    if len(parts) > 1:
        names = ", ".join(name(one.configuration) for one in parts)
        yield Finding(where="installation", text=f"several webhook configurations: {names}; one is enough", care=False)
    for one in parts:
        held = {text(webhook, "name") for webhook in sequence(one.configuration, "webhooks")}
        for missing in (each for each in WEBHOOKS if each not in held):
            yield Finding(where=one.title, text=f"the webhook {missing} is missing in it", mend=one.upgrade)
        if any(text(each, "failurePolicy") == "Fail" for each in sequence(one.configuration, "webhooks")):
            said = "failurePolicy is Fail: while no replica answers, Dask objects and workers are refused"
            yield Finding(where=one.title, text=said, care=False)
        for webhook in sequence(one.configuration, "webhooks"):
            yield from (
                Finding(where=one.title, text=f"{text(webhook, 'name')}: {drift}", mend=one.upgrade)
                for drift in _drifts(webhook)
            )


def _drifts(webhook: Unstructured) -> Iterator[str]:
    """What somebody changed in a webhook, so that it stands in the way of others or is not called."""
    if not mapping(webhook, "namespaceSelector"):
        yield "no namespaceSelector: the webhook is called for kube-system and for its own namespace too"
    asked = {
        each for rule in sequence(webhook, "rules") for each in sequence(rule, "resources") if isinstance(each, str)
    }
    for missing in sorted(_RESOURCES.get(text(webhook, "name") or "", set()) - asked):
        yield f"its rules leave out {missing}: they are not mutated when they are created"


def replica_findings(one: Parts, snapshot: Snapshot, unread: AbstractSet[str]) -> Iterator[Finding]:
    """What is wrong with Service, Deployment and the addresses between them.

    Args:
        one: The installation.
        snapshot: Where its addresses are.
        unread: Resources that could not be read: nothing is said of what they would show.
    """
    if one.called is None:
        yield Finding(where=one.title, text="a URL is called: replicas are not in this cluster", care=False)
        return
    where, service = one.called
    if one.service is None:
        if "services" not in unread:
            yield Finding(where=f"service/{service}", text=f"is not there, in namespace {where}", mend=one.upgrade)
    elif endpoints(one, snapshot) == 0 and "endpointslices" not in unread:
        text_ = "nobody answers behind it: every worker is admitted as it is written"
        mend = one.restart if one.deployment else one.upgrade
        yield Finding(where=f"service/{service}", text=text_, mend=mend)
    if one.deployment is None:
        if "deployments" not in unread:
            yield Finding(where=f"service/{service}", text="no Deployment stands behind it", mend=one.upgrade)
        return
    yield from _deployment_findings(one)


def _deployment_findings(one: Parts) -> Iterator[Finding]:
    ready, desired = replicas(one)
    title, where = f"deployment/{name(one.deployment)}", namespace(one.deployment)
    if not desired:
        yield Finding(where=title, text="is scaled to 0", mend=f"kubectl scale {title} -n {where} --replicas=2")
    elif ready < desired and not _progresses(one.deployment):
        labels = texts(one.deployment, "spec", "selector", "matchLabels")
        mend = f"kubectl describe pods -n {where} -l {','.join(f'{key}={value}' for key, value in labels.items())}"
        yield Finding(where=title, text=f"{ready} of {desired} replicas are ready; what keeps the others:", mend=mend)


def _progresses(deployment: Unstructured) -> bool:
    """Whether a Deployment is on its way to what was asked for, as its controller sees it."""
    return any(
        text(each, "type") == "Progressing" and text(each, "reason") == "ReplicaSetUpdated"
        for each in sequence(deployment, "status", "conditions")
    )


def replicas(one: Parts) -> tuple[int, int]:
    """Replicas that are ready, and those that are wanted."""
    desired = mapping(one.deployment, "spec").get("replicas")
    ready = mapping(one.deployment, "status").get("readyReplicas")
    return ready if isinstance(ready, int) else 0, desired if isinstance(desired, int) else 1


def endpoints(one: Parts, snapshot: Snapshot) -> int:
    """Addresses behind the Service that take calls."""
    return sum(len(sequence(each, "addresses")) for each, _ in answering(one.called, snapshot.slices))


def answering(called: tuple[str, str] | None, slices: Sequence[Unstructured]) -> Iterator[tuple[Unstructured, int]]:
    """The endpoints of a Service, given by namespace and name, that take calls, each with its port."""
    for each in slices:
        if (namespace(each), texts(each, "metadata", "labels").get("kubernetes.io/service-name")) == called:
            ports = [mapping(port).get("port") for port in sequence(each, "ports")]
            port = next((number for number in ports if isinstance(number, int)), 0)
            for endpoint in sequence(each, "endpoints"):
                if mapping(endpoint, "conditions").get("ready") is not False:
                    yield endpoint, port
