"""Whether the namespaces that ask for capacity hints are given any: as the installation is set, and as replicas say."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.parser import text_string_to_metric_families

from webhook.mutators.decision import Reason
from webhook.placement.model import NoHintReason
from webhook.policy import Policy
from webhook.status.installation import Parts, watches_capacity
from webhook.status.model import Finding
from webhook.status.snapshot import Replica, name, namespace

_MEANINGS: Mapping[str, str] = {reason.value: reason.meaning for reason in Reason}
_PROBLEM = "dask_colocate_capacity_problem"


def findings(parts: Sequence[Parts], policies: Mapping[str, Policy], replicas: Sequence[Replica]) -> Iterator[Finding]:
    """Why there are no hints where a namespace asks for them.

    Args:
        parts: The installations.
        policies: What holds in each namespace.
        replicas: What replicas said of themselves.
    """
    asking = sorted(key for key, policy in policies.items() if policy.enabled and policy.capacity_hint)
    for one in (each for each in parts if asking and each.deployment is not None):
        title = f"deployment/{name(one.deployment)}"
        if watches_capacity(one.deployment):
            where = f"{namespace(one.deployment)}/{name(one.deployment)}"
            yield from _ailing(one, title, [each for each in replicas if each.deployment == where])
        else:
            listed = ", ".join(asking)
            said = f"capacity-hint is asked for in {listed}, and replicas do not watch capacity: no hint is given"
            yield Finding(where=title, text=said, mend=one.upgrade_with("capacityHints=true"))


def _ailing(one: Parts, title: str, replicas: Sequence[Replica]) -> Iterator[Finding]:
    """Each reason once, with how many replicas give it."""
    counted = Counter(reason for each in replicas for reason in _problems(each.metrics))
    for reason, count in sorted(counted.items()):
        said = f"{count} of {len(replicas)} replicas give no capacity hints: {_MEANINGS.get(reason, reason)}"
        # Replicas look again by themselves. One that starts anew waits for an API server that it may not reach.
        logs = f"kubectl logs {title} -n {namespace(one.deployment)} --since=10m"
        yield Finding(where=title, text=said, mend=one.upgrade if reason == NoHintReason.FORBIDDEN else logs)


def _problems(metrics: str) -> Iterable[str]:
    """The reasons that a replica gives; of metrics that can't be read none."""
    try:
        families = tuple(text_string_to_metric_families(metrics))
    except ValueError:
        return ()
    samples = (sample for family in families if family.name == _PROBLEM for sample in family.samples)
    return tuple(sample.labels["reason"] for sample in samples if sample.value and "reason" in sample.labels)
