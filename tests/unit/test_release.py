"""The steps of a release, and the workflows that run them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.e2e.bed import versions
from tests.release import chart, notes, version
from tests.unit.deploy.chart import run

WORKFLOWS = version.ROOT / ".github" / "workflows"
CHANGELOG = """\
# Changelog

## 0.2.0 - unreleased

- Later.

## 0.1.0 - 2026-01-31

### Added

- First.
"""


def kubernetes_versions(workflow: str, job: str) -> tuple[str, ...]:
    """Return the Kubernetes versions in the matrix of a workflow's job."""
    jobs = yaml.safe_load((WORKFLOWS / f"{workflow}.yml").read_text())["jobs"]
    return tuple(jobs[job]["strategy"]["matrix"]["kubernetes"])


@pytest.mark.parametrize("file", version.MENTIONS)
def test_version_is_that_of_the_project(file: str) -> None:
    """Each file that mentions the version has the one of pyproject.toml; `make render` writes it."""
    text = version.rendered(file)
    assert version.version() in text
    assert (version.ROOT / file).read_text() == text


def test_notes_are_the_section_of_the_version() -> None:
    """The notes hold what stands below the version's heading, and nothing of another version."""
    assert notes.notes(CHANGELOG, "0.1.0") == "### Added\n\n- First.\n"


@pytest.mark.parametrize("wanted", ["0.2.0", "0.3.0"])
def test_version_without_dated_section_is_not_released(wanted: str) -> None:
    """A version without a heading, or with one that has no date, is refused with the heading to write."""
    with pytest.raises(notes.NotReadyError, match=f"## {wanted} - YYYY-MM-DD"):
        notes.notes(CHANGELOG, wanted)


def test_tag_of_another_version_is_refused() -> None:
    """A tag that names another version than pyproject.toml stops the release; the version's own does not."""
    notes.check_tag("v0.1.0", "0.1.0")
    with pytest.raises(notes.NotReadyError, match=r"must be v0\.1\.0"):
        notes.check_tag("v0.2.0", "0.1.0")


def test_released_chart_installs_the_released_image(tmp_path: Path) -> None:
    """The chart package renders the given image by its digest, with no settings."""
    digest = f"sha256:{'0' * 64}"
    package = chart.package(tmp_path, "registry.example/owner/dask-colocate", digest)
    assert package.name == f"dask-colocate-{version.version()}.tgz"
    rendered = run("template", "any", str(package)).stdout
    assert f"registry.example/owner/dask-colocate@{digest}" in rendered
    assert not re.search(r"image: \"?dask-colocate:", rendered)


def test_chart_without_the_image_keys_is_refused() -> None:
    """A values.yaml whose image keys have moved stops the release, so no chart ships with the image of another."""
    with pytest.raises(chart.PackageError, match=r"image\.repository"):
        chart.with_image("image:\n  name: any\n", "registry.example/any", "")


def test_workflows_run_the_supported_versions() -> None:
    """CI runs the oldest and the newest Kubernetes, the weekly run all of them."""
    assert kubernetes_versions("ci", "control-plane") == (versions.OLDEST, versions.NEWEST)
    assert kubernetes_versions("weekly", "kubernetes") == versions.SUPPORTED


def test_workflows_run_targets_of_the_makefile() -> None:
    """Every `make` target that a workflow names is one of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (version.ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "".join(file.read_text() for file in WORKFLOWS.glob("*.yml"))
    commands = re.findall(r"make ((?:--silent )?[a-z][a-z -]*)", text)
    named = {word for command in commands for word in command.split() if not word.startswith("-")}
    assert named
    assert named <= targets
