"""A Snapshot becomes a Report. Pure: no clock, no environment, no I/O."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from webhook.policy import ANNOTATIONS, ENABLED, Policy, Problem, resolve
from webhook.status import certificate, hints, installation, pods
from webhook.status.installation import Parts
from webhook.status.labels import label
from webhook.status.model import Cluster, Finding, Held, Installation, Namespace, Node, Report, State, Worker
from webhook.status.node_usage import Floor, floor, rack_key
from webhook.status.pods import Ask, Devices
from webhook.status.snapshot import Snapshot, created, name, namespace
from webhook.status.worker_findings import worker_findings
from webhook.status.workers import Terms, annotated_at, judge
from webhook.workloads.pod_templates import CLUSTER_NAME, COMPONENT, Role
from webhook.workloads.unstructured import Unstructured, texts


@dataclass(frozen=True, slots=True)
class _Standing:
    """A pod that has not ended, what it asks for, and, of a Dask worker, what became of it."""

    pod: Unstructured
    ask: Ask
    worker: Worker | None

    @property
    def cluster(self) -> tuple[str, str]:
        """Namespace and name of its Dask cluster."""
        return namespace(self.pod), texts(self.pod, "metadata", "labels").get(CLUSTER_NAME, "")


def report(snapshot: Snapshot) -> Report:
    """All that is to be said of a snapshot."""
    parts = installation.parts_of(snapshot)
    policies = _policies(snapshot, parts)
    resources = (Policy().gpu_resource, *(policy.gpu_resource for policy in policies.values()))
    devices = pods.devices(snapshot, tuple(dict.fromkeys(resources)))
    standing = tuple(_standing(snapshot, parts, policies, devices))
    ground = floor(snapshot.nodes, [(one.pod, one.ask) for one in standing if pods.node_of(one.pod)], devices)
    clusters = _clusters(snapshot, standing, policies, ground)
    spaces = tuple(_namespaces(snapshot, policies, {cluster.namespace for cluster in clusters}, parts))
    key = rack_key(_racks_wanted(policies[one.name] for one in spaces), ground.rooms.values())
    findings = [
        *_installation_findings(parts, snapshot),
        *(_problem(one.name, each) for one in spaces for each in one.problems),
        *hints.findings(parts, policies, snapshot.replicas),
        *worker_findings(clusters, policies),
    ]
    return Report(
        at=f"{snapshot.at:%Y-%m-%dT%H:%M:%SZ}",
        installation=_installation(parts, snapshot),
        namespaces=spaces,
        clusters=clusters,
        rack_key=key,
        nodes=_nodes(ground, standing, key),
        findings=tuple(sorted(findings, key=lambda finding: not finding.care)),
        unread=snapshot.unread,
    )


# ---- namespaces -----------------------------------------------------------------------------------


def _problem(namespace: str, problem: Problem) -> Finding:
    """What is wrong with an annotation; without it the default holds, as it does now."""
    mend = f"kubectl annotate namespace {namespace} {problem.key}-"
    return Finding(where=f"namespace/{namespace}", text=problem.text, mend=mend)


def _policies(snapshot: Snapshot, parts: Sequence[Parts]) -> dict[str, Policy]:
    """What holds in each namespace; none is served that the webhook configuration leaves out."""
    defaults = installation.defaults_of(parts)
    found = {name(one): resolve(texts(one, "metadata", "annotations"), defaults) for one in snapshot.namespaces}
    excluded = {name(one) for one in snapshot.namespaces if installation.leaves_out(one, parts)}
    return {
        key: dataclasses.replace(policy, enabled=False) if key in excluded else policy for key, policy in found.items()
    }


def _namespaces(
    snapshot: Snapshot, policies: Mapping[str, Policy], used: set[str], parts: Sequence[Parts]
) -> Iterator[Namespace]:
    """Those that are served, have Dask clusters or have problems, by name."""
    defaults = installation.defaults_of(parts)
    for one in sorted((one for one in snapshot.namespaces if not pods.leaving(one)), key=name):
        policy = policies[name(one)]
        problems = list(policy.problems)
        if installation.leaves_out(one, parts) and texts(one, "metadata", "annotations").get(ENABLED) == "true":
            left_out = f"{ENABLED}=true has no effect: the webhook configuration leaves this namespace out"
            problems.append(Problem(ENABLED, left_out))
        if policy.enabled or problems or name(one) in used:
            yield Namespace(
                name=name(one),
                enabled=policy.enabled,
                policy={each.name: each.value(policy) for each in ANNOTATIONS},
                changed=tuple(each.name for each in ANNOTATIONS if each.value(policy) != each.value(defaults)),
                problems=tuple(problems),
            )


def _racks_wanted(policies: Iterable[Policy]) -> Iterator[str]:
    """The second level of each policy's topology: what a node is a part of."""
    return (policy.topology[1].key for policy in policies if len(policy.topology) > 1)


# ---- clusters -------------------------------------------------------------------------------------


def _standing(
    snapshot: Snapshot, parts: Sequence[Parts], policies: Mapping[str, Policy], devices: Devices
) -> Iterator[_Standing]:
    since = _since(parts, snapshot)
    spaces = {name(one): one for one in snapshot.namespaces}
    for pod in snapshot.pods:
        if pods.ended(pod):
            continue
        where, ask = namespace(pod), devices.ask(pod)
        if snapshot.namespace not in {None, where} or not _is_worker(pod):
            yield _Standing(pod, ask, None)
            continue
        space = spaces.get(where)
        terms = Terms(
            policy=policies.get(where), since=since, annotated=annotated_at(space), ending=pods.leaving(space)
        )
        yield _Standing(pod, ask, judge(pod, ask, terms))


def _is_worker(pod: Unstructured) -> bool:
    return texts(pod, "metadata", "labels").get(COMPONENT) == Role.WORKER


def _since(parts: Sequence[Parts], snapshot: Snapshot) -> str | None:
    if "mutatingwebhookconfigurations" in snapshot.unread_resources:
        return None
    return min((created(one.configuration) for one in parts), default="")


def _clusters(
    snapshot: Snapshot, standing: Sequence[_Standing], policies: Mapping[str, Policy], ground: Floor
) -> tuple[Cluster, ...]:
    members: dict[tuple[str, str], list[_Standing]] = defaultdict(list)
    for one in snapshot.clusters:
        members[namespace(one), name(one)] = []
    for each in standing:
        if each.worker:
            members[each.cluster].append(each)
    racks = {where: _place_of(where, policies, ground) for where in {where for where, _ in members}}
    return tuple(
        _cluster(key, members[key], ground, racks[key[0]], label(index)) for index, key in enumerate(sorted(members))
    )


def _place_of(where: str, policies: Mapping[str, Policy], ground: Floor) -> Callable[[str], str]:
    """Node to rack, as the namespace's own topology tells racks."""
    wanted = _racks_wanted([policies[where]]) if where in policies else ()
    key = rack_key(wanted, ground.rooms.values())
    return lambda node: ground.rooms[node].labels.get(key, "") if node in ground.rooms else ""


def _cluster(
    key: tuple[str, str],
    members: Sequence[_Standing],
    ground: Floor,
    rack_of: Callable[[str], str],
    letters: str,
) -> Cluster:
    asks = [(pods.node_of(one.pod), one.ask) for one in members if pods.node_of(one.pod)]
    return Cluster(
        namespace=key[0],
        name=key[1],
        label=letters,
        workers=tuple(sorted((one.worker for one in members if one.worker), key=lambda worker: worker.name)),
        nodes=ground.spread(asks, str),
        racks=ground.spread(asks, rack_of),
    )


def _nodes(ground: Floor, standing: Iterable[_Standing], key: str) -> tuple[Node, ...]:
    """The nodes with GPUs or Dask workers."""
    held: dict[str, list[Held]] = defaultdict(list)
    for one in standing:
        if one.worker or one.ask.devices:
            held[pods.node_of(one.pod)].append(_held(one))
    found = (
        Node(
            name=node,
            rack=room.labels.get(key, ""),
            gpus=sum(room.devices.values()),
            held=tuple(sorted(held.get(node, ()), key=lambda one: (one.cluster is None, one.cluster, one.pod))),
            closed=room.closed,
        )
        for node, room in ground.rooms.items()
        if room.devices or any(one.cluster for one in held.get(node, ()))
    )
    return tuple(sorted(found, key=lambda node: (node.rack, node.name)))


def _held(one: _Standing) -> Held:
    cluster = "/".join(one.cluster) if one.worker else None
    missed = one.worker is not None and one.worker.state is State.MISSED
    return Held(pod=pods.title(one.pod), cluster=cluster, gpus=one.ask.gpus, missed=missed)


# ---- the webhook itself -----------------------------------------------------------------------------


def _installation(parts: Sequence[Parts], snapshot: Snapshot) -> Installation:
    if not parts:
        return Installation()
    first, since = parts[0], _since(parts, snapshot)
    deployed, ends = first.deployment is not None, certificate.expires(first)
    ready, desired = installation.replicas(first) if deployed else (None, None)
    return Installation(
        configurations=tuple(name(one.configuration) for one in parts),
        since=since or None,
        service="/".join(first.called) if first.called else None,
        ready=ready,
        desired=desired,
        endpoints=installation.endpoints(first, snapshot) if first.called else None,
        expires=f"{ends:%Y-%m-%dT%H:%M:%SZ}" if ends else None,
    )


def _installation_findings(parts: Sequence[Parts], snapshot: Snapshot) -> Iterator[Finding]:
    unread = snapshot.unread_resources
    if "mutatingwebhookconfigurations" not in unread:
        yield from installation.configuration_findings(parts)
    for one in parts:
        yield from installation.replica_findings(one, snapshot, unread)
        if "secrets" not in unread:
            yield from certificate.missing(one)
        yield from certificate.findings(one, snapshot.at)
