"""Options of the commands: each field is a flag and an environment variable `DASK_COLOCATE_...`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from certs.rotation.modes import Mode
from webhook.policy.defaults import SettingsError

NAME = "dask-colocate"
PORT = 8443  # unprivileged; use 10250 or 443 if the firewall of a private GKE cluster blocks other ports
STATUS_PORT = 8765
_NO_FLAG = Parameter(parse=False)


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Options of `serve`.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 selects a free port.
        kubeconfig: Cluster to watch. Default: the cluster that the process runs in.
        namespaces_file: YAML file with Namespaces to use instead of a cluster.
        certs: Source of the certificate. `self-managed`: create and renew it in a Secret. `files`: read --tls-cert and
            --tls-key, and reload them when they change. `injected`: like `files`, for cert-manager; the replica is
            ready when the caBundle matches. Default: `files` if --tls-cert is set, else `self-managed`.
        tls_cert: PEM file with the certificate chain.
        tls_key: PEM file with the private key.
        service: Service that the API server calls; its DNS names are in the certificate.
        service_namespace: Namespace of the Service and the Secret.
        cluster_domain: DNS domain of the cluster.
        secret: Secret that stores self-managed certificates.
        webhook_configuration: MutatingWebhookConfiguration whose caBundle is updated or verified.
        defaults: Policy defaults, as annotations without their prefix: "enabled=true; apart=5".
        events: Write Kubernetes Events on Dask objects for applied and refused decisions.
        capacity_hints: Watch nodes and pods, so that namespaces can use the annotation capacity-hint. Requires
            permission to list and watch nodes, pods, DaskClusters, DaskWorkerGroups and, if the API server serves them,
            ResourceSlices, ResourceClaims and DeviceClasses.
        log_level: Lowest level to log.
        drain_seconds: Seconds to keep answering after SIGTERM.
        namespace_cache_max_age: Seconds to use cached annotations after losing contact with the API server. Then
            objects are allowed unchanged.
        client_ca: PEM file with the CA of the API server's client certificate. `/mutate` then requires a client
            certificate; probes and metrics do not.
    """

    host: str = "0.0.0.0"  # noqa: S104 - the address of a pod is not known before it starts
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
    namespace_cache_max_age: float = 600.0
    client_ca: Path | None = None

    @property
    def certificate_mode(self) -> Mode:
        """Return the source of the certificate."""
        return Mode(self.certs) if self.certs else Mode.FILES if self.tls_cert else Mode.SELF_MANAGED

    def __post_init__(self) -> None:
        """Reject conflicting options.

        Raises:
            SettingsError: Options conflict; the message says which to change.
        """
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SettingsError("--tls-cert and --tls-key must be used together")
        if self.kubeconfig and self.namespaces_file:
            raise SettingsError("--kubeconfig and --namespaces-file are mutually exclusive")
        if self.capacity_hints and self.namespaces_file:
            raise SettingsError("--capacity-hints requires a cluster: remove --namespaces-file")
        if self.certificate_mode is not Mode.SELF_MANAGED and self.tls_cert is None:
            raise SettingsError(f"--certs {self.certificate_mode} requires --tls-cert and --tls-key")
        if self.certificate_mode is Mode.SELF_MANAGED and self.tls_cert is not None:
            raise SettingsError("--certs self-managed creates its own certificate: remove --tls-cert and --tls-key")


@dataclass(frozen=True, kw_only=True)
class ReviewOptions:
    """Options of `review`.

    Attributes:
        files: Files and directories to review.
        namespace_file: Namespaces with their annotations. Default: every namespace is enabled.
        capacity_file: Nodes and Pods for capacity hints, as written by `kubectl get nodes,pods -A -o yaml`; also
            ResourceSlices, ResourceClaims, DeviceClasses and DaskWorkerGroups.
        namespace: Namespace of a live cluster whose annotations apply. Without FILES, its Dask objects are reviewed.
        kubeconfig: Kubeconfig file. Default: KUBECONFIG or ~/.kube/config.
        context: Context of the kubeconfig. Default: the current context.
        tried: Annotation to add to every namespace, such as `gpu-limit=2`; repeatable.
        output: `diff` with reasons, `sarif` 2.1.0 for code scanners, `json` with all details, the resulting `yaml`, or
            the JSON `patch`.
        check: Exit with status 1 if the webhook would change an object.
        explain: Also show unchanged Dask objects, skipped rules and recommendations.
        verbose: Also show all unchanged objects.
        exclude: Pattern of files and directories to leave out, such as `charts/*/templates`; `*` also matches `/`;
            repeatable.
        strict: Exit with status 2 if a file is skipped, or if a Dask object has an unknown kind or no worker spec. By
            default, templates and files of a directory that are not valid YAML are skipped with a notice.
        defaults: Policy defaults, as for `serve`.
    """

    files: Annotated[tuple[str, ...], _NO_FLAG] = ()
    namespace_file: Path | None = None
    capacity_file: Path | None = None
    namespace: str | None = None
    kubeconfig: Path | None = None
    context: str | None = None
    tried: Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)] = ()
    output: Literal["diff", "sarif", "json", "yaml", "patch"] = "diff"
    check: bool = False
    explain: bool = False
    verbose: bool = False
    exclude: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    strict: bool = False
    defaults: str = ""

    def __post_init__(self) -> None:
        """Reject conflicting options.

        Raises:
            SettingsError: Options conflict; the message says which to change.
        """
        if self.namespace and self.namespace_file:
            raise SettingsError("--namespace and --namespace-file are mutually exclusive")
        if self.context and not self.namespace:
            raise SettingsError("--context requires --namespace NAME")


@dataclass(frozen=True, kw_only=True)
class NamespaceOptions:
    """Options of `enable` and `disable`.

    Attributes:
        namespace: Namespace to annotate.
        annotations: Annotations to set.
        kubeconfig: Kubeconfig file. Default: KUBECONFIG or ~/.kube/config.
        context: Context of the kubeconfig. Default: the current context.
        yes: Skip the confirmation prompt. Required if stdin is not a terminal.
        dry_run: Show the changes and validate them on the API server without applying them.
        defaults: Policy defaults, as for `serve`. Default: those of the installed Deployment, if it is readable.
    """

    namespace: Annotated[str, _NO_FLAG] = ""
    annotations: Annotated[Mapping[str, str], _NO_FLAG] = field(default_factory=dict)
    kubeconfig: Path | None = None
    context: str | None = None
    yes: bool = False
    dry_run: bool = False
    defaults: str = ""


@dataclass(frozen=True, kw_only=True)
class StatusOptions:
    """Options of `status`.

    Attributes:
        kubeconfig: Kubeconfig file. Default: KUBECONFIG or ~/.kube/config.
        context: Context of the kubeconfig. Default: the current context.
        namespace: Show only this namespace.
        output: Output format.
        watch: Refresh every two seconds until interrupted.
        html: Write a self-contained HTML page with a map of nodes and GPUs to this file.
        serve: Serve the HTML page on 127.0.0.1, read-only and refreshed, until interrupted.
        port: Port for --serve; 0 selects a free port.
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
        """Reject conflicting options.

        Raises:
            SettingsError: Options conflict.
        """
        if sum((self.watch, self.serve, self.html is not None)) > 1:
            raise SettingsError("--watch, --serve and --html are mutually exclusive")


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
