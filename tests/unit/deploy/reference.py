"""Generator of deploy/reference.md: `python -m tests.unit.deploy.reference` writes it from the code."""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.routing import Route

from tests.unit.deploy.chart import DEPLOY
from webhook.admission.response import Status
from webhook.cli.main import app
from webhook.cli.options import ServeOptions
from webhook.cli.wiring import build_server
from webhook.http.app import Webhook, create_app
from webhook.kube.namespaces.static import StaticNamespaces
from webhook.mutators import RULES
from webhook.mutators.decision import Reason
from webhook.policy import ANNOTATIONS, ENABLED, PREFIX, Policy
from webhook.review import describe_status
from webhook.status.model import Cause, WorkerState
from webhook.telemetry.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

REFERENCE = DEPLOY / "reference.md"

_HEADER = """\
# Reference

For users and administrators: every command, flag, environment variable, annotation, metric, reason and endpoint.
`make render` generates this page from the code.
"""
# Variables that are not flags of dask-colocate.
_OTHER_VARIABLES = (
    ("`KUBECONFIG`", "default of `--kubeconfig`", "review, enable, disable, status"),
    ("`NO_COLOR`", "disable colours in a terminal", "every command"),
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
    """Return the content of deploy/reference.md."""
    # cyclopts adds the arguments of this process to the usage of commands: `dask-colocate serve -m pytest`.
    commands = re.sub(
        r"^(dask-colocate [\w ]+?) -m [\w.]+", r"\1", app.generate_docs(heading_level=2), flags=re.MULTILINE
    )
    parts = (
        _HEADER,
        commands.replace("## dask-colocate\n", "## Commands\n", 1),
        _section("Environment variables", ("variable", "flag or argument", "commands"), _variables(commands)),
        _section(f"Annotations of a Namespace, with the prefix `{PREFIX}`", *_annotations()),
        f'On a DaskCluster, DaskWorkerGroup, DaskJob or worker Pod `{ENABLED}: "false"` excludes the object.\n',
        _section("Rules", ("rule", "role of the pods", "effect"), _rules()),
        _section("Reasons of decisions", ("reason", "meaning"), ((f"`{each}`", each.meaning) for each in Reason)),
        _section(
            "Statuses of admissions", ("status", "meaning"), ((f"`{each}`", describe_status(each)) for each in Status)
        ),
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
        "The Prometheus client adds the `process_*` metrics.\n",
        _section("Endpoints", ("request", "response"), _endpoints()),
    )
    return "\n".join(part.strip() + "\n" for part in parts)


def _section(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return f"## {title}\n\n" + "\n".join(f"| {' | '.join(' '.join(cell.split()) for cell in row)} |" for row in lines)


def _variables(commands: str) -> Iterable[Sequence[str]]:
    """Yield each variable, its flag or argument, and the commands that accept it."""
    found: Mapping[tuple[str, str], list[str]] = defaultdict(list)
    for section in commands.split("### dask-colocate ")[1:]:
        command = section.partition("\n")[0]
        for parameter in section.split("\n* ")[1:]:
            if variable := re.search(r"\[env: (\w+)\]", parameter):
                name = re.split(r"[ ,`]", parameter.removeprefix("`"), maxsplit=1)[0]
                found[variable[1], name].append(command)
    yield from ((f"`{key}`", f"`{name}`", ", ".join(of)) for (key, name), of in sorted(found.items()))
    yield from _OTHER_VARIABLES


def _annotations() -> tuple[Sequence[str], Iterable[Sequence[str]]]:
    rows = ((f"`{each.name}`", each.accepted, f"`{each.value(Policy())}`", each.meaning) for each in ANNOTATIONS)
    return ("annotation", "accepted", "default", "meaning"), rows


def _rules() -> Iterable[Sequence[str]]:
    for role, rules in RULES.items():
        for name, rule in rules.items():
            yield f"`{name}`", role, (rule.__doc__ or "").partition("\n")[0]


def _metrics() -> Iterable[Sequence[str]]:
    """Yield the metrics of a replica with all features enabled."""
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder, "kubeconfig")
        kubeconfig.write_text(json.dumps(_KUBECONFIG))
        registry = build_server(ServeOptions(kubeconfig=kubeconfig, events=True, capacity_hints=True)).recorder.registry
    named = registry._names_to_collectors  # noqa: SLF001 - no public way leads from a metric to its labels
    for metric in registry.collect():
        if metric.name not in named:  # metrics of the process, which differ between systems
            continue
        labels = getattr(named[metric.name], "_labelnames", getattr(metric, "_labelnames", ()))
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        yield f"`{name}`", metric.type, ", ".join(f"`{label}`" for label in labels), metric.documentation


def _endpoints() -> Iterable[Sequence[str]]:
    recorder = Recorder()
    for route in create_app(Webhook(StaticNamespaces(()), Policy(), recorder), recorder, {}).routes:
        if isinstance(route, Route):
            methods = ", ".join(sorted((route.methods or set()) - {"HEAD"}))
            yield f"`{methods} {route.path}`", (route.endpoint.__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    REFERENCE.write_text(reference())
