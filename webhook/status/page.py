"""A Report as one page that needs nothing else: no network, no file beside it, no script but its own.

Everything that comes from the cluster goes through the template's escaping. The Content-Security-Policy names the
hashes of the one style sheet and the one script, so that nothing else would run if it ever got in.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from itertools import groupby
from os.path import commonprefix

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from webhook.status.model import Cluster, Held, Node, Report, Spread, State
from webhook.status.terminal import policy, states, verdict

_COLOURS, _PATTERNS = 10, 4  # as page.css has them
_TWO = 2  # letters that fit into a cell
_WIDE = 8  # GPUs that fit on one line of a rack
_FINDINGS, _ROWS = 4, 100  # shown at once; the others are one click away, and cost no layout until then
_TONES = {0: "good", 1: "bad", 2: "unsure"}

_templates = Environment(
    loader=PackageLoader("webhook", "status"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class _Fact:
    """A figure above the map."""

    name: str
    value: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class _Cell:
    """One GPU: its classes, what is written on it, and the title of its cluster."""

    look: str
    letters: str = ""
    of: str = ""


@dataclass(frozen=True, slots=True)
class _Node:
    """A node: its workers without a GPU, its GPUs, and both in words."""

    name: str
    short: str
    closed: bool
    tab: int
    without: tuple[_Cell, ...]
    cells: tuple[_Cell, ...]
    said: str


@dataclass(frozen=True, slots=True)
class _Rack:
    """A rack and how many of its GPUs are held."""

    name: str
    held: int
    gpus: int
    nodes: tuple[_Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A cluster in the table."""

    title: str
    look: str
    letters: str
    workers: int
    gpus: int
    nodes: str
    racks: str
    more_nodes: bool
    more_racks: bool
    states: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class _Served:
    """A namespace in the table."""

    name: str
    served: str
    policy: str


def page(report: Report, *, every: int = 0, scope: str | None = None) -> str:
    """The page's HTML.

    Args:
        report: What it shows.
        every: Seconds after which a served page looks again; 0 for a file, which never does.
        scope: The only namespace that was looked at.
    """
    looks = {cluster.title: _look(index) for index, cluster in enumerate(report.clusters)}
    style, script = _packaged("page.css"), _packaged("page.js")
    racks = _racks(report, looks)
    return _templates.get_template("page.html.j2").render(
        report=report,
        every=every,
        scope=scope,
        verdict=verdict(report).capitalize(),
        tone=_TONES[report.exit_status],
        facts=_facts(report),
        racks=racks,
        wide=any(node.gpus > _WIDE for node in report.nodes),
        any_missed=any(held.missed for node in report.nodes for held in node.held),
        any_without=any(held.cluster and not held.gpus for node in report.nodes for held in node.held),
        any_closed=any(node.closed for node in report.nodes),
        clusters=tuple(_row(one, looks[one.title]) for one in sorted(report.clusters, key=_urgency)),
        namespaces=tuple(_Served(one.name, "yes" if one.enabled else "no", policy(one)) for one in report.namespaces),
        most=_FINDINGS,
        rows=_ROWS,
        style=style,
        script=script,
        csp=content_security_policy(live=bool(every)),
    )


def content_security_policy(*, live: bool) -> str:
    """What the page may do: its own style and script, and, where it is `live`, ask its own server again."""
    allowed = {
        "default-src": "'none'",
        "style-src": _hashed("page.css"),
        "script-src": _hashed("page.js"),
        "img-src": "data:",  # the empty icon, without which a browser asks for one
        "connect-src": "'self'" if live else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{what} {who}" for what, who in allowed.items())


def _packaged(name: str) -> Markup:
    """A file of this package, as it stands; it holds nothing from a cluster."""
    return Markup(resources.files("webhook.status").joinpath(name).read_text(encoding="utf-8"))  # noqa: S704 - ours


def _hashed(name: str) -> str:
    digest = hashlib.sha256(_packaged(name).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _look(index: int) -> str:
    """Colour and pattern of the cluster with this number: 40 of them, and its letters besides."""
    return f"c{index % _COLOURS} p{index // _COLOURS % _PATTERNS}"


def _facts(report: Report) -> tuple[_Fact, ...]:
    workers = [worker for cluster in report.clusters for worker in cluster.workers]
    missed = sum(worker.state is State.MISSED for worker in workers)
    total, free = sum(node.gpus for node in report.nodes), sum(node.free for node in report.nodes)
    one = report.installation
    replicas = "not known" if one.desired is None else f"{one.ready} of {one.desired}"
    return (
        _Fact("Dask clusters", str(len(report.clusters))),
        _Fact("workers", str(len(workers)), f"{missed} missed" if missed else "none missed"),
        _Fact("GPUs held", str(total - free), f"of {total} on {len(report.nodes)} nodes"),
        _Fact("nodes of clusters", *_together(report)),
        _Fact("webhook replicas ready", replicas),
        _Fact("certificate until", one.expires[:10] if one.expires else "not known"),
    )


def _together(report: Report) -> tuple[str, str]:
    """Nodes used by the clusters whose fewest is known, and that."""
    judged = [cluster.nodes for cluster in report.clusters if cluster.nodes.fewest is not None]
    if not judged:
        return "-", ""
    fewest = sum(spread.fewest or 0 for spread in judged)
    return str(sum(len(spread.used) for spread in judged)), f"each at its fewest: {fewest}"


# ---- the map --------------------------------------------------------------------------------------


def _racks(report: Report, looks: Mapping[str, str]) -> tuple[_Rack, ...]:
    letters = {cluster.title: cluster.label for cluster in report.clusters}
    cut = _shared([node.name for node in report.nodes])
    look = partial(_cells, looks=looks, letters=letters)
    return tuple(
        _Rack(
            name=key or ("no such label" if report.rack_key else "all nodes"),
            held=sum(node.gpus - node.free for node in nodes),
            gpus=sum(node.gpus for node in nodes),
            nodes=tuple(_node(node, look, cut, 0 if node is report.nodes[0] else -1) for node in nodes),
        )
        for key, nodes in ((key, tuple(grouped)) for key, grouped in groupby(report.nodes, key=lambda node: node.rack))
    )


def _node(node: Node, look: Callable[[Held], tuple[_Cell, ...]], cut: int, tab: int) -> _Node:
    free = (_Cell("free"),) * node.free
    return _Node(
        name=node.name,
        short=node.name[cut:],
        closed=node.closed,
        tab=tab,
        without=tuple(cell for held in node.held if not held.gpus for cell in look(held)),
        cells=(*(cell for held in node.held if held.gpus for cell in look(held)), *free),
        said=_said(node),
    )


def _shared(names: list[str]) -> int:
    """How long the beginning is that all names share, up to a dash: what can be left out of each."""
    return commonprefix(names).rfind("-") + 1 if len(names) > 1 else 0  # noqa: RUF071 - these are no paths


def _cells(held: Held, looks: Mapping[str, str], letters: Mapping[str, str]) -> tuple[_Cell, ...]:
    if held.cluster is None:
        return (_Cell("other", "x"),) * held.gpus
    written = letters[held.cluster]
    notes = {" miss": held.missed, " none": not held.gpus, " three": len(written) > _TWO}
    look = looks[held.cluster] + "".join(note for note, holds in notes.items() if holds)
    return (_Cell(look, written, held.cluster),) * max(held.gpus, 1)


def _said(node: Node) -> str:
    """The node in words: for screen readers, and below the map."""
    parts = [f"{node.name}: {node.gpus} GPU{'' if node.gpus == 1 else 's'}, {node.free} free"]
    if node.closed:
        parts.append("takes no new pods")
    for title, grouped in groupby(node.held, key=lambda held: held.cluster):
        pods = ", ".join(_pod(held) for held in grouped)
        parts.append(f"{title or 'other pods'}: {pods}")
    return "; ".join(parts)


def _pod(held: Held) -> str:
    name = held.pod.partition("/")[2] if held.cluster else held.pod
    notes = [
        *(["missed"] if held.missed else []),
        *([f"{held.gpus or 'no'} GPU{'s' if held.gpus else ''}"] if held.gpus != 1 else []),
    ]
    return f"{name} ({', '.join(notes)})" if notes else name


# ---- the table --------------------------------------------------------------------------------------


def _urgency(cluster: Cluster) -> tuple[int, int, str]:
    """Missed workers first, then the widest spread."""
    surplus = len(cluster.nodes.used) - (cluster.nodes.fewest or len(cluster.nodes.used))
    return -cluster.count(State.MISSED), -surplus, cluster.title


def _row(cluster: Cluster, look: str) -> _Row:
    return _Row(
        title=cluster.title,
        look=look,
        letters=cluster.label,
        workers=len(cluster.workers),
        gpus=cluster.gpus,
        nodes=_spread(cluster.nodes),
        racks=_spread(cluster.racks),
        more_nodes=_surplus(cluster.nodes),
        more_racks=_surplus(cluster.racks),
        states=states(cluster),
    )


def _spread(spread: Spread) -> str:
    if not spread.used:
        return "-"
    return f"{len(spread.used)} / {'?' if spread.fewest is None else spread.fewest}{'' if spread.exact else '+'}"


def _surplus(spread: Spread) -> bool:
    return spread.fewest is not None and len(spread.used) > spread.fewest
