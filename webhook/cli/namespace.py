"""The commands `enable` and `disable`: a Namespace's annotations, with what they change shown first.

`disable` writes `enabled: "false"` and takes nothing away: that also holds where the installation's default is enabled,
and a later `enable` finds the namespace's other annotations as they were.
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
from webhook.cli.progress import console, waiting
from webhook.kube.cluster import Cluster, ClusterError, Connection
from webhook.kube.manifests import Manifest
from webhook.mutators.decision import Outcome, Reason
from webhook.policy import Policy, resolve
from webhook.policy.defaults import default_policy
from webhook.policy.errors import InputError
from webhook.review import Reviewed, review
from webhook.status import installation
from webhook.status.installation import Parts
from webhook.status.snapshot import Snapshot
from webhook.workloads.unstructured import Unstructured, texts

NOT_DONE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is about to happen to a namespace.

    Attributes:
        namespace: As it is.
        annotations: Those that will be another.
        defaults: The installation's.
        doubt: Why it may have no effect; empty where nothing is known of that.
    """

    namespace: Manifest
    annotations: Mapping[str, str]
    defaults: Policy
    doubt: str = ""

    @property
    def name(self) -> str:
        """The namespace's name."""
        return str(self.namespace.item["metadata"]["name"])

    @property
    def before(self) -> Mapping[str, str]:
        """The annotations that are there."""
        return texts(self.namespace.item, "metadata", "annotations")

    @property
    def policy(self) -> Policy:
        """What will hold."""
        return resolve({**self.before, **self.annotations}, self.defaults)


def change(name: str, wanted: Mapping[str, str], options: NamespaceOptions) -> int:
    """Annotate a namespace, after showing what that means and asking.

    Args:
        name: Of the namespace.
        wanted: Annotations, checked.
        options: How.

    Returns:
        The status: 0 done, or nothing to do; 1 the user said no.

    Raises:
        InputError: It cannot be done, or nobody can be asked.
    """
    given = default_policy(options.defaults) if options.defaults else None
    cluster = Cluster(Connection(kubeconfig=options.kubeconfig, context=options.context))
    with waiting(f"reading namespace {name}"):
        namespace = cluster.namespace(name)
        there = texts(namespace.item, "metadata", "annotations")
        wanted = {key: value for key, value in wanted.items() if there.get(key) != value}
        parts = _installation(cluster) if wanted else None
        planned = Change(
            namespace=namespace,
            annotations=wanted,
            defaults=given or installation.defaults_of(parts or ()),
            doubt=_doubt(namespace.item, parts),
        )
        objects = cluster.dask_objects(name) if wanted else ()
    out = console()
    if not wanted:
        out.print(Text(f"namespace {name} is so already: nothing to do"), soft_wrap=True)
        return 0
    _show(out, planned, objects)
    if not options.dry_run and not _agreed(name, yes=options.yes):
        out.print(Text("nothing was changed"))
        return NOT_DONE
    with waiting(f"annotating namespace {name}"):
        cluster.annotate(name, wanted, dry_run=options.dry_run)
    done = "nothing was changed; the API server would accept it" if options.dry_run else "annotated"
    out.print(Text(f"namespace {name}: {done}"), soft_wrap=True)
    return 0


def _installation(cluster: Cluster) -> Sequence[Parts] | None:
    """The installation; None where it may not be read, since who may annotate may have few other rights."""
    try:
        found = cluster.objects("admissionregistration.k8s.io", "mutatingwebhookconfigurations")
        ours = tuple(filter(installation.is_ours, found))
        where = {namespace for namespace, _ in installation.services(ours)}
        services = tuple(each for one in where for each in cluster.objects("", "services", one))
        deployments = tuple(each for one in where for each in cluster.objects("apps", "deployments", one))
    except ClusterError:
        return None
    taken = Snapshot(at=datetime.now(UTC), configurations=ours, services=services, deployments=deployments)
    return installation.parts_of(taken)


def _doubt(namespace: Unstructured, parts: Sequence[Parts] | None) -> str:
    if parts is None:
        return ""
    if not parts:
        return f"no webhook is installed in this cluster: nothing is changed before: {installation.INSTALL}"
    left_out = installation.leaves_out(namespace, parts)
    return "the webhook configuration leaves this namespace out: nothing is changed there" if left_out else ""


def _agreed(name: str, *, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InputError(
            f"nothing was changed: nobody to ask about namespace {name}; give --yes to do it, or --dry-run"
        )
    try:
        return Confirm.ask(f"Annotate namespace {name}?", console=Console(stderr=True), default=False)
    except EOFError:  # Ctrl-D
        return False


# ---- what would change ----------------------------------------------------------------------------


def _show(out: Console, planned: Change, objects: Sequence[Manifest]) -> None:
    out.print(Text(f"Namespace {planned.name}"))
    for key, value in planned.annotations.items():
        if (old := planned.before.get(key)) is not None:
            out.print(Text(f"-   {key}: {old!a}", style="red"), soft_wrap=True)
        out.print(Text(f"+   {key}: {value!a}", style="green"), soft_wrap=True)
    for problem in planned.policy.problems:
        out.print(Text(f"Warning: {problem.text}", style="yellow"), soft_wrap=True)
    if planned.doubt and planned.policy.enabled:
        out.print(Text(f"Warning: {planned.doubt}", style="yellow"), soft_wrap=True)
    if not objects:
        out.print(Text("No Dask cluster lives there yet."))
        return
    out.print(_table(planned, objects))
    out.print(Text(_LATER if planned.policy.enabled else _STAYS), soft_wrap=True)


_LATER = "Each is changed when it is next applied, its new worker pods at once; pods that run stay as they are."
_STAYS = "What was changed before stays; from now on nothing is."


def _table(planned: Change, objects: Sequence[Manifest]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("object", "now", "then"):
        table.add_column(column, overflow="fold")
    now, then = (review(objects, [planned.namespace], planned.defaults, tried) for tried in ({}, planned.annotations))
    for before, after in zip(now, then, strict=True):
        table.add_row(Text(f"{after.review.kind}/{after.review.name}"), Text(_summary(before)), Text(_summary(after)))
    return table


def _summary(one: Reviewed) -> str:
    """What the webhook does to an object, by the reasons of the rules that change it, or would but for something."""
    if not one.verdict.decisions:
        return str(one.verdict.status)
    told = {Outcome.APPLIED: "{}", Outcome.REFUSED: "{} (refused)"}
    reasons = [told[each.outcome].format(each.reason) for each in one.verdict.decisions if each.outcome in told]
    warned = any(each.reason is Reason.WARN_MODE for each in one.verdict.decisions)
    return ", ".join([*reasons, *([Reason.WARN_MODE.value] if warned else [])]) or "as it should be"
