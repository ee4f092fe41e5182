"""Options of the commands: each field is a flag and an environment variable `DASK_COLOCATE_...`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from certs.rotation.modes import Mode
from webhook.policy.defaults import SettingsError

NAME = "dask-colocate"
PORT = 8443  # unprivileged; 10250 or 443 where a private GKE cluster's firewall lets nothing else through
STATUS_PORT = 8765


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
            rights to list and watch both, DaskClusters and DaskWorkerGroups for other replicas' reservations, and
            ResourceSlices, ResourceClaims and DeviceClasses where the API server serves them.
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


@dataclass(frozen=True, kw_only=True)
class ReviewOptions:
    """What is asked about manifests.

    Attributes:
        namespace_file: Namespaces with their annotations. Without any, every namespace is taken as enabled.
        capacity_file: Nodes and Pods, as `kubectl get nodes,pods -A -o yaml` prints them, to plan capacity hints with
            where no namespace says otherwise; ResourceSlices, ResourceClaims, DeviceClasses and DaskWorkerGroups too.
        namespace: Namespace of a live cluster, whose annotations hold. Without FILES, what lives there is reviewed.
        kubeconfig: File that says how to reach that cluster; without it KUBECONFIG or ~/.kube/config.
        context: Context of the kubeconfig; without it the current one.
        tried: Annotation that every namespace is taken to have, such as `gpu-limit=2`; can be given several times.
        output: `diff` with reasons, `sarif` 2.1.0 for code scanners, `json` with everything, the resulting `yaml`, or
            the JSON `patch`.
        check: Exit with status 1 when something would change.
        explain: Show every rule's decision, also of those that have nothing to do, and what there is to gain.
        defaults: The installation's policy, as for `serve`.
    """

    namespace_file: Path | None = None
    capacity_file: Path | None = None
    namespace: str | None = None
    kubeconfig: Path | None = None
    context: str | None = None
    tried: Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)] = ()
    output: Literal["diff", "sarif", "json", "yaml", "patch"] = "diff"
    check: bool = False
    explain: bool = False
    defaults: str = ""

    def __post_init__(self) -> None:
        """Refuse two answers to one question.

        Raises:
            SettingsError: With what to do.
        """
        if self.namespace and self.namespace_file:
            raise SettingsError("--namespace and --namespace-file exclude each other: give one")
        if self.context and not self.namespace:
            raise SettingsError("--context is for a live cluster: give --namespace NAME too")


@dataclass(frozen=True, kw_only=True)
class NamespaceOptions:
    """How a namespace is changed.

    Attributes:
        kubeconfig: File that says how to reach the cluster; without it KUBECONFIG or ~/.kube/config.
        context: Context of the kubeconfig; without it the current one.
        yes: Do not ask. Without a terminal nothing is done unless this is given.
        dry_run: Change nothing: show what would be, and let the API server check that it may be done.
        defaults: The installation's policy, as for `serve`; else what its Deployment says, where that may be read.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    yes: bool = False
    dry_run: bool = False
    defaults: str = ""


@dataclass(frozen=True, kw_only=True)
class StatusOptions:
    """What was asked for on the command line.

    Attributes:
        kubeconfig: File that names the cluster and who asks.
        context: Context in it.
        namespace: The only namespace to look at.
        output: Text for people, or JSON.
        watch: Look again every two seconds until interrupted.
        html: File to write a page to, with a map of nodes and GPUs; it needs nothing else to be read.
        serve: Serve that page on 127.0.0.1, read-only and updating itself, until interrupted.
        port: Port to serve it on; 0 takes a free one.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None
    output: Literal["text", "json"] = "text"
    watch: bool = False
    html: Path | None = None
    serve: bool = False
    port: int = STATUS_PORT

    def __post_init__(self) -> None:
        """Refuse what cannot be had at once.

        Raises:
            SettingsError: With what to leave out.
        """
        if sum((self.watch, self.serve, self.html is not None)) > 1:
            raise SettingsError("--watch, --serve and --html exclude each other: give one")


@dataclass(frozen=True, kw_only=True)
class CertificateLocation:
    """Location of the certificates that `certs` works on.

    Attributes:
        secret: NAMESPACE/NAME of a Secret.
        configuration: Name of the MutatingWebhookConfiguration whose caBundle must trust the certificate.
        server: HOST:PORT of a server. Its private key and CA bundle are not checked.
        kubeconfig: Kubeconfig file. Default: KUBECONFIG, ~/.kube/config, or the service account of the Pod.
        context: Context of the kubeconfig.
    """

    secret: str | None = None
    configuration: str | None = None
    server: str | None = None
    kubeconfig: Path | None = None
    context: str | None = None
