"""Run `dask-colocate status` as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.bed.api import Object
    from tests.e2e.bed.bed import Bed


def command(kubeconfig: Path, *flags: str) -> list[str]:
    """Return the command with the credentials of a kubeconfig."""
    return [sys.executable, "-m", "webhook", "status", "--kubeconfig", str(kubeconfig), *flags]


def status(bed: Bed, *flags: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command with the credentials of an admin, or of `kubeconfig`."""
    argv = command(kubeconfig or bed.plane.kubeconfig, *flags)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout, done.stderr
    return done


def document(bed: Bed, *flags: str, kubeconfig: Path | None = None) -> Object:
    """Return the JSON output."""
    report: Object = json.loads(status(bed, "--output", "json", *flags, kubeconfig=kubeconfig).stdout)
    return report


def issues(report: Object) -> list[Object]:
    """Return the findings that require action."""
    return [finding for finding in report["findings"] if finding["action_required"]]


def apply_fix(bed: Bed, finding: Object) -> None:
    """Run the fix of a finding unchanged in a shell with kubectl."""
    path = f"{bed.plane.programs['kubectl'].parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(bed.plane.kubeconfig)}
    argv = ["bash", "-o", "pipefail", "-c", finding["fix"]]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert not done.returncode, done.stderr
