"""Findings about capacity hints: namespaces that request them, and replicas that cannot give them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.parser import text_string_to_metric_families

from webhook.mutators.decision import Reason
from webhook.placement.model import NoHintReason
from webhook.policy import Policy
from webhook.status.installation import InstallationParts, watches_capacity
from webhook.status.model import Finding
from webhook.status.snapshot import ReplicaMetrics, name, namespace

_MEANINGS: Mapping[str, str] = {reason.value: reason.meaning for reason in Reason}
_METRIC = "dask_colocate_capacity_problem"


def hint_findings(
    installations: Sequence[InstallationParts], policies: Mapping[str, Policy], replicas: Sequence[ReplicaMetrics]
) -> Iterator[Finding]:
    """Return the reasons that namespaces with `capacity-hint` get no hints.

    Args:
        installations: The installations.
        policies: Effective policy of each namespace.
        replicas: Metrics of the replicas.
    """
    requesting = sorted(key for key, policy in policies.items() if policy.enabled and policy.capacity_hint)
    if not requesting:
        return
    for parts in installations:
        if parts.deployment is None:
            continue
        if watches_capacity(parts.deployment):
            yield from _replica_findings(parts, replicas)
        else:
            message = f"no capacity hints: replicas do not watch capacity; requested by {', '.join(requesting)}"
            fix = parts.upgrade_with("capacityHints=true")
            yield Finding(object=f"deployment/{name(parts.deployment)}", message=message, fix=fix)


def _replica_findings(parts: InstallationParts, replicas: Sequence[ReplicaMetrics]) -> Iterator[Finding]:
    """Return one finding for each reason, with the number of replicas."""
    where, title = namespace(parts.deployment), f"deployment/{name(parts.deployment)}"
    metrics = [replica.metrics for replica in replicas if replica.deployment == f"{where}/{name(parts.deployment)}"]
    counts = Counter(reason for text in metrics for reason in _problems(text))
    for reason, count in sorted(counts.items()):
        message = f"{count} of {len(metrics)} replicas give no capacity hints: {_MEANINGS.get(reason, reason)}"
        # Replicas retry; a restart would only add a start-up without hints.
        logs = f"kubectl logs {title} -n {where} --since=10m"
        fix = parts.upgrade if reason == NoHintReason.FORBIDDEN else logs
        yield Finding(object=title, message=message, fix=fix)


def _problems(metrics: str) -> tuple[str, ...]:
    """Return the reasons in a replica's metrics; none if the text is malformed."""
    try:
        families = tuple(text_string_to_metric_families(metrics))
    except ValueError:
        return ()
    samples = (sample for family in families if family.name == _METRIC for sample in family.samples)
    return tuple(sample.labels["reason"] for sample in samples if sample.value and "reason" in sample.labels)
