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

from collections.abc import Sequence
from typing import NamedTuple

from webhook.mutators.decision import Decision, DecisionBuilder, Reason
from webhook.mutators.gpu_workers import Kind, classify, requests
from webhook.mutators.patch import END, put
from webhook.mutators.selector import PREFERRED, worker_terms
from webhook.mutators.terms import dask_pod_terms
from webhook.placement import objects
from webhook.placement.constraints import constraints
from webhook.placement.hint_item import Items, hint_hostnames, hint_items, make_item, planned_size
from webhook.placement.model import (
    UNWATCHED,
    Demand,
    Hint,
    NewPod,
    NoHint,
    NoHintReason,
    PreferredNodes,
    Question,
    Questions,
)
from webhook.policy import Mode, Policy, SchedulerPlacement
from webhook.policy.topology_presets import HOSTNAME
from webhook.workloads.pod_templates import (
    DaskObject,
    PodTemplate,
    Role,
)
from webhook.workloads.unstructured import (
    TooLargeError,
    Unstructured,
    mapping,
    sequence,
)

NAME = "capacity-hint"


def capacity_hint(template: PodTemplate, policy: Policy, hint: Hint = UNWATCHED.worker) -> Decision:
    """Prefer the hosts of the hint; where there are none, say why."""
    rule = DecisionBuilder(NAME, template)
    if not policy.capacity_hint:
        return rule.skipped(Reason.CAPACITY_HINT_OFF, "capacity-hint is off")
    return _without_hint(rule, policy) or _decide(rule, hint_items(template), hint_items(template.before), hint)


def _without_hint(rule: DecisionBuilder, policy: Policy) -> Decision | None:
    """Return the decision on pods that get no hint, whatever is free; None for all other pods."""
    template = rule.template
    if not policy.topology:
        return rule.skipped(Reason.TOPOLOGY_NONE, "the namespace's topology is none")
    if template.role is Role.SCHEDULER and policy.scheduler_placement is SchedulerPlacement.KEEP:
        return rule.skipped(Reason.SCHEDULER_PLACEMENT_KEEP, "scheduler-placement is keep")
    if _is_placed(template, policy):
        if template.role is Role.WORKER:
            return rule.kept(Reason.ANTI_AFFINITY_PRESENT, "the manifest keeps workers apart itself")
        return rule.kept(Reason.SCHEDULER_PLACEMENT_PRESENT, "the manifest already places the Dask scheduler")
    if template.cluster is None:
        return rule.skipped(Reason.CLUSTER_NAME_UNKNOWN, "the cluster has no name yet; its worker group will")
    return None


_REASONS = {reason.value: reason for reason in Reason}


def _decide(rule: DecisionBuilder, existing: Items, before: Items, hint: Hint) -> Decision:
    match hint:
        case PreferredNodes(hostnames, size, detail) if not _is_current(existing, hostnames, size):
            reason = Reason.HINT_REPLACED if existing else Reason.HINT_ADDED
            return _put(rule, reason, detail, (existing, make_item(hostnames, size)))
        case NoHint(_, detail) if before and not existing:
            return _put(rule, Reason.HINT_RESTORED, f"hosts are named as before: {detail}", ((), before[0][1]))
        case NoHint(lack, detail) if not existing:
            return rule.skipped(_REASONS[lack.value], detail)
    return rule.kept(Reason.HINT_PRESENT, f"hosts stay as they were: {hint.detail}")


def _is_current(existing: Items, hostnames: Sequence[str], size: int) -> bool:
    return hint_hostnames(existing) == list(hostnames) and planned_size(existing) in {None, size}


# ---- questions about an object that is being admitted ---------------------------------------------


class _Request(NamedTuple):
    """An object's namespace, the policy there, and whether the object is stored."""

    policy: Policy
    namespace: str
    stored: bool


def questions(dask_object: DaskObject, policy: Policy, namespace: str, *, dry_run: bool) -> Questions:
    """Return what the rule has to ask about an object, for each role. Total, like the rules.

    Args:
        dask_object: The object.
        policy: Of its namespace.
        namespace: Its namespace.
        dry_run: Whether nothing will be stored.
    """
    request = _Request(policy, namespace, stored=not dry_run and policy.mode is Mode.ENFORCE)
    targets = {template.role: template for template in dask_object.targets}
    return Questions(
        *(_question_or_reason(dask_object.kind, targets.get(role), request) for role in (Role.WORKER, Role.SCHEDULER))
    )


def _question_or_reason(kind: str, template: PodTemplate | None, request: _Request) -> Question | NoHint:
    try:
        return _question(kind, template, request)
    except TooLargeError as error:
        return NoHint(NoHintReason.UNREADABLE, str(error))


def _question(kind: str, template: PodTemplate | None, request: _Request) -> Question | NoHint:
    policy = request.policy
    if template is None or template.cluster is None or not policy.topology or _is_placed(template, policy):
        return NOTHING_ADDED
    if template.role is Role.WORKER and not classify(template, policy).gpu:
        return NOTHING_ADDED
    if template.role is Role.SCHEDULER and request.policy.scheduler_placement is SchedulerPlacement.KEEP:
        return NOTHING_ADDED
    if kind == "Pod":
        demand = _demand(template, request, 1)
        return NewPod(demand) if isinstance(demand, Demand) else demand
    added = template.replicas - (template.before.replicas if template.before else 0)
    if added <= 0 or (template.before and kind != "DaskWorkerGroup"):
        return NOTHING_ADDED
    return _demand(template, request, added)


NOTHING_ADDED = NoHint(NoHintReason.NO_WORKERS_ADDED, "no workers are added")


def _demand(template: PodTemplate, request: _Request, pods: int) -> Demand | NoHint:
    resource, gpus = _gpu_request(template, request.policy)
    if gpus <= 0:
        return NoHint(NoHintReason.NO_GPU, f"the {template.role}s request no GPU, or several kinds")
    existing = hint_items(template)
    hostnames = tuple(hint_hostnames(existing))
    if template.before and hint_hostnames(hint_items(template.before)) == list(hostnames):
        hostnames = ()  # unchanged by this update: planned for the earlier size
    return Demand(
        group=objects.template_group(template, request.namespace),
        workers=pods,
        replicas_before=template.replicas - pods,
        gpus=gpus,
        resource=resource,
        constraints=constraints(template.spec),
        rack_label=next((level.key for level in request.policy.topology if level.key != HOSTNAME), ""),
        stored=request.stored,
        hostnames=hostnames,
        planned_size=planned_size(existing) if hostnames else None,
    )


def _gpu_request(template: PodTemplate, policy: Policy) -> tuple[str, int]:
    """Return the GPU resource and how much of it one pod requests once rules `gpu` and `scheduler-gpu` have applied."""
    stated = tuple(requests(template, policy))
    wanted = [each for each in stated if each.device is not None]
    resource = policy.gpu_resource
    if template.container is None or any(each.kind is not Kind.RESOURCE for each in wanted):
        return resource, 0
    names = {each.field for each in wanted}
    if names and resource not in names:
        resource = names.pop() if len(names) == 1 else ""
    limit = 0 if stated else policy.gpu_limit if template.role is Role.WORKER else policy.scheduler_gpu or 0
    return resource, objects.requests(_limited(template, resource, limit)).get(resource, 0)


def _limited(template: PodTemplate, resource: str, limit: int) -> Unstructured:
    """Return the pod spec with a limit on the Dask container."""
    if not limit or template.container is None:
        return template.spec
    index, raw = template.container.index, template.container.raw
    limits = {**mapping(raw, "resources", "limits"), resource: str(limit)}
    containers = list(sequence(template.spec, "containers"))
    containers[index] = {**raw, "resources": {**mapping(raw, "resources"), "limits": limits}}
    return {**template.spec, "containers": containers}


def _kept_apart(template: PodTemplate, policy: Policy) -> bool:
    """Return whether the manifest keeps workers apart at the nearest level, or by an anti-affinity at any."""
    nearest = policy.topology[0].key
    return any(
        not term.is_affinity and (not term.is_spread_constraint or term.topology_key == nearest)
        for term in worker_terms(template)
    )


def _is_placed(template: PodTemplate, policy: Policy) -> bool:
    """Return whether the manifest keeps workers apart, or relates the Dask scheduler to Dask pods on the same node."""
    if template.role is Role.WORKER:
        return _kept_apart(template, policy)
    workers = template.workers
    return bool(dask_pod_terms(template, *Role) or (workers and dask_pod_terms(workers, Role.SCHEDULER)))


def _put(rule: DecisionBuilder, reason: Reason, detail: str, change: tuple[Items, Unstructured]) -> Decision:
    """Put an item where the standing one is, else at the end."""
    existing, item = change
    tokens = ("affinity", "nodeAffinity", PREFERRED, str(existing[0][0]) if existing else END)
    return rule.applied(reason, detail, put(rule.template.spec, rule.template.pointer, tokens, item))
