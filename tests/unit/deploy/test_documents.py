"""The documents of deploy/: what they tell people to write is accepted, and what they name exists."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.unit.deploy.chart import CHART, DEPLOY, NAME, run
from webhook.policy import ANNOTATIONS

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = {each.name: each.read_text() for each in sorted(DEPLOY.glob("*.md"))}
VALUES = re.findall(r"```yaml\n(# values\n.*?)```", TEXTS["README.md"], re.DOTALL)


@pytest.mark.parametrize("values", VALUES)
def test_values_are_accepted(values: str, tmp_path: Path) -> None:
    """Each values file that the README shows renders, so its names are the chart's."""
    path = tmp_path / "values.yaml"
    path.write_text(values)
    done = run("template", NAME, str(CHART), "--values", str(path))
    assert not done.returncode, done.stderr


def test_manifests_are_yaml() -> None:
    """Every other YAML block is a Kubernetes object."""
    blocks = [block for text in TEXTS.values() for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    others = [yaml.safe_load(block) for block in blocks if not block.startswith("# values")]
    assert len(others) == 2
    assert all({"apiVersion", "kind", "metadata", "spec"} == set(each) for each in others)


def test_annotations_exist() -> None:
    """Each annotation that is named is one of ours."""
    named = {key for text in TEXTS.values() for key in re.findall(r"colocate\.dask\.org/[a-z-]+", text)}
    assert named <= {each.key for each in ANNOTATIONS}


def test_alerts_are_told() -> None:
    """The README's table has every alert and no other."""
    (group,) = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())["groups"]
    assert re.findall(r"^\| (DaskColocate\w+)", TEXTS["README.md"], re.MULTILINE) == [
        each["alert"] for each in group["rules"]
    ]


def test_links_lead_somewhere() -> None:
    """Each relative link is to a file that is there."""
    for name, text in TEXTS.items():
        for link in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (DEPLOY / link).exists(), f"{name}: {link}"
