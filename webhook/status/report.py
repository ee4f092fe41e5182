"""Convert a Snapshot to a Report. Pure: no clock, no environment, no I/O."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from webhook.placement import objects
from webhook.policy import ANNOTATIONS, ENABLED, Policy, Problem, resolve
from webhook.status import installation
from webhook.status.certificate import certificate_findings, expires
from webhook.status.gpus import GpuInventory, PodRequest, inventory
from webhook.status.hints import hint_findings
from webhook.status.installation import InstallationParts
from webhook.status.model import (
    ClusterReport,
    Finding,
    InstallationReport,
    NamespaceReport,
    NodeReport,
    PodGpus,
    Report,
    WorkerReport,
    WorkerState,
)
from webhook.status.node_usage import NodeUsage, node_usage, rack_key
from webhook.status.snapshot import Snapshot, created, name, namespace, node_name, terminating
from webhook.status.worker_findings import worker_findings
from webhook.status.workers import NamespaceContext, annotated_at, worker_report
from webhook.workloads.pod_templates import CLUSTER_NAME
from webhook.workloads.unstructured import Unstructured, text, texts


@dataclass(frozen=True, slots=True)
class _Pod:
    """A pod that has not ended, its request, and its report if it is a worker."""

    raw: Unstructured
    request: PodRequest
    worker: WorkerReport | None

    @property
    def cluster(self) -> tuple[str, str]:
        """Return namespace and name of its Dask cluster."""
        return namespace(self.raw), texts(self.raw, "metadata", "labels").get(CLUSTER_NAME, "")


def report(snapshot: Snapshot) -> Report:
    """Return the report on a snapshot."""
    parts = installation.installations(snapshot)
    policies = _policies(snapshot, parts)
    resources = (Policy().gpu_resource, *(policy.gpu_resource for policy in policies.values()))
    gpus = inventory(snapshot, tuple(dict.fromkeys(resources)))
    pods = tuple(_pods(snapshot, parts, policies, gpus))
    usage = node_usage(tuple(map(objects.node, snapshot.nodes)), _scheduled(pods), gpus)
    clusters = _clusters(snapshot, pods, policies, usage)
    namespaces = tuple(_namespaces(snapshot, policies, {cluster.namespace for cluster in clusters}, parts))
    key = rack_key(_rack_keys(policies[item.name] for item in namespaces), usage.nodes.values())
    findings = [
        *_installation_findings(parts, snapshot),
        *(_annotation_finding(item.name, problem) for item in namespaces for problem in item.problems),
        *hint_findings(parts, policies, snapshot.replicas),
        *worker_findings(clusters, policies),
    ]
    return Report(
        at=f"{snapshot.at:%Y-%m-%dT%H:%M:%SZ}",
        installation=_installation(parts, snapshot),
        namespaces=namespaces,
        clusters=clusters,
        rack_key=key,
        nodes=_nodes(usage, pods, key),
        findings=tuple(sorted(findings, key=lambda finding: not finding.action_required)),
        unreadable=snapshot.unreadable,
    )


# ---- namespaces -----------------------------------------------------------------------------------


def _policies(snapshot: Snapshot, parts: Sequence[InstallationParts]) -> dict[str, Policy]:
    """Return the effective policy of each namespace; not enabled if the webhook configuration excludes it."""
    defaults = installation.defaults_of(parts)
    policies = {name(item): resolve(texts(item, "metadata", "annotations"), defaults) for item in snapshot.namespaces}
    for item in snapshot.namespaces:
        if installation.excludes(item, parts):
            policies[name(item)] = dataclasses.replace(policies[name(item)], enabled=False)
    return policies


def _namespaces(
    snapshot: Snapshot, policies: Mapping[str, Policy], used: set[str], parts: Sequence[InstallationParts]
) -> Iterator[NamespaceReport]:
    """Return the namespaces that are enabled, have Dask clusters or have problems, by name."""
    defaults = installation.defaults_of(parts)
    for item in sorted((item for item in snapshot.namespaces if not terminating(item)), key=name):
        policy = policies[name(item)]
        problems = list(policy.problems)
        if installation.excludes(item, parts) and texts(item, "metadata", "annotations").get(ENABLED) == "true":
            message = f"{ENABLED}=true has no effect: the webhook configuration excludes this namespace"
            problems.append(Problem(ENABLED, message))
        if policy.enabled or problems or name(item) in used:
            yield NamespaceReport(
                name=name(item),
                enabled=policy.enabled,
                policy={annotation.name: annotation.value(policy) for annotation in ANNOTATIONS},
                overrides=tuple(
                    annotation.name
                    for annotation in ANNOTATIONS
                    if annotation.value(policy) != annotation.value(defaults)
                ),
                problems=tuple(problems),
            )


def _annotation_finding(namespace: str, problem: Problem) -> Finding:
    """Return the finding about an annotation; its fix removes the annotation, so that the default stays effective."""
    fix = f"kubectl annotate namespace {namespace} {problem.key}-"
    return Finding(object=f"namespace/{namespace}", message=problem.text, fix=fix)


def _rack_keys(policies: Iterable[Policy]) -> Iterator[str]:
    """Return the second topology key of each policy."""
    return (policy.topology[1].key for policy in policies if len(policy.topology) > 1)


# ---- pods, clusters and nodes -----------------------------------------------------------------------


def _pods(
    snapshot: Snapshot, parts: Sequence[InstallationParts], policies: Mapping[str, Policy], gpus: GpuInventory
) -> Iterator[_Pod]:
    namespaces = {name(item): item for item in snapshot.namespaces}
    installed = _installed(parts, snapshot)
    for pod in snapshot.pods:
        if text(pod, "status", "phase") in objects.ENDED:
            continue
        where, request = namespace(pod), gpus.request(pod)
        context = NamespaceContext(
            policy=policies.get(where),
            installed=installed,
            annotated=annotated_at(namespaces.get(where)),
            terminating=terminating(namespaces.get(where)),
        )
        in_scope = snapshot.namespace in {None, where}
        yield _Pod(pod, request, worker_report(pod, request, context) if in_scope else None)


def _installed(parts: Sequence[InstallationParts], snapshot: Snapshot) -> str | None:
    """Return the creation time of the first webhook configuration; None if it is not readable, "" without one."""
    if not snapshot.readable("mutatingwebhookconfigurations"):
        return None
    return min((created(item.configuration) for item in parts), default="")


def _clusters(
    snapshot: Snapshot, pods: Sequence[_Pod], policies: Mapping[str, Policy], usage: NodeUsage
) -> tuple[ClusterReport, ...]:
    members: dict[tuple[str, str], list[_Pod]] = defaultdict(list)
    for item in snapshot.clusters:
        members[namespace(item), name(item)] = []
    for pod in pods:
        if pod.worker:
            members[pod.cluster].append(pod)
    racks = {where: _rack_of(where, policies, usage) for where, _ in members}
    return tuple(
        ClusterReport(
            namespace=key[0],
            name=key[1],
            label=_label(index),
            workers=tuple(sorted((pod.worker for pod in members[key] if pod.worker), key=lambda worker: worker.name)),
            nodes=usage.domains(_scheduled(members[key]), str),
            racks=usage.domains(_scheduled(members[key]), racks[key[0]]),
        )
        for index, key in enumerate(sorted(members))
    )


def _label(index: int) -> str:
    """Return A to Z, then AA to ZZ and so on, like the columns of a spreadsheet."""
    letters, number = "", index + 1
    while number:
        number, rest = divmod(number - 1, len(ascii_uppercase))
        letters = ascii_uppercase[rest] + letters
    return letters


def _scheduled(pods: Iterable[_Pod]) -> list[tuple[str, PodRequest]]:
    return [(node_name(pod.raw), pod.request) for pod in pods if node_name(pod.raw)]


def _rack_of(where: str, policies: Mapping[str, Policy], usage: NodeUsage) -> Callable[[str], str]:
    """Return a function from node to rack, by the topology of a namespace."""
    key = rack_key(_rack_keys([policies[where]]) if where in policies else (), usage.nodes.values())
    return lambda node: usage.nodes[node].labels.get(key, "") if node in usage.nodes else ""


def _nodes(usage: NodeUsage, pods: Iterable[_Pod], key: str) -> tuple[NodeReport, ...]:
    """Return the nodes that have GPUs or Dask workers, by rack and name."""
    allocated: dict[str, list[PodGpus]] = defaultdict(list)
    for pod in pods:
        if pod.worker or pod.request.devices:
            allocated[node_name(pod.raw)].append(_pod_gpus(pod))
    nodes = (
        NodeReport(
            name=node.name,
            rack=node.labels.get(key, ""),
            gpus=sum(usage.allocatable[node.name].values()),
            pods=tuple(sorted(allocated[node.name], key=lambda pod: (pod.cluster is None, pod.cluster, pod.pod))),
            unschedulable=not node.schedulable,
        )
        for node in usage.nodes.values()
        if usage.allocatable[node.name] or any(pod.cluster for pod in allocated[node.name])
    )
    return tuple(sorted(nodes, key=lambda node: (node.rack, node.name)))


def _pod_gpus(pod: _Pod) -> PodGpus:
    return PodGpus(
        pod=f"{namespace(pod.raw)}/{name(pod.raw)}",
        cluster="/".join(pod.cluster) if pod.worker else None,
        gpus=pod.request.gpus,
        not_mutated=pod.worker is not None and pod.worker.state is WorkerState.NOT_MUTATED,
    )


# ---- installation -----------------------------------------------------------------------------------


def _installation(parts: Sequence[InstallationParts], snapshot: Snapshot) -> InstallationReport:
    if not parts:
        return InstallationReport()
    first, expiry = parts[0], expires(parts[0])
    ready, desired = (None, None) if first.deployment is None else installation.replicas(first.deployment)
    return InstallationReport(
        configurations=tuple(name(item.configuration) for item in parts),
        created=_installed(parts, snapshot) or None,
        service="/".join(first.called) if first.called else None,
        ready=ready,
        desired=desired,
        endpoints=installation.endpoints(first, snapshot),
        expires=f"{expiry:%Y-%m-%dT%H:%M:%SZ}" if expiry else None,
    )


def _installation_findings(parts: Sequence[InstallationParts], snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.readable("mutatingwebhookconfigurations"):
        yield from installation.configuration_findings(parts)
    for item in parts:
        yield from installation.replica_findings(item, snapshot)
        yield from certificate_findings(item, snapshot)
