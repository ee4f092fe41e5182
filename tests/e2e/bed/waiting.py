"""Wait for something in the cluster, and say on failure what the cluster looked like."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.bed.api import Api, Object
    from tests.e2e.bed.process import Process

WORKER = "dask.org/component=worker"


class NotYetError(AssertionError):
    """What was waited for did not come in time; the text shows pods, events and the operator's log."""


def until(holds: Callable[[], bool], seconds: float, what: str, state: Callable[[], str]) -> None:
    """Poll `holds` ten times a second until it is true.

    Raises:
        NotYetError: `seconds` have passed; the text is `what` and then `state()`.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise NotYetError(f"not within {seconds:g} s: {what}\n{state()}")
        time.sleep(0.1)


def report(api: Api, namespace: str, operator: Process) -> str:
    """Pods, events and the operator's last lines, for a person."""
    pods = (_pod_line(each) for each in api.items(f"/api/v1/namespaces/{namespace}/pods"))
    events = (_event_line(each) for each in api.items(f"/api/v1/namespaces/{namespace}/events"))
    parts = ["pods:", *pods, "events:", *list(events)[-15:], "operator:", operator.tail(15)]
    return "\n".join(parts)


def _pod_line(pod: Object) -> str:
    status, node = pod["status"], pod["spec"].get("nodeName", "no node")
    reasons = (each.get("message", "") for each in status.get("conditions", []) if each["status"] == "False")
    return f"  {pod['metadata']['name']} {status.get('phase')} on {node} {' '.join(reasons)}"


def _event_line(event: Object) -> str:
    about = event["involvedObject"]
    return f"  {about.get('kind')}/{about.get('name')} {event.get('reason')}: {event.get('message')}"
