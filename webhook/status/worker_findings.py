"""What is to be said of a cluster's workers: who was missed, why, and the command that mends it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from webhook.policy import Policy, TargetGroup
from webhook.status.model import Cause, Cluster, Finding, State, Worker
from webhook.workloads.pod_templates import CLUSTER_NAME, COMPONENT, Role

SAID: Mapping[Cause, str] = {
    Cause.NOT_INSTALLED: "there is no webhook configuration",
    Cause.BEFORE_INSTALLATION: "created before the webhook was installed",
    Cause.BEFORE_ANNOTATION: "created before the namespace was annotated as it is now",
    Cause.WEBHOOK_DOWN: "created while the webhook did not answer, or had other rules",
    Cause.UNKNOWN: "whether there was a webhook then is not known: its configuration may not be read",
}
_NAMED = 3  # a command names so many pods where it can choose all of them by label


def worker_findings(clusters: Iterable[Cluster], policies: Mapping[str, Policy]) -> Iterator[Finding]:
    """The missed workers of each cluster, and what rules refused to touch."""
    for cluster in clusters:
        policy = policies.get(cluster.namespace)
        if missed := [worker for worker in cluster.workers if worker.cause]:
            yield _missed(cluster, missed, policy or Policy())
        for detail in sorted({detail for worker in cluster.workers for detail in worker.refused}):
            yield Finding(where=cluster.title, text=f"left as written: {detail}", care=False)


def _missed(cluster: Cluster, missed: Sequence[Worker], policy: Policy) -> Finding:
    """One finding for all causes: its one command makes every missed pod anew, and no pod twice."""
    names: dict[Cause, list[str]] = defaultdict(list)
    for worker in missed:
        if worker.cause:
            names[worker.cause].append(worker.name)
    text = f"{len(missed)} of {len(cluster.workers)} workers missed"
    details = tuple(f"{SAID[cause]}: {', '.join(pods)}" for cause, pods in names.items())
    return Finding(where=cluster.title, text=text, details=details, mend=_mend(cluster, missed, policy))


def _mend(cluster: Cluster, workers: Sequence[Worker], policy: Policy) -> str:
    """A worker's pod is made anew by its Deployment, and passes the webhook on its way; else the cluster has to go.

    Either way what the worker held in memory is computed again. A cluster that is put back as it was read, by `kubectl
    replace --force`, would not do: it brings the operator's own annotations and status along, which then does nothing.
    """
    if TargetGroup.PODS not in policy.targets or not all(worker.lasting for worker in workers):
        again = "then create it again, as it was made"
        return f"kubectl delete daskcluster -n {cluster.namespace} {cluster.name}  # {again}"
    delete = f"kubectl delete pod -n {cluster.namespace}"
    if len(workers) > _NAMED and cluster.count(State.MISSED) == len(cluster.workers):
        return f"{delete} -l {COMPONENT}={Role.WORKER},{CLUSTER_NAME}={cluster.name}"
    return f"{delete} {' '.join(worker.name for worker in workers)}"
