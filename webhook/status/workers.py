"""Worker pods judged by the very rules that the webhook applies: what is still missing, and why.

Which reason, from the strongest:

| the pod | cause |
|---|---|
| there is no webhook configuration | not-installed |
| is no younger than the configuration | created-before-the-installation |
| is no younger than the latest change of the namespace's annotations | created-before-the-annotations |
| anything else: it should have been asked about, and was admitted without an answer | webhook-down |

The last one cannot be told from a webhook that was there and had other rules: an older version, other defaults.
"""

from dataclasses import dataclass

from webhook.mutators import Plan, plan
from webhook.mutators.decision import Outcome
from webhook.mutators.gpu_workers import Classification
from webhook.policy import PREFIX, Mode, Policy, opted_out
from webhook.status.model import Cause, State, Worker
from webhook.status.pods import Ask, leaving, node_of
from webhook.status.snapshot import created, name
from webhook.workloads import pod_templates
from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    text,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the pods of one namespace are judged by.

    Attributes:
        policy: Its policy; None where the namespace may not be read.
        since: When the webhook configuration was created; empty without one, None where it may not be read.
        annotated: When our annotations on the namespace were last changed; empty where that is not known.
        ending: Whether the namespace is being deleted.
    """

    policy: Policy | None
    since: str | None
    annotated: str
    ending: bool = False


def judge(pod: Unstructured, ask: Ask, terms: Terms) -> Worker | None:
    """What became of a worker pod; None for a pod that is no worker."""
    subject = pod_templates.read(pod)
    if subject is None:
        return None
    state = _settled(pod, subject, terms)
    planned = plan(subject.targets, terms.policy) if terms.policy and not state else Plan(())
    decisions, worker = planned.decisions, planned.worker
    lacks = tuple(one.detail for one in decisions if one.outcome is Outcome.APPLIED)
    return Worker(
        name=name(pod),
        node=node_of(pod),
        gpus=ask.gpus,
        state=state or _judged(worker, lacks=bool(lacks)),
        cause=_cause(created(pod), terms) if lacks else None,
        lacks=lacks,
        refused=tuple(one.detail for one in decisions if one.outcome is Outcome.REFUSED),
        evidence=str(worker) if worker else "",
        lasting=any(owner.get("kind") == "ReplicaSet" for owner in sequence(pod, "metadata", "ownerReferences")),
    )


def _judged(worker: Classification | None, *, lacks: bool) -> State:
    if worker is not None and not worker.gpu:
        return State.CPU_WORKER
    return State.MISSED if lacks else State.MUTATED


def annotated_at(namespace: Unstructured) -> str:
    """When our annotations were last changed, RFC 3339: the namespace's own words (`managedFields`), else its birth.

    An entry's time is that of its manager's last change, so it may be late where the same manager changed something
    else since; never early (Kubernetes API reference, `ManagedFieldsEntry`).
    """
    entries = sequence(namespace, "metadata", "managedFields")
    times = [text(entry, "time") or "" for entry in entries if _holds_ours(entry)]
    return max((*times, created(namespace)))


def _holds_ours(entry: Unstructured) -> bool:
    return any(key.startswith(f"f:{PREFIX}") for key in mapping(entry, "fieldsV1", "f:metadata", "f:annotations"))


def _settled(pod: Unstructured, subject: pod_templates.DaskObject, terms: Terms) -> State | None:
    """The state of a pod that the rules are not asked about."""
    if terms.ending or leaving(pod):
        return State.LEAVING
    if terms.policy is None:
        return State.UNKNOWN
    if not terms.policy.enabled:
        return State.NOT_SERVED
    if opted_out(subject.annotations):
        return State.OPTED_OUT
    return State.WARN_ONLY if terms.policy.mode is Mode.WARN else None


def _cause(born: str, terms: Terms) -> Cause:
    if terms.since is None:
        return Cause.UNKNOWN
    if not terms.since:
        return Cause.NOT_INSTALLED
    if born <= terms.since:
        return Cause.BEFORE_INSTALLATION
    return Cause.BEFORE_ANNOTATION if born <= terms.annotated else Cause.WEBHOOK_DOWN
