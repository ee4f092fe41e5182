"""Terminal output, and plain text without a terminal."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from tests.unit.status.factories import WorkerPod, ago, cluster, namespace, node, snapshot
from webhook.cli.progress import UNFOLDED_WIDTH
from webhook.status.page import page
from webhook.status.report import report
from webhook.status.snapshot import Unreadable
from webhook.status.terminal import print_report, summary

if TYPE_CHECKING:
    from pathlib import Path

    from webhook.status.model import Report


def output(result: Report, width: int = 200, *, terminal: bool = False) -> str:
    """Return the report's text for a terminal of this width."""
    stream = io.StringIO()
    print_report(Console(file=stream, width=width, force_terminal=terminal), result)
    return stream.getvalue()


def test_sections() -> None:
    """The text has the installation, namespaces, clusters with nodes used, findings with commands, and the result."""
    pods = (
        *(WorkerPod(name=f"w{name}", node=name).pod() for name in "ab"),
        WorkerPod(name="m", cluster="late", mutated=False).pod(),
    )
    nodes = tuple(node(name, 2, zone="r") for name in "ab")
    rapids = namespace(gpu_limit="2", apart="x")
    text = output(report(snapshot(namespaces=(rapids,), nodes=nodes, pods=pods, clusters=(cluster(),))))
    for part in (
        "2 of 2 ready",
        "gpu-limit=2",
        "2 (1)",
        "1 not-mutated",
        "Action required",
        "! rapids/late: 1 of 1 workers were not mutated",
        "created while the webhook was unavailable or had other rules: m",
        "kubectl delete pod -n rapids m",
        "Warning: this command ends the tasks that run on these workers",
        "! namespace/rapids: namespace annotation colocate.dask.org/apart='x'",
        "2 issues found",
    ):
        assert part in text, part


def test_last_line_is_the_result() -> None:
    """The last line is the result."""
    assert output(report(snapshot())).splitlines()[-1].startswith("no issues found")
    assert summary(report(snapshot(pods=(WorkerPod(name="w", mutated=False).pod(),)))) == "1 issue found"


def test_unreadable_resource() -> None:
    """An unreadable resource is listed with the reason and a command."""
    command = "kubectl auth can-i list nodes --all-namespaces"
    text = output(report(snapshot(unreadable=(Unreadable("nodes", "", "no permission to list", command),))))
    assert "Notices" in text
    assert "? nodes: not readable: no permission to list" in text
    assert command in text
    assert "no issues found; 1 resource not readable" in text


@pytest.mark.parametrize(
    ("resource", "field", "absent"),
    [
        ("mutatingwebhookconfigurations", "configurations", "configuration  none"),
        ("namespaces", "namespaces", "none is enabled"),
        ("daskclusters.kubernetes.dask.org", "clusters", "no Dask clusters"),
    ],
)
def test_unreadable_is_not_none(resource: str, field: str, absent: str) -> None:
    """Terminal and page say "not readable", not "none", for a resource that is not readable."""
    readable = report(snapshot(**{field: ()}))
    unreadable = (Unreadable(resource, "", "no permission to list", "kubectl auth can-i"),)
    result = report(snapshot(**{field: ()}, unreadable=unreadable))
    assert absent in output(readable)
    assert absent not in output(result)
    assert output(result).count("not readable") == 3  # in its section, in the list, in the result
    assert page(result).count("not readable") > page(readable).count("not readable") + 2


def test_unreadable_pods_are_not_zero_workers() -> None:
    """A cluster whose pods are not readable has no number of workers, GPUs and nodes."""
    unreadable = (Unreadable("pods", "", "no permission to list", "kubectl auth can-i"),)
    text = output(report(snapshot(clusters=(cluster(),), unreadable=unreadable)))
    (row,) = (line for line in text.splitlines() if "rapids/demo" in line)
    assert row.count("not readable") == 3
    assert "0" not in row


def test_colours_only_in_a_terminal() -> None:
    """A file gets no control characters, a terminal gets colours."""
    result = report(snapshot(pods=(WorkerPod(name="m", mutated=False).pod(),)))
    assert "\x1b" not in output(result)
    assert "\x1b[" in output(result, terminal=True)


def test_commands_stay_on_one_line() -> None:
    """A command can be copied from a terminal of any width."""
    result = report(snapshot(pods=(WorkerPod(name="a-pod-with-quite-a-long-name", mutated=False).pod(),)))
    assert "kubectl delete pod -n rapids a-pod-with-quite-a-long-name" in output(result, width=30)


def test_every_pod_is_named() -> None:
    """Text and page name each pod that was not mutated with its cause, and one command replaces all pods."""
    old = tuple(WorkerPod(name=f"old-{index}", mutated=False, created=ago(days=3)) for index in range(20))
    new = tuple(WorkerPod(name=f"new-{index}", mutated=False) for index in range(20))
    result = report(snapshot(pods=tuple(worker.pod() for worker in (*old, *new))))
    (issue,) = result.issues
    assert issue.message == "40 of 40 workers were not mutated"
    for text in (output(result, width=10_000), page(result)):
        assert all(worker.name in text for worker in (*old, *new))
        assert text.count("kubectl delete") == 1
    down, before = issue.details
    assert down.startswith("created while the webhook was unavailable")
    assert "new-19" in down
    assert "old-19" in before


def test_lines_without_a_terminal() -> None:
    """Without a terminal no line is padded to the console's width, and no name is truncated."""
    name = "a-name-that-fills-all-the-sixty-three-characters-of-a-labels-va"
    pods = (WorkerPod(name="m", cluster=name, mutated=False).pod(),)
    text = output(report(snapshot(clusters=(cluster(name),), pods=pods)), width=UNFOLDED_WIDTH)
    assert text.count(f"rapids/{name}") == 2
    assert max(map(len, text.splitlines())) < 1000


def test_markup_is_text() -> None:
    """Square brackets in names are no markup."""
    assert "[red]x[/red]" in output(report(snapshot(clusters=(cluster("[red]x[/red]"),))))


def test_unreachable_api_server(tmp_path: Path) -> None:
    """An unreachable API server gives status 2 and one line with its URL."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        """{"apiVersion": "v1", "kind": "Config", "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}], "users": [{"name": "x", "user": {}}],
        "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:9"}}]}"""
    )
    done = run("--kubeconfig", str(kubeconfig))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("dask-colocate: https://127.0.0.1:9 is not reachable")
    assert len(done.stderr.splitlines()) == 1


def test_no_kubeconfig(tmp_path: Path) -> None:
    """A missing kubeconfig gives status 2 and the option that names another."""
    done = run("--kubeconfig", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "set KUBECONFIG or use --kubeconfig FILE" in done.stderr


def test_mutually_exclusive_options() -> None:
    """--watch and --html are mutually exclusive."""
    done = run("--watch", "--html", "x.html")
    assert done.returncode == 2
    assert "mutually exclusive" in done.stdout + done.stderr


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """Run `dask-colocate status`."""
    argv = [sys.executable, "-m", "webhook", "status", *options]
    return subprocess.run(argv, capture_output=True, text=True, check=False)
