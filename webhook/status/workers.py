"""State of worker pods, by the rules that the webhook applies, and the cause if a pod was not mutated.

| the pod | cause |
|---|---|
| there is no webhook configuration | not-installed |
| is not newer than the webhook configuration | created-before-the-installation |
| is not newer than the last change of the namespace's annotations | created-before-the-annotations |
| otherwise: the API server should have called the webhook | webhook-down |

The last cause includes a webhook that had other rules, such as an older version or other policy defaults.
"""

from dataclasses import dataclass

from webhook.mutators import Plan, plan
from webhook.mutators.decision import Outcome
from webhook.policy import PREFIX, Mode, Policy, opted_out
from webhook.status.gpus import PodRequest
from webhook.status.model import Cause, WorkerReport, WorkerState
from webhook.status.snapshot import created, name, node_name, terminating
from webhook.workloads import pod_templates
from webhook.workloads.pod_templates import DaskObject, Role
from webhook.workloads.unstructured import Unstructured, mapping, sequence, text


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceContext:
    """Context of the worker pods of one namespace.

    Attributes:
        policy: Effective policy; None if the namespace is not readable.
        installed: Creation time of the webhook configuration; empty if there is none, None if it is not readable.
        annotated: Time of the last change of the webhook's annotations; empty if unknown.
        terminating: Whether the namespace is being deleted.
    """

    policy: Policy | None
    installed: str | None
    annotated: str
    terminating: bool = False


def worker_report(pod: Unstructured, request: PodRequest, context: NamespaceContext) -> WorkerReport | None:
    """Return the report on a worker pod; None for any other pod."""
    worker = pod_templates.read({**mapping(pod), "apiVersion": "v1", "kind": "Pod"})
    if worker is None or worker.targets[0].role is not Role.WORKER:
        return None
    state = _state_without_rules(pod, worker, context)
    planned = plan(worker.targets, context.policy) if context.policy and not state else Plan(())
    missing, refused = (
        tuple(decision.detail for decision in planned.decisions if decision.outcome is outcome)
        for outcome in (Outcome.APPLIED, Outcome.REFUSED)
    )
    if planned.worker and not planned.worker.gpu:
        state = WorkerState.CPU_WORKER
    return WorkerReport(
        name=name(pod),
        node=node_name(pod),
        gpus=request.gpus,
        state=state or (WorkerState.NOT_MUTATED if missing else WorkerState.MUTATED),
        cause=_cause(created(pod), context) if missing else None,
        missing=missing,
        refused=refused,
        recreated=any(owner.get("kind") == "ReplicaSet" for owner in sequence(pod, "metadata", "ownerReferences")),
        evidence=str(planned.worker) if planned.worker else "",
    )


def annotated_at(namespace: Unstructured) -> str:
    """Return the time of the last change of the webhook's annotations, by `managedFields`, else the creation time.

    The time can be late, because the same field manager may have changed another field since, but never early
    (Kubernetes API reference, `ManagedFieldsEntry`).
    """
    entries = sequence(namespace, "metadata", "managedFields")
    times = [text(entry, "time") or "" for entry in entries if _manages_annotations(entry)]
    return max((*times, created(namespace)))


def _manages_annotations(entry: Unstructured) -> bool:
    return any(key.startswith(f"f:{PREFIX}") for key in mapping(entry, "fieldsV1", "f:metadata", "f:annotations"))


def _state_without_rules(pod: Unstructured, worker: DaskObject, context: NamespaceContext) -> WorkerState | None:
    """Return the state of a pod that the rules do not apply to; None if they apply."""
    if context.terminating or terminating(pod):
        return WorkerState.TERMINATING
    if context.policy is None:
        return WorkerState.UNKNOWN
    if not context.policy.enabled:
        return WorkerState.NOT_ENABLED
    if opted_out(worker.annotations):
        return WorkerState.OPTED_OUT
    return WorkerState.WARN_ONLY if context.policy.mode is Mode.WARN else None


def _cause(pod_created: str, context: NamespaceContext) -> Cause:
    if context.installed is None:
        return Cause.UNKNOWN
    if not context.installed:
        return Cause.NOT_INSTALLED
    if pod_created <= context.installed:
        return Cause.BEFORE_INSTALLATION
    return Cause.BEFORE_ANNOTATION if pod_created <= context.annotated else Cause.WEBHOOK_DOWN
