"""The options of the commands: each is a flag and an environment variable `DASK_COLOCATE_...`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from webhook.cli.settings import SettingsError


@dataclass(frozen=True, kw_only=True)
class ReviewOptions:
    """What is asked about manifests.

    Attributes:
        namespace_file: Namespaces with their annotations. Without any, every namespace is taken as enabled.
        capacity_file: Nodes and Pods, as `kubectl get nodes,pods -A -o yaml` prints them, to plan capacity hints with
            where no namespace says otherwise.
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
