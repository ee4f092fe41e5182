"""The whole reference, from the code: `python -m tests.unit.deploy.reference` rewrites deploy/reference.md."""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.routing import Route

from tests.unit.deploy.chart import DEPLOY
from webhook.admission.handler import Status
from webhook.cli.main import app
from webhook.cli.options import ServeOptions
from webhook.cli.wiring import assemble
from webhook.http.app import Webhook, create_app
from webhook.kube.namespaces.static import Static
from webhook.mutators import RULES
from webhook.mutators.decision import Reason
from webhook.policy import ANNOTATIONS, ENABLED, PREFIX, Policy
from webhook.review import explained
from webhook.status.model import Cause, WorkerState
from webhook.telemetry.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

REFERENCE = DEPLOY / "reference.md"

_HEADER = """\
# Reference

Every command, flag, environment variable, annotation, metric, reason and endpoint. Written from the code by
`make render`: change the code, not this.
"""
# Of other people's making, so no flag of ours says it.
_OTHERS = (
    ("`KUBECONFIG`", "where the cluster is, without `--kubeconfig`", "review, enable, disable, status"),
    ("`NO_COLOR`", "set to anything: no colour in a terminal", "every command"),
)
_KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "any",
    "contexts": [{"name": "any", "context": {"cluster": "any", "user": "any"}}],
    "clusters": [{"name": "any", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "any", "user": {}}],
}


def reference() -> str:
    """What deploy/reference.md has to hold."""
    # cyclopts leaves how this process was started in the usage of commands: `dask-colocate serve -m pytest`.
    commands = re.sub(
        r"^(dask-colocate [\w ]+?) -m [\w.]+", r"\1", app.generate_docs(heading_level=2), flags=re.MULTILINE
    )
    parts = (
        _HEADER,
        commands.replace("## dask-colocate\n", "## Commands\n", 1),
        _section("Environment variables", ("variable", "is", "of"), _variables(commands)),
        _section(f"Annotations of a Namespace, each with `{PREFIX}` before it", *_annotations()),
        f'On a DaskCluster, DaskWorkerGroup, DaskJob or worker Pod `{ENABLED}: "false"` opts that object out.\n',
        _section("Rules", ("rule", "on pods of role", "what it does"), _rules()),
        _section("Reasons of decisions", ("reason", "meaning"), ((f"`{each}`", each.meaning) for each in Reason)),
        _section("Statuses of admissions", ("status", "meaning"), ((f"`{each}`", explained(each)) for each in Status)),
        _section(
            "States of worker pods in `status`",
            ("state", "meaning"),
            ((f"`{each}`", each.meaning) for each in WorkerState),
        ),
        _section(
            "Causes of workers that were not mutated",
            ("cause", "meaning"),
            ((f"`{each}`", each.meaning) for each in Cause),
        ),
        _section("Metrics", ("metric", "type", "labels", "meaning"), _metrics()),
        "Beside these `process_*`, which every Python program with Prometheus' client has.\n",
        _section("Endpoints", ("request", "answer"), _endpoints()),
    )
    return "\n".join(part.strip() + "\n" for part in parts)


def _section(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return f"## {title}\n\n" + "\n".join(f"| {' | '.join(' '.join(cell.split()) for cell in row)} |" for row in lines)


def _variables(commands: str) -> Iterable[Sequence[str]]:
    """Each variable, the flag or argument that it stands for, and the commands that take it."""
    found: Mapping[tuple[str, str], list[str]] = defaultdict(list)
    for section in commands.split("### dask-colocate ")[1:]:
        command = section.partition("\n")[0]
        for parameter in section.split("\n* ")[1:]:
            if variable := re.search(r"\[env: (\w+)\]", parameter):
                name = re.split(r"[ ,`]", parameter.removeprefix("`"), maxsplit=1)[0]
                found[variable[1], name].append(command)
    yield from ((f"`{key}`", f"`{name}`", ", ".join(of)) for (key, name), of in sorted(found.items()))
    yield from _OTHERS


def _annotations() -> tuple[Sequence[str], Iterable[Sequence[str]]]:
    rows = ((f"`{each.name}`", each.accepted, f"`{each.value(Policy())}`", each.meaning) for each in ANNOTATIONS)
    return ("annotation", "accepted", "default", "meaning"), rows


def _rules() -> Iterable[Sequence[str]]:
    for role, rules in RULES.items():
        for name, rule in rules.items():
            yield f"`{name}`", role, (rule.__doc__ or "").partition("\n")[0]


def _metrics() -> Iterable[Sequence[str]]:
    """Those of a replica that watches a cluster and keeps its own certificate, which has them all."""
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder, "kubeconfig")
        kubeconfig.write_text(json.dumps(_KUBECONFIG))
        registry = assemble(ServeOptions(kubeconfig=kubeconfig, events=True, capacity_hints=True)).recorder.registry
    named = registry._names_to_collectors  # noqa: SLF001 - no public way leads from a metric to its labels
    for metric in registry.collect():
        if metric.name not in named:  # the process's own, of which there are other ones on each system
            continue
        labels = getattr(named[metric.name], "_labelnames", getattr(metric, "_labelnames", ()))
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        yield f"`{name}`", metric.type, ", ".join(f"`{label}`" for label in labels), metric.documentation


def _endpoints() -> Iterable[Sequence[str]]:
    recorder = Recorder()
    for route in create_app(Webhook(Static(()), Policy(), recorder), recorder, {}).routes:
        if isinstance(route, Route):
            methods = ", ".join(sorted((route.methods or set()) - {"HEAD"}))
            yield f"`{methods} {route.path}`", (route.endpoint.__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    REFERENCE.write_text(reference())
