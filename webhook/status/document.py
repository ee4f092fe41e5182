"""JSON output: one object whose keys are the fields of `model.Report`."""

import dataclasses

import orjson

from webhook.status.model import Report


def as_json(report: Report, *, indent: bool = True) -> str:
    """Return the report with its exit status and the workers that were not mutated; on one line without `indent`."""
    not_mutated = [
        {"namespace": cluster.namespace, "cluster": cluster.name, "pod": worker.name, "cause": worker.cause}
        for cluster in report.clusters
        for worker in cluster.workers
        if worker.cause
    ]
    document = {"exit_status": report.exit_status, "not_mutated": not_mutated, **dataclasses.asdict(report)}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 if indent else 0).decode()
