"""Rule `capacity-hint`: prefer the nodes on which the whole cluster fits.

Owns: the one item of `/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution` that contains its marker.
The rule never changes the user's own items, and kube-scheduler adds up the weights of both.

The item selects nodes by `kubernetes.io/hostname`. Its second expression is the marker:
`colocate.dask.org/hint NotIn [SIZE]`, where SIZE is the number of pods for which the nodes were planned. No node has
that label, so the expression is always true. The marker identifies the item at any index of the list. Items of earlier
versions use `DoesNotExist` and contain no size.

| object | hint |
|---|---|
| DaskCluster, DaskJob created | for all workers, and for the Dask scheduler; the operator copies both items |
| DaskWorkerGroup created | for all workers of the group, in addition to those of the cluster's other groups |
| DaskWorkerGroup with increased `replicas` | for the added workers; replaces the item, for new pods only |
| any other update | none; the rule restores an item that the update removed |
| Pod created | for the missing pods of its group, if the pod has no item or the group outgrew the item's size |

The nodes in a manifest stay as long as they are reserved for the group or have enough free GPUs for it. The operator's
copy and a reinvocation therefore change nothing, while the nodes in an exported or restored manifest are planned again.

`kubectl scale daskworkergroup` updates the scale subresource, which has no pod spec. The group's item then stays as it
is, and the pods that the operator creates from it get a new item.
"""

from collections.abc import Sequence
from typing import NamedTuple

from webhook.mutators.decision import Decision, DecisionBuilder, Reason
from webhook.mutators.gpu_workers import Kind, classify, requests
from webhook.mutators.patch import END, Operation, put
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
    """Prefer the nodes on which all pods of the group fit, by one node affinity item."""
    rule = DecisionBuilder(NAME, template)
    if not policy.capacity_hint:
        return rule.skipped(Reason.CAPACITY_HINT_OFF, "capacity-hint is false")
    return _without_hint(rule, policy) or _decide(rule, hint_items(template), hint_items(template.before), hint)


def _without_hint(rule: DecisionBuilder, policy: Policy) -> Decision | None:
    """Return the decision on pods that get no hint whatever the free capacity; None for all other pods."""
    template = rule.template
    if not policy.topology:
        return rule.skipped(Reason.TOPOLOGY_NONE, "topology is none")
    if template.role is Role.SCHEDULER and policy.scheduler_placement is SchedulerPlacement.KEEP:
        return rule.skipped(Reason.SCHEDULER_PLACEMENT_KEEP, "scheduler-placement is keep")
    if _is_placed(template, policy):
        if template.role is Role.WORKER:
            return rule.kept(Reason.ANTI_AFFINITY_PRESENT, "the manifest separates the workers")
        return rule.kept(Reason.SCHEDULER_PLACEMENT_PRESENT, "the manifest already places the Dask scheduler")
    if template.cluster is None:
        return rule.skipped(Reason.CLUSTER_NAME_UNKNOWN, "the cluster's name is not generated yet")
    return None


def _decide(rule: DecisionBuilder, existing: Items, before: Items, hint: Hint) -> Decision:
    match hint:
        case PreferredNodes(names, size, detail) if _differs(existing, names, size):
            added = Reason.HINT_REPLACED if existing else Reason.HINT_ADDED
            return rule.applied(added, f"prefer nodes: {detail}", _put(rule, existing, make_item(names, size)))
        case NoHint(_, detail) if before and not existing:
            operation = _put(rule, (), before[0][1])
            return rule.applied(Reason.HINT_RESTORED, f"restore the preferred nodes: {detail}", operation)
        case NoHint(reason, detail) if not existing:
            return rule.skipped(_REASONS[reason.value], detail)
    return rule.kept(Reason.HINT_PRESENT, f"the preferred nodes are already set: {hint.detail}")


_REASONS = {reason.value: reason for reason in Reason}


def _differs(existing: Items, names: Sequence[str], size: int) -> bool:
    """Return whether the existing item has other hosts, or another size; items of earlier versions have no size."""
    return hint_hostnames(existing) != list(names) or planned_size(existing) not in {None, size}


def _put(rule: DecisionBuilder, existing: Items, item: Unstructured) -> Operation:
    """Return the operation that replaces the existing item, or appends the item if there is none."""
    index = str(existing[0][0]) if existing else END
    return put(rule.template.spec, rule.template.pointer, ("affinity", "nodeAffinity", PREFERRED, index), item)


# ---- admitted objects -----------------------------------------------------------------------------


class _Request(NamedTuple):
    """Context of an object: the policy, its namespace, and whether the API server will store it."""

    policy: Policy
    namespace: str
    stored: bool


def questions(dask_object: DaskObject, policy: Policy, namespace: str, *, dry_run: bool) -> Questions:
    """Return the capacity questions of an object's pods, for each role; raise no exception.

    Args:
        dask_object: The object.
        policy: The policy of its namespace.
        namespace: Its namespace.
        dry_run: True if the API server will not store the object.
    """
    request = _Request(policy, namespace, stored=not dry_run and policy.mode is Mode.ENFORCE)
    templates = {template.role: template for template in dask_object.targets}
    worker, scheduler = templates.get(Role.WORKER), templates.get(Role.SCHEDULER)
    kind = dask_object.kind
    return Questions(_question_or_reason(kind, worker, request), _question_or_reason(kind, scheduler, request))


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
    if template.role is Role.SCHEDULER and policy.scheduler_placement is SchedulerPlacement.KEEP:
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
        return NoHint(NoHintReason.NO_GPU, f"the {template.role} pods request no GPU, or several kinds of GPUs")
    existing = hint_items(template)
    hostnames = tuple(hint_hostnames(existing))
    if hostnames == tuple(hint_hostnames(hint_items(template.before))):  # unchanged by the update: an earlier hint
        hostnames = ()
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
    """Return the GPU resource of one pod and its quantity, as after rules `gpu` and `scheduler-gpu`."""
    evidence = tuple(requests(template, policy))
    devices = [request for request in evidence if request.device is not None]
    resource = policy.gpu_resource
    if template.container is None or any(request.kind is not Kind.RESOURCE for request in devices):
        return resource, 0
    names = {request.field for request in devices}
    if names and resource not in names:
        resource = names.pop() if len(names) == 1 else ""
    limit = 0
    if not evidence:
        limit = policy.gpu_limit if template.role is Role.WORKER else policy.scheduler_gpu or 0
    return resource, objects.requests(_limited(template, resource, limit)).get(resource, 0)


def _limited(template: PodTemplate, resource: str, limit: int) -> Unstructured:
    """Return the pod spec with a limit added to the Dask container."""
    if not limit or template.container is None:
        return template.spec
    index, raw = template.container.index, template.container.raw
    limits = {**mapping(raw, "resources", "limits"), resource: str(limit)}
    containers = list(sequence(template.spec, "containers"))
    containers[index] = {**raw, "resources": {**mapping(raw, "resources"), "limits": limits}}
    return {**template.spec, "containers": containers}


def _is_placed(template: PodTemplate, policy: Policy) -> bool:
    """Return whether the manifest separates the workers, or relates the Dask scheduler to Dask pods by node."""
    if template.role is Role.WORKER:
        return _workers_separated(template, policy)
    workers = template.workers
    return bool(dask_pod_terms(template, *Role) or (workers and dask_pod_terms(workers, Role.SCHEDULER)))


def _workers_separated(template: PodTemplate, policy: Policy) -> bool:
    """Return whether the manifest has an anti-affinity between workers, or spreads them at the first level."""
    first = policy.topology[0].key
    return any(
        not term.is_affinity and (not term.is_spread_constraint or term.topology_key == first)
        for term in worker_terms(template)
    )
