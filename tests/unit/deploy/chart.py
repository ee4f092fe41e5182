"""The chart through the real helm: render it, and write `deploy/kustomize` from it.

`python -m tests.unit.deploy.chart` rewrites deploy/kustomize; a test compares the two.
"""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.bed.binaries import CHART_TOOLS, locate

Object = dict[str, Any]

DEPLOY = Path(__file__).parents[3] / "deploy"
CHART = DEPLOY / "chart"
KUSTOMIZE = DEPLOY / "kustomize"
NAME = "dask-colocate"

# What says that Helm put an object there: with kustomize it did not.
_HELMS_OWN = re.compile(r"^ +(app\.kubernetes\.io/managed-by|helm\.sh/chart): .*\n", re.MULTILINE)
_HEADER = "# Rendered from deploy/chart by `python -m tests.unit.deploy.chart`: change the chart, not this.\n"


@functools.cache
def helm() -> str:
    """The program; built from its Go module where there is none yet."""
    return str(locate(CHART_TOOLS)["helm"])


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm to its end; its exit status is the caller's business."""
    return subprocess.run([helm(), *arguments], capture_output=True, text=True, check=False, timeout=60)


def template(*settings: str) -> str:
    """The manifests with `--set` settings; the release and its namespace are called as the README does."""
    flags = [flag for setting in settings for flag in ("--set", setting)]
    done = run("template", NAME, str(CHART), "--namespace", NAME, *flags)
    assert not done.returncode, done.stderr
    return done.stdout


def rendered(*settings: str) -> list[Object]:
    """The objects with `--set` settings, the test's among them."""
    return [each for each in yaml.safe_load_all(template(*settings)) if each]


def only(kind: str, *settings: str) -> Object:
    """The one object of a kind that is part of an installation."""
    (found,) = (
        each
        for each in rendered(*settings)
        if each["kind"] == kind and "helm.sh/hook" not in each["metadata"].get("annotations", {})
    )
    return found


def kustomization() -> dict[str, str]:
    """What deploy/kustomize has to hold: text by file name."""
    files: dict[str, str] = {}
    for document in template("namespace.create=true").split("---\n# Source: ")[1:]:
        source, _, text = document.partition("\n")
        if "/tests/" in source:
            continue
        name = Path(source).name
        text = _HELMS_OWN.sub("", text).strip() + "\n"
        files[name] = f"{files[name]}---\n{text}" if name in files else _HEADER + text
    resources = "".join(f"  - {name}\n" for name in sorted(files))
    files["kustomization.yaml"] = (
        f"{_HEADER}apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n{resources}"
    )
    return files


if __name__ == "__main__":
    for stale in KUSTOMIZE.glob("*.yaml"):
        stale.unlink()
    for name, text in kustomization().items():
        (KUSTOMIZE / name).write_text(text)
