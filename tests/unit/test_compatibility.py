"""The compatibility record, its document, and the versions that the test bed accepts."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
import yaml

from tests.e2e import compatibility
from tests.e2e.bed import versions
from tests.unit.deploy.chart import CHART

REPORT = """\
<testsuites><testsuite>
<testcase classname="tests.e2e.test_bed" name="test_a">{bed}</testcase>
<testcase classname="tests.e2e.test_quota" name="test_b"/>
<testcase classname="tests.e2e.test_quota" name="test_c"><failure/></testcase>
<testcase classname="tests.e2e.test_quota" name="test_d"><skipped/></testcase>
</testsuite></testsuites>"""


def report(bed: str) -> ET.Element:
    """Parse the report with an outcome of the control plane's own test."""
    return ET.fromstring(REPORT.format(bed=bed))  # noqa: S314 - the text is above


def test_document_is_the_records() -> None:
    """deploy/compatibility.md is what the record renders to."""
    assert compatibility.DOCUMENT.read_text() == compatibility.document(compatibility.read())


def test_no_recorded_test_failed() -> None:
    """No cell of the record holds a failed test, and every version in it is a supported one."""
    record = compatibility.read()
    assert record.keys() <= set(versions.SUPPORTED)
    suites = [(version, suites) for version, operators in record.items() for suites in operators.values()]
    if not suites:
        pytest.skip("NOT RUN: the record is empty; make test-versions writes it")
    assert not [(version, name) for version, cells in suites for name, cell in cells.items() if cell["failed"]]


def test_oldest_version_is_the_charts() -> None:
    """The oldest tested version is the one that the chart's kubeVersion begins with."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={versions.OLDEST}-0"


def test_report_becomes_results() -> None:
    """Passed tests are counted; failed and skipped tests are named."""
    found = compatibility.results(report(bed=""), ["quota"])
    assert found == {"quota": compatibility.Result(passed=1, failed=["test_c"], skipped=["test_d"])}


@pytest.mark.parametrize(("bed", "suite"), [("<failure/>", "quota"), ("", "status")])
def test_report_without_evidence_is_refused(bed: str, suite: str) -> None:
    """A control plane that failed its own tests, or a suite without a test, gives no results."""
    with pytest.raises(RuntimeError):
        compatibility.results(report(bed), [suite])


@pytest.mark.parametrize(
    ("value", "tag", "staging"),
    [("", "v1.37.2", "v0.37.2"), ("1.30.0", "v1.30.0", "v0.30.0"), ("v1.34.2", "v1.34.2", "v0.34.2")],
)
def test_version_is_selected(value: str, tag: str, staging: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable selects the release and its staging modules; unset, it is the newest."""
    monkeypatch.setenv(versions.VARIABLE, value)
    assert (versions.selected().tag, versions.selected().staging) == (tag, staging)


@pytest.mark.parametrize("value", ["1.30", "2.0.0", "latest", "1.x.0"])
def test_malformed_version_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is no version stops the run with the variable's name and an example."""
    monkeypatch.setenv(versions.VARIABLE, value)
    with pytest.raises(ValueError, match=r"KUBERNETES_VERSION must be .* such as 1\.30\.0"):
        versions.selected()
