"""deploy/reference.md: written from the code, and never older than it."""

from __future__ import annotations

import re

from tests.unit.deploy.chart import DEPLOY
from tests.unit.deploy.reference import REFERENCE, reference
from webhook.mutators.decision import Reason
from webhook.policy import ANNOTATIONS
from webhook.status.model import Cause, WorkerState


def test_reference_is_the_codes() -> None:
    """deploy/reference.md is what the code says; `make render` brings it there."""
    assert REFERENCE.read_text() == reference()


def test_reference_has_everything() -> None:
    """Each command, annotation, reason, metric and endpoint has its line, and none of them is without a meaning."""
    text = reference()
    rows = dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", text, re.MULTILINE))
    assert {each.value for each in Reason} | {each.name for each in ANNOTATIONS} <= rows.keys()
    assert {"POST /mutate", "GET /healthz", "GET /readyz", "GET /metrics"} <= rows.keys()
    assert {
        "dask_colocate_decisions_total",
        "dask_colocate_namespace_cache_size",
        "certs_rotations_total",
        "dask_colocate_capacity_problem",
    } <= rows.keys()
    assert {each.value for each in (*WorkerState, *Cause)} <= rows.keys()
    assert {"DASK_COLOCATE_DEFAULTS", "DASK_COLOCATE_OUTPUT", "KUBECONFIG", "NO_COLOR"} <= rows.keys()
    assert all(each.split("|")[-1].strip() for each in rows.values())
    for command in ("serve", "review", "enable", "disable", "completion", "status", "demo", "certs"):
        assert f"\n### dask-colocate {command}\n" in text


def test_readme_leads_to_it() -> None:
    """Both READMEs have a link to the reference."""
    assert "](deploy/reference.md)" in (DEPLOY.parent / "README.md").read_text()
    assert "](reference.md)" in (DEPLOY / "README.md").read_text()
