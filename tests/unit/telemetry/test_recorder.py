from __future__ import annotations

import io
import json
import logging
import queue
import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.objects import cluster, review
from webhook.admission import handler
from webhook.admission.request import parse_document
from webhook.admission.response import AdmissionResponse, Status, render
from webhook.policy import Policy
from webhook.telemetry import logs
from webhook.telemetry.metrics import KINDS
from webhook.telemetry.recorder import Recorder
from webhook.workloads.pod_templates import DaskObject

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured


def recorded(document: Unstructured, recorder: Recorder) -> None:
    """Decide on an admission request and record it."""
    found = parse_document(document)
    subject = handler.match(found)
    verdict = handler.decide(subject, Policy(enabled=True)) if isinstance(subject, DaskObject) else subject
    recorder.record_admission(found, render(verdict), 0.0004)


def test_kinds_are_bounded() -> None:
    """The label `kind` has the known kinds and `other` for all other kinds."""
    recorder = Recorder()
    for number in range(100):
        recorded(review({"apiVersion": "v1", "kind": f"Made{number}Up"}), recorder)
    recorded(review(cluster()), recorder)
    metric = next(each for each in recorder.registry.collect() if each.name == "dask_colocate_admissions")
    assert {sample.labels["kind"] for sample in metric.samples} == {"other", "DaskCluster"}
    assert "DaskCluster" in KINDS


def test_decisions_and_time_are_counted() -> None:
    """Each decision is counted by rule, outcome and reason, and each duration goes into a bucket."""
    recorder = Recorder()
    recorded(review(cluster()), recorder)
    value = recorder.registry.get_sample_value
    labels = {"rule": "gpu", "outcome": "applied", "reason": "gpu-limit-added"}
    assert value("dask_colocate_decisions_total", labels) == 1
    assert value("dask_colocate_admission_seconds_bucket", {"le": "0.00025"}) == 0
    assert value("dask_colocate_admission_seconds_bucket", {"le": "0.0005"}) == 1


def test_gauge_is_read_with_the_metrics() -> None:
    """A gauge calls its function when the metrics are collected."""
    recorder, values = Recorder(), [1.0]
    recorder.add_gauge("dask_colocate_namespace_cache_size", "Known.", lambda: values[-1])
    values.append(7.0)
    assert b"dask_colocate_namespace_cache_size 7.0" in recorder.metrics()


def test_object_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A log line identifies the object and its decisions and contains no content of the object."""
    item = cluster()
    item["spec"]["worker"]["spec"]["containers"][0]["env"] = [{"name": "TOKEN", "value": "s3cret"}]
    with caplog.at_level(logging.DEBUG):
        recorded(review(item), Recorder())
    (record,) = caplog.records
    assert (record.levelno, record.__dict__["object"], record.__dict__["status"]) == (logging.INFO, "demo", "decided")
    assert "s3cret" not in str(record.__dict__)


def test_equal_workers_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Of worker pods that share a response, only the first is logged at INFO."""
    found = parse_document(review(cluster()))
    answer = render(AdmissionResponse(Status.DECIDED, warnings=("w",)))
    with caplog.at_level(logging.INFO):
        Recorder().record_admission(found, answer, 0.001)
        answer.sent += 1
        Recorder().record_admission(found, answer, 0.001)
    assert len(caplog.records) == 1


def test_unmodified_object_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An unrelated Pod leaves no line at INFO."""
    with caplog.at_level(logging.INFO):
        recorded(review({"apiVersion": "v1", "kind": "Pod"}), Recorder())
    assert caplog.records == []


@pytest.fixture
def _own_root() -> object:
    """Restore the root logger after a test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield None
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_own_root")
def test_log_lines_are_json() -> None:
    """Each line is a JSON object with time, level, logger, message and the fields of the record."""
    stream = io.StringIO()
    listener = logs.start_logging(stream, "INFO", lambda: None)
    found = parse_document(review(cluster()))
    Recorder().record_admission(found, render(AdmissionResponse(Status.DECIDED, warnings=("w",))), 0.001)
    logging.getLogger("x").debug("not this one")
    listener.stop()
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert {"time", "level", "logger", "message"} <= entry.keys()
    assert (entry["level"], entry["namespace"], entry["milliseconds"]) == ("INFO", "rapids", 1.0)


class Stuck(io.StringIO):
    """Slow terminal."""

    def write(self, text: str) -> int:
        """Wait, then write."""
        time.sleep(0.2)
        return super().write(text)


@pytest.mark.usefixtures("_own_root")
def test_slow_log_does_not_delay_requests() -> None:
    """Lines above the queue size are dropped and counted, so that a slow output does not delay a request."""
    stream = Stuck()
    dropped: list[None] = []
    listener = logs.start_logging(stream, "INFO", lambda: dropped.append(None))
    started = time.perf_counter()
    for number in range(logs.QUEUE_SIZE + 1000):
        logging.getLogger("x").info("line %d", number)
    assert time.perf_counter() - started < 60  # waiting for the terminal would take half an hour
    lines = listener.queue
    assert isinstance(lines, queue.Queue)
    assert lines.qsize() <= logs.QUEUE_SIZE
    assert dropped
    while not lines.empty():  # do not wait for the queued lines
        lines.get_nowait()
    listener.stop()
    assert len(stream.getvalue().splitlines()) < logs.QUEUE_SIZE
