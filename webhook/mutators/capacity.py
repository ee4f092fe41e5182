"""Rule `capacity-hint`: prefer the hosts where the whole cluster fits.

Owns: the one item of `/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution` that carries its marker.
The user's own items are never changed, and count beside it.

The item names hosts. Its second expression is the marker: `colocate.dask.org/hint NotIn [SIZE]`, where SIZE is the
number of pods for which the hosts were planned. No node carries that label, so the expression is always true; by it the
rule finds its item wherever it stands in the list. Items of earlier versions say `DoesNotExist` and name no size.

| object | question |
|---|---|
| DaskCluster, DaskJob created | hosts for all its workers and for its Dask scheduler; the operator copies both items |
| DaskWorkerGroup created | hosts for all its workers, beside those of the cluster's other groups |
| DaskWorkerGroup whose `replicas` grew | hosts for the added workers; the item is replaced, and only new pods get it |
| any other update | none: an item that the update removed is put back as it was |
| Pod created | hosts for its group's missing pods, where the pod has no item or its group outgrew the item's size |

Hosts in a manifest stay while they are reserved for the group or have room for it: so the operator's copy and a
reinvocation change nothing, while hosts out of an export or a backup are planned anew.

`kubectl scale daskworkergroup` updates the scale subresource, which carries no pod spec. The group's item then stays as
it was, and the pods that the operator copies it into get a fresh one when they are created.
"""

from collections.abc import Iterator
from typing import NamedTuple

from webhook.mutators.decision import Decision, DecisionBuilder, Reason
from webhook.mutators.gpu_workers import Kind, classify, requests
from webhook.mutators.hint_item import Items, hosts_of, item_for, items_of, size_of
from webhook.mutators.patch import END, put
from webhook.mutators.selector import PREFERRED, about_workers
from webhook.mutators.terms import about_dask_pods
from webhook.placement import objects
from webhook.placement.constraints import constraints
from webhook.placement.model import (
    UNWATCHED,
    Arrival,
    Demand,
    Group,
    Hint,
    Hosts,
    NoHint,
    NoHintReason,
    Question,
    Questions,
    scheduler_of,
)
from webhook.policy import Mode, Policy, SchedulerPlacement
from webhook.policy.topology_presets import HOSTNAME
from webhook.workloads.pod_templates import (
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
)

NAME = "capacity-hint"


def capacity_hint(target: PodTemplate, policy: Policy, hint: Hint = UNWATCHED.worker) -> Decision:
    """Prefer the hosts of the hint; where there are none, say why."""
    rule = DecisionBuilder(NAME, target)
    if not policy.capacity_hint:
        return rule.skipped(Reason.CAPACITY_HINT_OFF, "capacity-hint is off")
    return _unhinted(rule, policy) or _ruled(rule, items_of(target), items_of(target.before), hint)


def _unhinted(rule: DecisionBuilder, policy: Policy) -> Decision | None:
    """Return the decision on pods that get no hint, whatever is free; None for all other pods."""
    target = rule.target
    if not policy.topology:
        return rule.skipped(Reason.TOPOLOGY_NONE, "the namespace's topology is none")
    if target.role is Role.SCHEDULER and policy.scheduler_placement is SchedulerPlacement.KEEP:
        return rule.skipped(Reason.SCHEDULER_PLACEMENT_KEEP, "scheduler-placement is keep")
    if _placed(target, policy):
        if target.role is Role.WORKER:
            return rule.kept(Reason.ANTI_AFFINITY_PRESENT, "the manifest keeps workers apart itself")
        return rule.kept(Reason.SCHEDULER_PLACEMENT_PRESENT, "the manifest already places the Dask scheduler")
    if target.cluster is None:
        return rule.skipped(Reason.CLUSTER_NAME_UNKNOWN, "the cluster has no name yet; its worker group will")
    return None


_REASONS = {reason.value: reason for reason in Reason}


def _ruled(rule: DecisionBuilder, standing: Items, before: Items, hint: Hint) -> Decision:
    match hint:
        case Hosts(names, size, detail) if list(names) != hosts_of(standing) or size_of(standing) not in {None, size}:
            reason = Reason.HINT_REPLACED if standing else Reason.HINT_ADDED
            return _put(rule, reason, detail, (standing, item_for(names, size)))
        case NoHint(_, detail) if before and not standing:
            return _put(rule, Reason.HINT_RESTORED, f"hosts are named as before: {detail}", ((), before[0][1]))
        case NoHint(lack, detail) if not standing:
            return rule.skipped(_REASONS[lack.value], detail)
    return rule.kept(Reason.HINT_PRESENT, f"hosts stay as they were: {hint.detail}")


# ---- questions about an object that is being admitted ---------------------------------------------


class _Request(NamedTuple):
    """An object's namespace, the policy there, and whether the object is stored."""

    policy: Policy
    namespace: str
    binding: bool


def questions(subject: DaskObject, policy: Policy, namespace: str, *, dry_run: bool) -> Questions:
    """Return what the rule has to ask about an object, for each role. Total, like the rules.

    Args:
        subject: The object.
        policy: Of its namespace.
        namespace: Its namespace.
        dry_run: Whether nothing will be stored.
    """
    request = _Request(policy, namespace, binding=not dry_run and policy.mode is Mode.ENFORCE)
    targets = {target.role: target for target in subject.targets}
    return Questions(*(_readable(subject.kind, targets.get(role), request) for role in (Role.WORKER, Role.SCHEDULER)))


def _readable(kind: str, target: PodTemplate | None, request: _Request) -> Question | NoHint:
    try:
        return _question(kind, target, request)
    except TooLargeError as error:
        return NoHint(NoHintReason.UNREADABLE, str(error))


def _question(kind: str, target: PodTemplate | None, request: _Request) -> Question | NoHint:
    policy = request.policy
    if target is None or target.cluster is None or not policy.topology or _placed(target, policy):
        return NOTHING_ADDED
    if target.role is Role.WORKER and not classify(target, policy).gpu:
        return NOTHING_ADDED
    if target.role is Role.SCHEDULER and request.policy.scheduler_placement is SchedulerPlacement.KEEP:
        return NOTHING_ADDED
    if kind == "Pod":
        demand = _demand(target, request, 1)
        return Arrival(demand) if isinstance(demand, Demand) else demand
    added = target.replicas - (target.before.replicas if target.before else 0)
    if added <= 0 or (target.before and kind != "DaskWorkerGroup"):
        return NOTHING_ADDED
    return _demand(target, request, added)


NOTHING_ADDED = NoHint(NoHintReason.NO_WORKERS_ADDED, "no workers are added")


def _demand(target: PodTemplate, request: _Request, pods: int) -> Demand | NoHint:
    resource, gpus = _takes(target, request.policy)
    if gpus <= 0:
        return NoHint(NoHintReason.NO_GPU, f"the {target.role}s request no GPU, or several kinds")
    standing = items_of(target)
    # Hosts that this request, or the object's creator, wrote: what stood there before the update is an earlier answer.
    told = tuple(hosts_of(standing)) if hosts_of(standing) != hosts_of(items_of(target.before)) else ()
    return Demand(
        group=_group(target, request.namespace),
        workers=pods,
        before=target.replicas - pods,
        gpus=gpus,
        resource=resource,
        constraints=constraints(target.spec),
        rack=next((level.key for level in request.policy.topology if level.key != HOSTNAME), ""),
        binding=request.binding,
        told=told,
        planned=size_of(standing) if told else None,
    )


def _group(target: PodTemplate, namespace: str) -> Group:
    cluster = target.cluster or ""
    if target.role is Role.SCHEDULER:
        return scheduler_of(namespace, cluster)
    return objects.worker_group(namespace, cluster, target.labels)


def _takes(target: PodTemplate, policy: Policy) -> tuple[str, int]:
    """Return the GPU resource and how much of it one pod requests once rules `gpu` and `scheduler-gpu` have applied."""
    stated = tuple(requests(target, policy))
    wanted = [each for each in stated if each.device is not None]
    resource = policy.gpu_resource
    if target.container is None or any(each.kind is not Kind.RESOURCE for each in wanted):
        return resource, 0
    names = {each.field for each in wanted}
    if names and resource not in names:
        resource = names.pop() if len(names) == 1 else ""
    limit = 0 if stated else policy.gpu_limit if target.role is Role.WORKER else policy.scheduler_gpu or 0
    return resource, objects.requests(_limited(target, resource, limit)).get(resource, 0)


def _limited(target: PodTemplate, resource: str, limit: int) -> Unstructured:
    """Return the pod spec with a limit on the Dask container."""
    if not limit or target.container is None:
        return target.spec
    index, raw = target.container.index, target.container.raw
    limits = {**mapping(raw, "resources", "limits"), resource: str(limit)}
    containers = list(sequence(target.spec, "containers"))
    containers[index] = {**raw, "resources": {**mapping(raw, "resources"), "limits": limits}}
    return {**target.spec, "containers": containers}


def _kept_apart(target: PodTemplate, policy: Policy) -> bool:
    """Return whether the manifest keeps workers apart at the nearest level, or by an anti-affinity at any."""
    nearest = policy.topology[0].key
    return any(
        not term.attracts and (not term.spreads or term.topology_key == nearest) for term in about_workers(target)
    )


def _placed(target: PodTemplate, policy: Policy) -> bool:
    """Return whether the manifest keeps workers apart, or relates the Dask scheduler to Dask pods on the same node."""
    if target.role is Role.WORKER:
        return _kept_apart(target, policy)
    workers = target.workers
    return bool(about_dask_pods(target, *Role) or (workers and about_dask_pods(workers, Role.SCHEDULER)))


# ---- stored objects -------------------------------------------------------------------------------


class Stored(NamedTuple):
    """A group in a stored object.

    Attributes:
        group: The worker group, or the Dask scheduler.
        size: Pods that it wants.
        demand: For all its pods, with the hosts that its item names; None without an item.
    """

    group: Group
    size: int
    demand: Demand | None


def stored(item: Unstructured) -> Iterator[Stored]:
    """Yield the groups of a stored DaskCluster or DaskWorkerGroup."""
    subject = read(item)
    for target in subject.targets if subject else ():
        if target.cluster:
            yield Stored(_group(target, target.namespace), target.replicas, _hinted(target))


def _hinted(target: PodTemplate) -> Demand | None:
    try:
        if not items_of(target):
            return None
        # A stored object carries its GPU limits, so the namespace's policy is not needed to count them.
        found = _demand(target, _Request(Policy(), target.namespace, binding=True), target.replicas)
    except TooLargeError:  # it got no hint: see `_question`
        return None
    return found if isinstance(found, Demand) else None


def _put(rule: DecisionBuilder, reason: Reason, detail: str, change: tuple[Items, Unstructured]) -> Decision:
    """Put an item where the standing one is, else at the end."""
    standing, item = change
    tokens = ("affinity", "nodeAffinity", PREFERRED, str(standing[0][0]) if standing else END)
    return rule.applied(reason, detail, put(rule.target.spec, rule.target.pointer, tokens, item))
