"""Render a Report as one self-contained HTML page.

The template escapes all text from the cluster. The Content-Security-Policy contains the hashes of the style sheet and
the script, so that the browser runs no other script.
"""

import base64
import hashlib
from importlib import resources
from itertools import groupby
from os.path import commonprefix

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from webhook.status.model import ClusterReport, NodeReport, PodGpus, Report, WorkerState
from webhook.status.terminal import CLUSTERS, absent, policy, states, summary, usage

_COLOURS, _PATTERNS = 10, 4  # classes in page.css
_WIDE = 8  # GPUs in one line of a rack
_FINDINGS, _ROWS = 4, 100  # visible at first; a browser lays out the others when they are expanded
_TONES = {0: "good", 1: "bad", 2: "unsure"}

_templates = Environment(
    loader=PackageLoader("webhook", "status"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(report: Report, *, every: int = 0, scope: str | None = None) -> str:
    """Return the HTML of the page.

    Args:
        report: The report.
        every: Refresh interval of a served page, in seconds; 0 for a file.
        scope: Namespace of the report; None for all.
    """
    pods = [pod for node in report.nodes for pod in node.pods]
    return _templates.get_template("page.html.j2").render(
        report=report,
        every=every,
        scope=scope,
        summary=summary(report).capitalize(),
        tone=_TONES[report.exit_status],
        facts=_facts(report),
        racks=[(name, tuple(nodes)) for name, nodes in groupby(report.nodes, key=lambda node: node.rack)],
        prefix=_common_prefix([node.name for node in report.nodes]),
        wide=any(node.gpus > _WIDE for node in report.nodes),
        any_not_mutated=any(pod.not_mutated for pod in pods),
        any_without_gpu=any(pod.cluster and not pod.gpus for pod in pods),
        any_unschedulable=any(node.unschedulable for node in report.nodes),
        labels={cluster.title: cluster.label for cluster in report.clusters},
        looks={cluster.title: _look(index) for index, cluster in enumerate(report.clusters)},
        clusters=sorted(report.clusters, key=_priority),
        usage=usage,
        states=states,
        policy=policy,
        description=_node_text,
        absent=absent,
        cluster_resource=CLUSTERS,
        most_findings=_FINDINGS,
        most_rows=_ROWS,
        style=_packaged("page.css"),
        script=_packaged("page.js"),
        csp=content_security_policy(live=bool(every)),
    )


def content_security_policy(*, live: bool) -> str:
    """Return the policy: the page's own style and script, and requests to its own server if it is `live`."""
    directives = {
        "default-src": "'none'",
        "style-src": _hash("page.css"),
        "script-src": _hash("page.js"),
        "img-src": "data:",  # the empty icon, which prevents a request for one
        "connect-src": "'self'" if live else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{directive} {source}" for directive, source in directives.items())


def _packaged(name: str) -> Markup:
    """Return a file of this package; it contains no text from a cluster."""
    return Markup(resources.files("webhook.status").joinpath(name).read_text(encoding="utf-8"))  # noqa: S704 - ours


def _hash(name: str) -> str:
    digest = hashlib.sha256(_packaged(name).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _look(index: int) -> str:
    """Return the CSS classes of a cluster's colour and pattern."""
    return f"c{index % _COLOURS} p{index // _COLOURS % _PATTERNS}"


def _facts(report: Report) -> tuple[tuple[str, str, str], ...]:
    """Return the figures above the map: name, value and note."""
    workers = [worker for cluster in report.clusters for worker in cluster.workers]
    not_mutated = sum(worker.state is WorkerState.NOT_MUTATED for worker in workers)
    total, free = sum(node.gpus for node in report.nodes), sum(node.free for node in report.nodes)
    status, configuration = report.installation, "mutatingwebhookconfigurations"
    missing = "unknown" if status.configurations else "not installed"
    clusters = str(len(report.clusters) or absent(report, "0", CLUSTERS))
    allocated = absent(report, str(total - free), "nodes", "pods")
    replicas = None if status.desired is None else f"{status.ready} of {status.desired}"
    return (
        ("Dask clusters", clusters, ""),
        ("Workers", str(len(workers)) if workers else absent(report, "0", "pods"), f"{not_mutated} not mutated"),
        ("GPUs allocated", allocated, f"of {total} on {len(report.nodes)} nodes"),
        ("Nodes used by clusters", *_nodes_used(report)),
        ("Webhook replicas ready", replicas or absent(report, missing, configuration, "deployments"), ""),
        ("Certificate expires", (status.expires or "")[:10] or absent(report, missing, configuration, "secrets"), ""),
    )


def _nodes_used(report: Report) -> tuple[str, str]:
    """Return the nodes of the clusters whose minimum is known, and the sum of their minimums."""
    domains = [cluster.nodes for cluster in report.clusters if cluster.nodes.minimum is not None]
    if not domains:
        return absent(report, "-", "nodes", "pods"), ""
    minimum = sum(nodes.minimum or 0 for nodes in domains)
    return str(sum(len(nodes.used) for nodes in domains)), f"minimum possible: {minimum}"


def _common_prefix(names: list[str]) -> str:
    """Return the part before the last dash that all names share; the map omits it."""
    prefix = commonprefix(names) if len(names) > 1 else ""  # noqa: RUF071 - node names, not paths
    return prefix[: prefix.rfind("-") + 1]


def _node_text(node: NodeReport) -> str:
    """Return the description of a node, for screen readers and the line below the map."""
    parts = [f"{node.name}: {node.gpus} GPU{'' if node.gpus == 1 else 's'}, {node.free} free"]
    if node.unschedulable:
        parts.append("unschedulable")
    for title, pods in groupby(node.pods, key=lambda pod: pod.cluster):
        parts.append(f"{title or 'other pods'}: {', '.join(map(_pod_text, pods))}")
    return "; ".join(parts)


def _pod_text(pod: PodGpus) -> str:
    name = pod.pod.partition("/")[2] if pod.cluster else pod.pod
    notes = ["not mutated"] if pod.not_mutated else []
    if pod.gpus != 1:
        notes.append(f"{pod.gpus} GPUs" if pod.gpus else "no GPU")
    return f"{name} ({', '.join(notes)})" if notes else name


def _priority(cluster: ClusterReport) -> tuple[int, int, str]:
    """Return the sort key: most workers that were not mutated first, then the largest surplus of nodes."""
    return -cluster.count(WorkerState.NOT_MUTATED), -cluster.nodes.surplus, cluster.title
