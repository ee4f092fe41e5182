"""deploy/kustomize and deploy/examples: copies that may not drift from their source."""

from __future__ import annotations

import filecmp

from tests.unit.deploy.chart import DEPLOY, KUSTOMIZE, kustomization


def test_kustomize_is_the_chart() -> None:
    """deploy/kustomize is what the chart renders; `python -m tests.unit.deploy.chart` brings it there."""
    held = {each.name: each.read_text() for each in KUSTOMIZE.glob("*")}
    assert held == kustomization()


def test_kustomize_says_nothing_of_helm() -> None:
    """No object claims to be managed by Helm, which would refuse to touch it or take it for its own."""
    for each in KUSTOMIZE.glob("*.yaml"):
        assert "helm" not in each.read_text().lower(), each.name


def test_examples_are_the_shipped_ones() -> None:
    """The manifests to try are byte for byte those that the package has, which the fixture cases are made of."""
    shipped = DEPLOY.parent / "webhook" / "cli" / "examples"
    examples = sorted(each.name for each in (DEPLOY / "examples").glob("*.yaml"))
    assert {"cluster.yaml", "namespace.yaml"} <= set(examples)
    for name in ("cluster.yaml", "guide-cluster.yaml", "namespace.yaml"):
        assert filecmp.cmp(DEPLOY / "examples" / name, shipped / name, shallow=False), name
