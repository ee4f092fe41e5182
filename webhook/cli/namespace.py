"""Commands `enable` and `disable`: set annotations on a Namespace, after showing the effect.

`disable` sets `enabled: "false"` instead of removing annotations: that also overrides an enabled policy default, and a
later `enable` finds the other annotations unchanged.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

from webhook.cli.options import NamespaceOptions
from webhook.cli.progress import console, progress
from webhook.kube.cluster import ClusterClient, ClusterError, Kubeconfig
from webhook.kube.manifests import Manifest
from webhook.mutators.decision import Outcome, Reason
from webhook.policy import Policy, resolve
from webhook.policy.defaults import default_policy
from webhook.policy.errors import InputError
from webhook.review import Reviewed, review
from webhook.status import installation
from webhook.status.installation import InstallationParts
from webhook.status.snapshot import Snapshot
from webhook.workloads.unstructured import Unstructured, texts

DECLINED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Planned change of a namespace.

    Attributes:
        namespace: Namespace before the change.
        annotations: Annotations to set.
        defaults: Policy defaults of the installation.
        objects: Dask objects in the namespace.
        warning: Reason that the webhook will not mutate objects; empty if there is none.
    """

    namespace: Manifest
    annotations: Mapping[str, str]
    defaults: Policy
    objects: Sequence[Manifest]
    warning: str = ""

    @property
    def name(self) -> str:
        """Return the name of the namespace."""
        return str(self.namespace.item["metadata"]["name"])

    @property
    def before(self) -> Mapping[str, str]:
        """Return the current annotations."""
        return texts(self.namespace.item, "metadata", "annotations")

    @property
    def policy(self) -> Policy:
        """Return the effective policy after the change."""
        return resolve({**self.before, **self.annotations}, self.defaults)


def run(options: NamespaceOptions) -> int:
    """Show a change, ask for confirmation and apply it; return the exit status.

    Raises:
        InputError: The change was rejected, or stdin is not a terminal and --yes is not set.
    """
    cluster = ClusterClient(Kubeconfig(path=options.kubeconfig, context=options.context))
    name, out = options.namespace, console()
    with progress(f"reading namespace {name}"):
        change = _plan(cluster, options)
    if not change.annotations:
        out.print(Text(f"namespace {name} already has these annotations"), soft_wrap=True)
        return 0
    _print_change(out, change)
    if not options.dry_run and not _confirmed(name, yes=options.yes):
        out.print(Text("nothing was changed"))
        return DECLINED
    with progress(f"annotating namespace {name}"):
        cluster.annotate(name, change.annotations, dry_run=options.dry_run)
    result = "dry run: the API server accepts the change" if options.dry_run else "annotated"
    out.print(Text(f"namespace {name}: {result}"), soft_wrap=True)
    return 0


def _plan(cluster: ClusterClient, options: NamespaceOptions) -> Change:
    defaults = default_policy(options.defaults) if options.defaults else None
    namespace = cluster.namespace(options.namespace)
    current = texts(namespace.item, "metadata", "annotations")
    annotations = {key: value for key, value in options.annotations.items() if current.get(key) != value}
    parts = _read_installation(cluster) if annotations else None
    return Change(
        namespace=namespace,
        annotations=annotations,
        defaults=defaults or installation.defaults_of(parts or ()),
        objects=cluster.dask_objects(options.namespace) if annotations else (),
        warning=_warning(namespace.item, parts),
    )


def _read_installation(cluster: ClusterClient) -> Sequence[InstallationParts] | None:
    """Return the installation, or None if the user has no permission to read it."""
    try:
        configurations = cluster.objects("admissionregistration.k8s.io", "mutatingwebhookconfigurations")
        ours = tuple(filter(installation.has_webhooks, configurations))
        namespaces = {namespace for namespace, _ in installation.called_services(ours)}
        services = tuple(item for name in namespaces for item in cluster.objects("", "services", name))
        deployments = tuple(item for name in namespaces for item in cluster.objects("apps", "deployments", name))
    except ClusterError:
        return None
    now = datetime.now(UTC)
    return installation.installations(Snapshot(at=now, configurations=ours, services=services, deployments=deployments))


def _warning(namespace: Unstructured, parts: Sequence[InstallationParts] | None) -> str:
    if parts is None:
        return ""
    if not parts:
        return f"the webhook is not installed in this cluster; to install it: {installation.INSTALL}"
    excluded = installation.excludes(namespace, parts)
    return "the webhook configuration excludes this namespace: its objects are not mutated" if excluded else ""


def _confirmed(name: str, *, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InputError(
            f"nothing was changed in namespace {name}: cannot prompt, stdin is not a terminal; use --yes or --dry-run"
        )
    try:
        return Confirm.ask(f"Annotate namespace {name}?", console=Console(stderr=True), default=False)
    except EOFError:  # Ctrl-D
        return False


# ---- output ---------------------------------------------------------------------------------------


def _print_change(out: Console, change: Change) -> None:
    out.print(Text(f"Namespace {change.name}"))
    for key, value in change.annotations.items():
        if (old := change.before.get(key)) is not None:
            out.print(Text(f"-   {key}: {old!a}", style="red"), soft_wrap=True)
        out.print(Text(f"+   {key}: {value!a}", style="green"), soft_wrap=True)
    for problem in change.policy.problems:
        out.print(Text(f"Warning: {problem.text}", style="yellow"), soft_wrap=True)
    if change.warning and change.policy.enabled:
        out.print(Text(f"Warning: {change.warning}", style="yellow"), soft_wrap=True)
    if not change.objects:
        out.print(Text("The namespace contains no Dask objects."))
        return
    out.print(_object_table(change))
    out.print(Text(_WHEN_ENABLED if change.policy.enabled else _WHEN_DISABLED), soft_wrap=True)


_WHEN_ENABLED = (
    "Objects are mutated when they are next applied, worker pods when they are created. Running pods stay as is."
)
_WHEN_DISABLED = "Mutated objects stay as is. New objects are not mutated."


def _object_table(change: Change) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("object", "now", "then"):
        table.add_column(column, overflow="fold")
    before = review(change.objects, [change.namespace], change.defaults)
    after = review(change.objects, [change.namespace], change.defaults, change.annotations)
    for now, then in zip(before, after, strict=True):
        name = f"{then.request.kind}/{then.request.name}"
        table.add_row(Text(name), Text(_summary(now)), Text(_summary(then)))
    return table


def _summary(reviewed: Reviewed) -> str:
    """Return the reasons of the applied and refused decisions on an object."""
    decisions = reviewed.response.decisions
    if not decisions:
        return str(reviewed.response.status)
    formats = {Outcome.APPLIED: "{}", Outcome.REFUSED: "{} (refused)"}
    reasons = [formats[each.outcome].format(each.reason) for each in decisions if each.outcome in formats]
    if any(each.reason is Reason.WARN_MODE for each in decisions):
        reasons.append(Reason.WARN_MODE.value)
    return ", ".join(reasons) or "no change needed"
