"""Findings about a cluster's workers: pods that were not mutated, and changes that rules refused."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from webhook.policy import Policy, TargetGroup
from webhook.status.model import Cause, ClusterReport, Finding, WorkerReport, WorkerState
from webhook.workloads.pod_templates import CLUSTER_NAME, COMPONENT, Role

_MOST_NAMES = 3  # pod names in a command, if a label selector selects the same pods

_ENDS_TASKS = "this command ends the tasks that run on these workers; Dask runs them again and recomputes lost results"
_ENDS_CLUSTER = "this command ends all tasks of the cluster; create the cluster again from its manifest"


def worker_findings(clusters: Iterable[ClusterReport], policies: Mapping[str, Policy]) -> Iterator[Finding]:
    """Return the findings about the workers of each cluster."""
    for cluster in clusters:
        if workers := [worker for worker in cluster.workers if worker.cause]:
            yield _not_mutated(cluster, workers, policies.get(cluster.namespace) or Policy())
        for detail in sorted({detail for worker in cluster.workers for detail in worker.refused}):
            yield Finding(object=cluster.title, message=f"not changed: {detail}", action_required=False)


def _not_mutated(cluster: ClusterReport, workers: Sequence[WorkerReport], policy: Policy) -> Finding:
    """Return one finding for all causes, so that its command replaces each pod once.

    The API server calls the webhook for the pod that replaces a deleted one. If nothing recreates the pods, or the
    policy excludes pods, the cluster has to be created again. `kubectl replace --force` does not do that: it restores
    the operator's annotations and status, and the operator then does nothing.
    """
    pods: dict[Cause, list[str]] = defaultdict(list)
    for worker in workers:
        if worker.cause:
            pods[worker.cause].append(worker.name)
    delete_cluster = f"kubectl delete daskcluster -n {cluster.namespace} {cluster.name}"
    by_pod = TargetGroup.PODS in policy.targets and all(worker.recreated for worker in workers)
    return Finding(
        object=cluster.title,
        message=f"{len(workers)} of {len(cluster.workers)} workers were not mutated",
        details=tuple(f"{cause.meaning}: {', '.join(names)}" for cause, names in pods.items()),
        fix=_delete_pods(cluster, workers) if by_pod else delete_cluster,
        warning=_ENDS_TASKS if by_pod else _ENDS_CLUSTER,
    )


def _delete_pods(cluster: ClusterReport, workers: Sequence[WorkerReport]) -> str:
    command = f"kubectl delete pod -n {cluster.namespace}"
    if len(workers) > _MOST_NAMES and cluster.count(WorkerState.NOT_MUTATED) == len(cluster.workers):
        return f"{command} -l {COMPONENT}={Role.WORKER},{CLUSTER_NAME}={cluster.name}"
    return f"{command} {' '.join(worker.name for worker in workers)}"
