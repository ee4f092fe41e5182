"""The hook for pre-commit, without pre-commit: what it would run."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from importlib import resources
from pathlib import Path

import pytest
import yaml

from tests.terminal import SECONDS, argv, environment

ROOT = Path(__file__).parents[2]
EXAMPLES = Path(str(resources.files("webhook.cli"))) / "examples"
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())


@pytest.mark.parametrize(("example", "status"), [("cluster.yaml", 1), ("guide-cluster.yaml", 0)])
def test_hook_fails_where_something_would_change(example: str, status: int, tmp_path: Path) -> None:
    """The hook runs in a repository's root and ends with 1 for the stripped manifest, 0 for the guide's."""
    (hook,) = HOOKS
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / example).write_text((EXAMPLES / example).read_text())
    program, *arguments = [*shlex.split(hook["entry"]), *hook["args"]]
    assert program in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    done = subprocess.run(
        argv(*arguments),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert (f"manifests/{example}:3" in done.stdout) is bool(status)


def test_hook_has_what_pre_commit_asks_for() -> None:
    """The hook has the keys that pre-commit requires, and wakes up for YAML and JSON only."""
    (hook,) = HOOKS
    assert {"id", "name", "entry", "language"} <= hook.keys()
    assert [bool(re.search(hook["files"], name)) for name in ("a/b.yaml", "c.yml", "d.json", "e.py")] == [
        True,
        True,
        True,
        False,
    ]
