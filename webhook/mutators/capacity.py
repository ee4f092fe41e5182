"""Rule `capacity-hint`: prefer the hosts where the whole cluster fits.

Owns: the one item of `/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution` that carries its marker.
Items of the user's are never touched, and count beside it as they always did.

The item names hosts and asks for the absence of a node label that no node has: an expression that is always true, and
by which the rule knows its own item again, wherever in the list it stands after others have changed it. A node that
does carry the label is named by no hint.

Who is asked for hosts, and when:

| object | asked |
|---|---|
| DaskCluster, DaskJob created | for all its workers; the operator copies the item into the group and the pods |
| DaskWorkerGroup created | the same, beside those the cluster has |
| DaskWorkerGroup whose `replicas` grew | for those that are new; the item is replaced, and only new pods get it |
| any other update | nobody: an item that the update took away is put back as it was |
| Pod without the item | what its group was told, while that is remembered: one pod says nothing of how many there are |

Hosts that stand in a manifest already stay while they are promised to the group or have room for it: so the operator's
copy and a reinvocation change nothing, and hosts out of an export or a backup, good at another time, are planned anew.

`kubectl scale daskworkergroup` goes through the scale subresource, which has no pod spec: the item stays as it was.
"""

from collections.abc import Mapping, Sequence

from webhook.mutators.decision import Decision, DecisionBuilder, Reason
from webhook.mutators.gpu_workers import Kind, classify
from webhook.mutators.patch import END, put
from webhook.mutators.selector import PREFERRED, about_workers
from webhook.placement import objects
from webhook.placement.constraints import constraints
from webhook.placement.model import (
    MARKER,
    UNWATCHED,
    Demand,
    Group,
    Hint,
    Hosts,
    NoHint,
    NoHintReason,
    Question,
    Recall,
)
from webhook.policy import Mode, Policy
from webhook.policy.topology_presets import HOSTNAME
from webhook.workloads.pod_templates import (
    WORKER_GROUP_NAME,
    DaskObject,
    PodTemplate,
    Role,
    read,
)
from webhook.workloads.unstructured import (
    TooLargeError,
    Unstructured,
    mapping,
    sequence,
    text,
)

NAME = "capacity-hint"
# kube-scheduler scales a pod's node preferences to 0-100: where this is the only one, any weight does the same. Beside
# a user's own it is one among others, and a strong wish of theirs, up to 100, outweighs it.
WEIGHT = 30

Items = Sequence[tuple[int, Unstructured]]
"""The rule's own items, each with its place in the list."""


def capacity_hint(target: PodTemplate, policy: Policy, hint: Hint = UNWATCHED) -> Decision:
    """Prefer the hosts of the hint; where there are none, say why."""
    rule = DecisionBuilder(NAME, target)
    if not policy.capacity_hint:
        return rule.skipped(Reason.CAPACITY_HINT_OFF, "capacity-hint is off")
    if not policy.topology:
        return rule.skipped(Reason.TOPOLOGY_NONE, "the namespace's topology is none")
    if _kept_apart(target, policy):
        return rule.kept(Reason.ANTI_AFFINITY_PRESENT, "the manifest keeps workers apart itself")
    if target.cluster is None:
        return rule.skipped(Reason.CLUSTER_NAME_UNKNOWN, "the cluster has no name yet; its worker group will")
    return _ruled(rule, _own(target), _own(target.before) if target.before else (), hint)


_REASONS = {reason.value: reason for reason in Reason}


def _ruled(rule: DecisionBuilder, standing: Items, before: Items, hint: Hint) -> Decision:
    match hint:
        case Hosts(names, detail) if list(names) != _hosts(standing):
            reason = Reason.HINT_REPLACED if standing else Reason.HINT_ADDED
            return _put(rule, reason, detail, (standing, _item(names)))
        case NoHint(_, detail) if before and not standing:
            return _put(rule, Reason.HINT_RESTORED, f"hosts are named as before: {detail}", ((), before[0][1]))
        case NoHint(lack, detail) if not standing:
            return rule.skipped(_REASONS[lack.value], detail)
    return rule.kept(Reason.HINT_PRESENT, f"hosts stay as they were: {hint.detail}")


def question(subject: DaskObject, policy: Policy, namespace: str, *, dry_run: bool) -> Question | NoHint:
    """What the rule has to ask about an object, or why nothing. Total, like the rules.

    Args:
        subject: The object.
        policy: Of its namespace.
        namespace: Its namespace.
        dry_run: Whether nothing will be stored.
    """
    try:
        return _question(subject, policy, namespace, dry_run=dry_run)
    except TooLargeError as error:
        return NoHint(NoHintReason.UNREADABLE, str(error))


def _question(subject: DaskObject, policy: Policy, namespace: str, *, dry_run: bool) -> Question | NoHint:
    worker = _worker(subject)
    if worker is None or worker.cluster is None or not policy.topology or _kept_apart(worker, policy):
        return NOTHING_ADDED
    if not classify(worker, policy).gpu:
        return NOTHING_ADDED
    group = _group(worker, namespace, worker.cluster)
    if subject.kind == "Pod":
        return NOTHING_ADDED if _own(worker) else Recall(group)
    added = worker.replicas - (worker.before.replicas if worker.before else 0)
    if added <= 0 or (worker.before and subject.kind != "DaskWorkerGroup"):
        return NOTHING_ADDED
    return _demand(worker, policy, group, added, binding=not dry_run and policy.mode is Mode.ENFORCE)


NOTHING_ADDED = NoHint(NoHintReason.NO_WORKERS_ADDED, "no workers are added")


def _demand(worker: PodTemplate, policy: Policy, group: Group, workers: int, *, binding: bool) -> Demand | NoHint:
    resource, gpus = _takes(worker, policy)
    if gpus <= 0:
        return NoHint(NoHintReason.NO_GPU, "the workers ask for no GPU, or for several kinds")
    standing, before = _own(worker), _own(worker.before) if worker.before else ()
    told = tuple(_hosts(standing)) if _is_fresh(standing, before) else ()
    return Demand(
        group=group,
        workers=workers,
        before=worker.replicas - workers,
        gpus=gpus,
        resource=resource,
        constraints=constraints(worker.spec),
        rack=next((level.key for level in policy.topology if level.key != HOSTNAME), ""),
        binding=binding,
        told=told,
    )


def told(item: Unstructured) -> Demand | None:
    """The hosts that a stored DaskCluster or DaskWorkerGroup was told, and for what; None for any other object."""
    try:
        return _told(item)
    except TooLargeError:  # it was told nothing: see `question`
        return None


def group_of(item: Unstructured) -> Group | None:
    """The group of a stored DaskWorkerGroup's workers, or of a DaskCluster's first ones."""
    worker = _worker(read(item))
    return _group(worker, worker.namespace, worker.cluster) if worker and worker.cluster else None


def _worker(subject: DaskObject | None) -> PodTemplate | None:
    return next((each for each in subject.targets if each.role is Role.WORKER), None) if subject else None


def _group(worker: PodTemplate, namespace: str, cluster: str) -> Group:
    return Group(namespace, cluster, worker.labels.get(WORKER_GROUP_NAME, ""))


def _told(item: Unstructured) -> Demand | None:
    worker = _worker(read(item))
    if worker is None or worker.cluster is None or not _own(worker):
        return None
    group = _group(worker, worker.namespace, worker.cluster)
    # The GPUs stand in a stored object, so the namespace's policy is not needed to count them.
    found = _demand(worker, Policy(), group, worker.replicas, binding=True)
    return found if isinstance(found, Demand) else None


def _takes(worker: PodTemplate, policy: Policy) -> tuple[str, int]:
    """The resource and how much of it one worker takes, with what rule `gpu` is about to add."""
    found = classify(worker, policy)
    if worker.container is None or any(each.kind is not Kind.RESOURCE for each in found.requests):
        return policy.gpu_resource, 0
    names = {each.field for each in found.requests}
    resource = (
        policy.gpu_resource if policy.gpu_resource in names or not names else "".join(names if len(names) == 1 else ())
    )
    added = 0 if found.requests or found.zero else policy.gpu_limit
    return resource, objects.requests(worker.spec).get(resource, 0) + added


def _kept_apart(target: PodTemplate, policy: Policy) -> bool:
    """Return whether the manifest keeps workers apart at the nearest level, or by an anti-affinity at any."""
    nearest = policy.topology[0].key
    return any(
        not term.attracts and (not term.spreads or term.topology_key == nearest) for term in about_workers(target)
    )


# ---- the rule's own item --------------------------------------------------------------------------


def _own(target: PodTemplate) -> Items:
    found = sequence(mapping(target.spec, "affinity", "nodeAffinity"), PREFERRED)
    return tuple((place, item) for place, item in enumerate(found) if any(map(_marks, _expressions(item))))


def _is_fresh(standing: Items, before: Items) -> bool:
    """Whether hosts stand there that this request, or the object's maker, brought: they are no earlier answer."""
    return bool(standing) and _hosts(standing) != _hosts(before)


def _expressions(item: Unstructured) -> Sequence[Unstructured]:
    return sequence(item, "preference", "matchExpressions")


def _marks(expression: Unstructured) -> bool:
    return text(expression, "key") == MARKER and text(expression, "operator") == "DoesNotExist"


def _hosts(items: Items) -> list[str]:
    return [
        host
        for _, item in items[:1]
        for expression in _expressions(item)
        if text(expression, "key") == HOSTNAME
        for host in sequence(expression, "values")
        if isinstance(host, str)
    ]


def _item(hosts: Sequence[str]) -> Mapping[str, Unstructured]:
    named = {"key": HOSTNAME, "operator": "In", "values": list(hosts)}
    return {
        "weight": WEIGHT,
        "preference": {"matchExpressions": [named, {"key": MARKER, "operator": "DoesNotExist"}]},
    }


def _put(rule: DecisionBuilder, reason: Reason, detail: str, change: tuple[Items, Unstructured]) -> Decision:
    """Put an item where the standing one is, else at the end."""
    standing, item = change
    tokens = ("affinity", "nodeAffinity", PREFERRED, str(standing[0][0]) if standing else END)
    return rule.applied(reason, detail, put(rule.target.spec, rule.target.pointer, tokens, item))
