"""Why no capacity hints are given: by the installation's flags, and by what its replicas say."""

from __future__ import annotations

import pytest
from kubernetes.client import ApiClient
from prometheus_client import CollectorRegistry, generate_latest

from tests.unit.status.factories import installed, namespace, snapshot
from webhook.kube.capacity.watched import Metrics, Watched
from webhook.status.model import Finding
from webhook.status.report import report
from webhook.status.snapshot import Replica

UPGRADE = "helm upgrade colocate deploy/chart -n dask-colocate --reuse-values"
LOGS = "kubectl logs deployment/dask-colocate -n dask-colocate --since=10m"
ASKING = namespace(**{"capacity-hint": "true"})
WATCHING = installed(arguments=("--capacity-hints",))


def unlisted() -> str:
    """The metrics of a replica that has listed nothing yet."""
    registry = CollectorRegistry()
    registry.register(Metrics(Watched(ApiClient())))
    return generate_latest(registry).decode()


def found(*metrics: str) -> tuple[Finding, ...]:
    """What is found where the replicas have these metrics."""
    replicas = tuple(Replica("dask-colocate/dask-colocate", f"pod-{index}", each) for index, each in enumerate(metrics))
    return report(snapshot(namespaces=(ASKING,), webhook=WATCHING, replicas=replicas)).findings


def test_hints_that_nobody_can_give() -> None:
    """A namespace that asks for capacity hints is told of where the replicas do not watch capacity, with what to do."""
    (one,) = report(snapshot(namespaces=(ASKING,))).findings
    assert "capacity-hint is asked for in rapids" in one.text
    assert one.fix == f"{UPGRADE} --set capacityHints=true"


def test_without_helm_the_chart_is_rendered() -> None:
    """What kustomize applied is applied again with the setting, and with the image that runs."""
    objects = installed().objects()
    configuration, deployment = objects["configurations"][0], objects["deployments"][0]
    configuration["metadata"]["labels"] = {}
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "example.com:5000/dask-colocate:0.1.0"
    (one,) = report(
        snapshot(namespaces=(ASKING,), **{**objects, "configurations": (configuration,), "deployments": (deployment,)})
    ).findings
    assert one.fix == (
        "helm template dask-colocate deploy/chart -n dask-colocate"
        " --set image.repository=example.com:5000/dask-colocate,image.tag=0.1.0,capacityHints=true | kubectl apply -f -"
    )


def test_replicas_in_order() -> None:
    """Replicas that are not heard of, or that have no problem, are no finding."""
    ready = unlisted().replace('"capacity-unknown"} 1.0', '"capacity-unknown"} 0.0')
    assert found() == found(ready, ready) == ()


@pytest.mark.parametrize(
    ("reason", "text", "mend"),
    [
        ("unknown", "this installation does not watch capacity, or has not seen all of it yet", LOGS),
        ("forbidden", "the installation may not list nodes or pods", UPGRADE),
        ("stale", "the API server was not heard of for too long to trust what is known", LOGS),
    ],
)
def test_replica_that_gives_no_hints(reason: str, text: str, mend: str) -> None:
    """Its reason is told once, with how many replicas give it, and with what mends or shows it."""
    ailing = unlisted().replace('"capacity-unknown"} 1.0', f'"capacity-{reason}"}} 1.0')
    ready = unlisted().replace('"capacity-unknown"} 1.0', '"capacity-unknown"} 0.0')
    (one,) = found(ailing, ready)
    assert (one.text, one.fix, one.issues) == (f"1 of 2 replicas give no capacity hints: {text}", mend, True)
    (both,) = found(ailing, ailing)
    assert both.text.startswith("2 of 2 ")


def test_nobody_asks() -> None:
    """Where no namespace asks for hints, why there are none is no finding."""
    replica = Replica("dask-colocate/dask-colocate", "pod-0", unlisted())
    assert report(snapshot(webhook=WATCHING, replicas=(replica,))).findings == ()


@pytest.mark.parametrize("metrics", ["", "{", "dask_colocate_capacity_problem 1 2 3 4", "\x00"])
def test_metrics_that_are_none(metrics: str) -> None:
    """Whatever a pod answers, it is no reason to fail."""
    assert found(metrics) == ()
