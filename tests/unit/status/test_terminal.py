"""What people read in a terminal, and programs from a pipe."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from tests.unit.status.factories import Worker, ago, cluster, namespace, node, snapshot
from webhook.cli.progress import PLAIN
from webhook.status.page import page
from webhook.status.report import report
from webhook.status.snapshot import Unread
from webhook.status.terminal import write

if TYPE_CHECKING:
    from pathlib import Path

    from webhook.status.model import Report


def shown(found: Report, width: int = 200, *, terminal: bool = False) -> str:
    """The report's text, as wide as a line may be."""
    out = io.StringIO()
    write(Console(file=out, width=width, force_terminal=terminal), found)
    return out.getvalue()


def test_everything_that_matters_is_in_the_text() -> None:
    """Webhook, namespaces with what differs, clusters against the fewest nodes, findings with commands, verdict."""
    pods = (*(Worker(name=f"w{on}", node=on).pod() for on in "ab"), Worker(name="m", of="late", mutated=False).pod())
    nodes = tuple(node(name, 2, zone="r") for name in "ab")
    space = namespace(gpu_limit="2", apart="x")
    text = shown(report(snapshot(namespaces=(space,), nodes=nodes, pods=pods, clusters=(cluster(),))))
    for part in (
        "2 of 2 ready",
        "gpu-limit=2",
        "2/1",
        "1 missed",
        "! rapids/late: 1 of 1 workers missed",
        "created while the webhook did not answer, or had other rules: m",
        "kubectl delete pod -n rapids m",
        "! namespace/rapids: namespace annotation colocate.dask.org/apart='x'",
        "2 things need care",
    ):
        assert part in text, part


def test_all_in_order_ends_with_that() -> None:
    """The last line is the verdict."""
    assert shown(report(snapshot())).splitlines()[-1].startswith("all in order")


def test_what_could_not_be_read_is_said() -> None:
    """With the resource, the reason and the command that shows it."""
    command = "kubectl auth can-i list nodes --all-namespaces"
    text = shown(report(snapshot(unread=(Unread("nodes", "", "you may not list them", command),))))
    assert "? nodes: you may not list them" in text
    assert command in text
    assert "in order as far as could be read; 1 could not" in text


def test_plain_where_there_is_no_terminal() -> None:
    """A file gets no control characters, a terminal gets colours."""
    found = report(snapshot(pods=(Worker(name="m", mutated=False).pod(),)))
    assert "\x1b" not in shown(found)
    assert "\x1b[" in shown(found, terminal=True)


def test_commands_stay_on_one_line() -> None:
    """A command is there to be copied, however narrow the terminal is."""
    found = report(snapshot(pods=(Worker(name="a-pod-with-quite-a-long-name", mutated=False).pod(),)))
    assert "kubectl delete pod -n rapids a-pod-with-quite-a-long-name" in shown(found, width=30)


def test_every_missed_pod_is_named() -> None:
    """In text and on the page each missed pod has its name and its cause, and one command mends the cluster."""
    old = tuple(Worker(name=f"old-{index}", mutated=False, born=ago(days=3)) for index in range(20))
    new = tuple(Worker(name=f"new-{index}", mutated=False) for index in range(20))
    found = report(snapshot(pods=tuple(worker.pod() for worker in (*old, *new))))
    (finding,) = found.issues
    assert finding.text == "40 of 40 workers missed"
    for text in (shown(found, width=10_000), page(found)):
        assert all(worker.name in text for worker in (*old, *new))
        assert text.count("kubectl delete") == 1
    down, before = finding.details
    assert down.startswith("created while the webhook did not answer")
    assert "new-19" in down
    assert "old-19" in before


def test_a_pipe_gets_a_line_for_a_line() -> None:
    """As wide as a pipe's text may be, no line is filled up with blanks, and no name is cut."""
    long = "a-name-that-fills-all-the-sixty-three-characters-of-a-labels-va"
    found = report(snapshot(clusters=(cluster(long),), pods=(Worker(name="m", of=long, mutated=False).pod(),)))
    text = shown(found, width=PLAIN)
    assert text.count(f"rapids/{long}") == 2
    assert max(map(len, text.splitlines())) < 1000  # no line is filled up to the console's width


def test_markup_is_text() -> None:
    """Square brackets in names are no colours."""
    assert "[red]x[/red]" in shown(report(snapshot(clusters=(cluster("[red]x[/red]"),))))


def test_nothing_answers(tmp_path: Path) -> None:
    """A cluster that is not there: status 2, and one sentence that names it and what to do next."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        """{"apiVersion": "v1", "kind": "Config", "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}], "users": [{"name": "x", "user": {}}],
        "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:9"}}]}"""
    )
    argv = [sys.executable, "-m", "webhook", "status", "--kubeconfig", str(kubeconfig)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("dask-colocate: https://127.0.0.1:9 does not answer")
    assert len(done.stderr.splitlines()) == 1


def test_no_kubeconfig(tmp_path: Path) -> None:
    """A kubeconfig that is not there is named."""
    argv = [sys.executable, "-m", "webhook", "status", "--kubeconfig", str(tmp_path / "none")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "give --kubeconfig FILE, or set KUBECONFIG" in done.stderr


def test_what_excludes_each_other() -> None:
    """A page that is written once and a watch that goes on are two wishes: refused before anything is read."""
    argv = [sys.executable, "-m", "webhook", "status", "--watch", "--html", "x.html"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "exclude each other" in done.stdout + done.stderr
