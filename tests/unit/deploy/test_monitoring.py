"""Rules and dashboard: PromQL that parses, over metrics that exist."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import promql_parser
import pytest
import yaml
from prometheus_client import ProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from certs.rotation.events import Metrics
from tests.unit.deploy.chart import CHART, only
from webhook.telemetry.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = CHART / "files"
# Made where the parts are put together; tests/e2e compares all names with what a running process exposes.
ASSEMBLED = frozenset({"dask_colocate_namespace_cache_size", "dask_colocate_namespace_cache_age_seconds"})
# The API server's own, Kubernetes 1.30 to 1.37: apiserver/pkg/admission/metrics/metrics.go.
API_SERVER = frozenset(
    {
        "apiserver_admission_webhook_fail_open_count",
        "apiserver_admission_webhook_admission_duration_seconds_bucket",
    }
)
# Only with `serve --capacity-hints`.
HINTING = frozenset({"dask_colocate_capacity_problem"})


def exposed() -> set[str]:
    """The names of all series that a replica has to show."""
    recorder = Recorder()
    Metrics(recorder.registry, lambda: datetime.now(UTC))
    if "process_cpu_seconds_total" not in recorder.metrics().decode():
        ProcessCollector(registry=recorder.registry)
    families = text_string_to_metric_families(recorder.metrics().decode())
    names = {family.name: family.type for family in families if not family.name.endswith("_created")}
    return {*ASSEMBLED, *(f"{name}{end}" for name, kind in names.items() for end in ENDS[kind])}


ENDS = {"counter": ("_total", ""), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


def rules() -> list[dict[str, str]]:
    """The alerts."""
    (group,) = yaml.safe_load((FILES / "rules.yaml").read_text())["groups"]
    found: list[dict[str, str]] = group["rules"]
    return found


def queries() -> list[str]:
    """Every query of the dashboard with Grafana's variables as Grafana would fill them."""
    panels = json.loads((FILES / "dashboard.json").read_text())["panels"]
    texts = [target["expr"] for panel in panels for target in panel["targets"]]
    return [re.sub(r"\$__(rate_)?interval", "5m", text).replace("$job", ".*") for text in texts]


def metrics(node: object) -> Iterator[str]:
    """The metrics that a parsed query asks for."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node.name or ""
        return
    for name in ("expr", "lhs", "rhs", "param", "vector_selector", "vs"):
        child = getattr(node, name, None)
        if child is not None:
            yield from metrics(child)
    for argument in getattr(node, "args", None) or ():
        yield from metrics(argument)


@pytest.mark.parametrize("query", [*(rule["expr"] for rule in rules()), *queries()])
def test_queries_name_metrics_that_exist(query: str) -> None:
    """The query parses as PromQL, asks for something, and all that it asks for exists."""
    asked = set(metrics(promql_parser.parse(query)))
    assert asked
    assert asked <= exposed() | API_SERVER | HINTING


def test_every_metric_of_ours_is_shown() -> None:
    """No metric is collected for nobody: each is on the dashboard or in an alert."""
    texts = [*(rule["expr"] for rule in rules()), *queries()]
    asked = {name for text in texts for name in metrics(promql_parser.parse(text))} - HINTING
    ours = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in exposed() if re.match(r"dask_|certs_", name)}
    assert ours == {re.sub(r"_(total|bucket)$", "", name) for name in asked if re.match(r"dask_|certs_", name)}


def test_alerts_are_complete() -> None:
    """Each alert has its own name, a severity, a summary and a description."""
    alerts = rules()
    assert len({each["alert"] for each in alerts}) == len(alerts)
    for each in alerts:
        assert set(each) - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert set(each["annotations"]) == {"summary", "description"}


def test_dashboard_is_one() -> None:
    """Panels have distinct ids and titles, lie side by side within 24 columns, and ask the chosen data source."""
    panels = json.loads((FILES / "dashboard.json").read_text())["panels"]
    assert len({each["id"] for each in panels}) == len({each["title"] for each in panels}) == len(panels)
    cells = [
        (x, y)
        for grid in (each["gridPos"] for each in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    assert {each["datasource"]["uid"] for each in panels} == {"${datasource}"}


def test_chart_carries_them_unchanged() -> None:
    """What helm renders is the files: nothing of `{{ $labels }}` is lost on the way."""
    rule = only("PrometheusRule", "monitoring.prometheusRule.enabled=true")
    assert rule["spec"] == yaml.safe_load((FILES / "rules.yaml").read_text())
    board = only("ConfigMap", "monitoring.dashboard.enabled=true")["data"]["dask-colocate.json"]
    assert json.loads(board) == json.loads((FILES / "dashboard.json").read_text())
