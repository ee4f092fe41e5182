"""Detection of the container that runs Dask, and of unsupported shell texts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.mutators.command.cases import decided
from webhook.mutators.decision import Reason
from webhook.workloads import pod_templates
from webhook.workloads.argv import starts_scheduler, starts_worker


@pytest.mark.parametrize(
    "container",
    [
        {"args": ["conda", "run", "-n", "x", "dask", "worker"]},
        {"command": ["sh", "-c"], "args": ["cd /ws && exec dask-worker"]},
        {"args": ["uv", "run", "-m", "dask", "worker"]},
        {"args": ["python", "-m", "dask_cuda.cli"]},
        {"command": ["sh", "-c"], "args": ["while true; do dask-worker; done"]},
    ],
)
def test_container_that_starts_the_worker_is_chosen(container: dict[str, Any]) -> None:
    """The container that is certain to start a worker is chosen, at any index and with any name."""
    sidecar = {"name": "worker", "args": ["tail", "-f", "/dask-worker-space/dask-worker.log"]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {"dask.org/component": "worker"}},
        "spec": {"containers": [sidecar, {"name": "main", **container}]},
    }
    subject = pod_templates.read(pod)
    assert subject is not None
    chosen = subject.targets[0].container
    assert chosen is not None
    assert (chosen.index, chosen.name) == (1, "main")


@pytest.mark.parametrize(
    "args",
    [
        ["dask-scheduler"],
        ["dask", "scheduler"],
        ["tini", "--", "/opt/conda/bin/dask-scheduler"],
        ["python", "-m", "distributed.cli.dask_scheduler"],
        ["sh", "-c", "cd /x || exit 1; exec dask-scheduler"],
    ],
)
def test_scheduler_is_detected(args: list[str]) -> None:
    """Each command form of the Dask scheduler starts a scheduler and no worker."""
    assert starts_scheduler({"args": args})
    assert not starts_worker({"args": args})


@pytest.mark.parametrize(
    "args",
    [
        ["tail", "dask-scheduler.log"],
        ["--upstream=http://dask-scheduler:8787"],
        ["scheduler"],
        ["worker"],
        ["--path=/var/log/dask-worker"],
        ["--home=/opt/dask", "worker"],
        ["proxy", "--tag", "dask-worker"],
    ],
)
def test_a_mention_starts_nothing(args: list[str]) -> None:
    """Arguments that only name Dask, or go to an unknown entrypoint, start neither a worker nor a Dask scheduler."""
    assert not starts_scheduler({"args": args})
    assert not starts_worker({"args": args})


@pytest.mark.parametrize(
    "text", ["dask-worker --name w\r\n", "dask-worker" + " x" * 500, "dask-worker\f", "dask-worker \\"]
)
def test_unsupported_texts(text: str) -> None:
    """A text with unsupported syntax, or with more than 500 words, is not converted."""
    assert decided({"args": ["sh", "-c", text]}, {}).reason is Reason.COMMAND_SHELL_UNSURE


def test_long_names_are_truncated() -> None:
    """A container name of 63 characters does not remove the end of the warning that contains it."""
    decision = decided({"name": "n" * 63, "args": ["w" * 63, "dask-worker"]}, {})
    assert decision.warnings[0].endswith("use dask-cuda-worker")
