"""A Report for programs: one JSON object, its keys those of `model`."""

import dataclasses

import orjson

from webhook.status.model import Report


def as_json(report: Report, *, indent: bool = True) -> str:
    """The report, its exit status and its missed workers; on one line without `indent`."""
    missed = [
        {"namespace": cluster.namespace, "cluster": cluster.name, "pod": worker.name, "cause": worker.cause}
        for cluster in report.clusters
        for worker in cluster.workers
        if worker.cause
    ]
    document = {"exit_status": report.exit_status, "missed": missed, **dataclasses.asdict(report)}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 if indent else 0).decode()
