"""The settings of `serve`: each is a flag and an environment variable `DASK_COLOCATE_...`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from certs.modes import Mode
from webhook.policy import PREFIX, Policy, refusals, resolve
from webhook.policy.errors import InputError

NAME = "dask-colocate"
PORT = 8443  # unprivileged; 10250 or 443 where a private GKE cluster's firewall lets nothing else through


class SettingsError(InputError):
    """A setting cannot be used; the message says which, why, and what to write instead."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """How the webhook runs.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        kubeconfig: Cluster to watch; without it, the one this process runs in.
        namespaces_file: YAML file with Namespaces to use instead of a cluster's: no Kubernetes anywhere.
        certs: `self-managed`: made and renewed here, kept in a Secret; `files`: --tls-cert and --tls-key, reloaded when
            they change; `injected`: such files from cert-manager, ready when its caBundle agrees. Left out: `files`
            where they are given, else `self-managed`.
        tls_cert: PEM file with the certificate chain.
        tls_key: PEM file with the certificate's private key.
        service: Service that the API server calls; the certificate is made for its names.
        service_namespace: Namespace of the Service and the Secret.
        cluster_domain: DNS domain of the cluster.
        secret: Secret that keeps self-managed certificates.
        webhook_configuration: MutatingWebhookConfiguration whose caBundle is kept, or checked, against the certificate.
        defaults: Policy where a namespace says nothing, as annotations without their prefix: "enabled=true; apart=5".
        events: Whether Dask objects get Kubernetes Events that say what was applied or refused.
        capacity_hints: Whether nodes and pods are watched, so that namespaces can ask for capacity-hint. Needs the
            rights to list and watch both, and DaskClusters and DaskWorkerGroups for what other replicas told.
        log_level: Least severe lines to log.
        drain_seconds: How long a process that is told to stop goes on answering.
        vouched_seconds: How long namespaces' annotations count when the API server is not heard of; then objects are
            allowed unchanged.
        client_ca: PEM file with the authority of the API server's client certificate: `/mutate` then answers nobody
            without one. Probes and metrics need none.
    """

    host: str = "0.0.0.0"  # noqa: S104 - a pod's only address is not known before it runs
    port: int = PORT
    kubeconfig: Path | None = None
    namespaces_file: Path | None = None
    certs: Literal["self-managed", "files", "injected"] | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    service: str = NAME
    service_namespace: str = NAME
    cluster_domain: str = "cluster.local"
    secret: str = f"{NAME}-tls"
    webhook_configuration: str = NAME
    defaults: str = ""
    events: bool = False
    capacity_hints: bool = False
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    drain_seconds: float = 5.0
    vouched_seconds: float = 600.0
    client_ca: Path | None = None

    @property
    def mode(self) -> Mode:
        """How certificates come."""
        return Mode(self.certs) if self.certs else Mode.FILES if self.tls_cert else Mode.SELF_MANAGED

    def __post_init__(self) -> None:
        """Refuse what cannot work together, before anything listens.

        Raises:
            SettingsError: With what to do.
        """
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SettingsError("--tls-cert and --tls-key belong together: give both, or neither")
        if self.kubeconfig and self.namespaces_file:
            raise SettingsError("--kubeconfig and --namespaces-file exclude each other: give one")
        if self.capacity_hints and self.namespaces_file:
            raise SettingsError("--capacity-hints needs a cluster to watch: leave --namespaces-file out")
        if self.mode is not Mode.SELF_MANAGED and self.tls_cert is None:
            raise SettingsError(f"--certs {self.mode} needs --tls-cert and --tls-key: the files to serve")
        if self.mode is Mode.SELF_MANAGED and self.tls_cert is not None:
            raise SettingsError("--certs self-managed makes its own certificate: leave --tls-cert and --tls-key out")


def assignments(text: str) -> Mapping[str, str]:
    """`enabled=true; apart=5` as annotations of a Namespace, prefix and all.

    Raises:
        SettingsError: An item has no `=`.
    """
    return dict(map(_assignment, filter(None, map(str.strip, text.split(";")))))


def _assignment(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals:
        raise SettingsError(f"{item!r}: expected KEY=VALUE, such as gpu-limit=1")
    return f"{PREFIX}{name.strip().removeprefix(PREFIX)}", value.strip()


def tried(items: Iterable[str]) -> Mapping[str, str]:
    """The annotations of `--set key=value`, each checked.

    Raises:
        SettingsError: A line for each that cannot be used, with key, value and what is accepted.
    """
    found = dict(map(_assignment, items))
    if wrong := refusals(found):
        raise SettingsError("\n".join(f"--set {each}" for each in wrong))
    return found


def default_policy(text: str) -> Policy:
    """The installation's policy. Unlike a namespace's annotations, a mistake here stops the start.

    Raises:
        SettingsError: Naming every problem.
    """
    policy = resolve(assignments(text))
    if policy.problems:
        raise SettingsError("--defaults: " + "; ".join(problem.text for problem in policy.problems))
    return policy
