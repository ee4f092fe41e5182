"""Findings about capacity hints, by the installation's flags and its replicas' metrics."""

from __future__ import annotations

import pytest
from kubernetes.client import ApiClient
from prometheus_client import CollectorRegistry, generate_latest

from tests.unit.status.factories import installed, namespace, snapshot
from webhook.kube.capacity.watched import CapacityMetrics, WatchedCapacity
from webhook.mutators.decision import Reason
from webhook.status.model import Finding
from webhook.status.report import report
from webhook.status.snapshot import ReplicaMetrics

UPGRADE = "helm upgrade colocate deploy/chart -n dask-colocate --reuse-values"
LOGS = "kubectl logs deployment/dask-colocate -n dask-colocate --since=10m"
REQUESTING = namespace(**{"capacity-hint": "true"})
WATCHING = installed(arguments=("--capacity-hints",))


def unlisted() -> str:
    """Return the metrics of a replica before its first list is complete."""
    registry = CollectorRegistry()
    registry.register(CapacityMetrics(WatchedCapacity(ApiClient())))
    return generate_latest(registry).decode()


def metrics(reason: str = "") -> str:
    """Return the metrics of a replica with this problem, or with none."""
    ready = unlisted().replace('"capacity-unknown"} 1.0', '"capacity-unknown"} 0.0')
    return ready.replace(f'"{reason}"}} 0.0', f'"{reason}"}} 1.0') if reason else ready


def findings(*replicas: str) -> tuple[Finding, ...]:
    """Return the findings for replicas with these metrics."""
    scraped = tuple(
        ReplicaMetrics("dask-colocate/dask-colocate", f"pod-{index}", text) for index, text in enumerate(replicas)
    )
    return report(snapshot(namespaces=(REQUESTING,), webhook=WATCHING, replicas=scraped)).findings


def test_replicas_do_not_watch_capacity() -> None:
    """If a namespace requests hints and replicas do not watch capacity, the fix enables it."""
    (issue,) = report(snapshot(namespaces=(REQUESTING,))).findings
    assert issue.message.endswith("requested by rapids")
    assert issue.fix == f"{UPGRADE} --set capacityHints=true"


def test_fix_without_helm_renders_the_chart() -> None:
    """Without a Helm release the fix renders the chart with the setting and the current image."""
    objects = installed().objects()
    configuration, deployment = objects["configurations"][0], objects["deployments"][0]
    configuration["metadata"]["labels"] = {}
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "example.com:5000/dask-colocate:0.1.0"
    edited = {**objects, "configurations": (configuration,), "deployments": (deployment,)}
    (issue,) = report(snapshot(namespaces=(REQUESTING,), **edited)).findings
    assert issue.fix == (
        "helm template dask-colocate deploy/chart -n dask-colocate"
        " --set image.repository=example.com:5000/dask-colocate,image.tag=0.1.0,capacityHints=true | kubectl apply -f -"
    )


def test_replicas_without_problems() -> None:
    """Replicas without metrics or without a problem give no finding."""
    assert findings() == findings(metrics(), metrics()) == ()


@pytest.mark.parametrize(
    ("reason", "fix"),
    [(Reason.CAPACITY_UNKNOWN, LOGS), (Reason.CAPACITY_FORBIDDEN, UPGRADE), (Reason.CAPACITY_STALE, LOGS)],
)
def test_replica_with_a_problem(reason: Reason, fix: str) -> None:
    """Each reason is one issue with its meaning and the number of replicas."""
    (issue,) = findings(metrics(reason.value), metrics())
    assert issue.message == f"1 of 2 replicas give no capacity hints: {reason.meaning}"
    assert (issue.fix, issue.action_required) == (fix, True)
    (issue,) = findings(metrics(reason.value), metrics(reason.value))
    assert issue.message.startswith("2 of 2 ")


def test_no_namespace_requests_hints() -> None:
    """If no namespace requests hints, a replica's problem is no finding."""
    replica = ReplicaMetrics("dask-colocate/dask-colocate", "pod-0", unlisted())
    assert report(snapshot(webhook=WATCHING, replicas=(replica,))).findings == ()


@pytest.mark.parametrize("text", ["", "{", "dask_colocate_capacity_problem 1 2 3 4", "\x00"])
def test_malformed_metrics(text: str) -> None:
    """Malformed metrics give no finding and no error."""
    assert findings(text) == ()
