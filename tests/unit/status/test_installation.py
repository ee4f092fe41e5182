"""Whether the webhook itself is in order: each thing that can be wrong, with the command that mends it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from tests.unit.status.factories import installed, snapshot
from webhook.status.report import report

if TYPE_CHECKING:
    from webhook.status.model import Finding
    from webhook.status.snapshot import Snapshot
    from webhook.workloads.unstructured import Unstructured

RESTART = "kubectl rollout restart deployment/dask-colocate -n dask-colocate"
UPGRADE = "helm upgrade colocate deploy/chart -n dask-colocate --reuse-values"


def found(taken: Snapshot) -> list[Finding]:
    """What needs care, or is only said."""
    return list(report(taken).findings)


def changed(item: Unstructured, *path: str, value: Unstructured) -> Unstructured:
    """A copy of an object with another value at the end of `path`."""
    key, *rest = path
    return {**item, key: changed(item.get(key, {}), *rest, value=value) if rest else value}


def test_in_order() -> None:
    """An installation as the chart makes it: nothing is found."""
    assert found(snapshot()) == []


@pytest.mark.parametrize(
    ("field", "text", "mend"),
    [
        ("services", "is not there, in namespace dask-colocate", UPGRADE),
        ("deployments", "no Deployment stands behind it", UPGRADE),
        ("slices", "nobody answers behind it: every worker is admitted as it is written", RESTART),
        ("secrets", "is not there, in namespace dask-colocate", UPGRADE),
    ],
)
def test_something_is_missing(field: str, text: str, mend: str) -> None:
    """Service, Deployment, addresses or Secret gone: each is named with the command that puts it back."""
    (one,) = found(snapshot(**{field: ()}))
    assert (one.text, one.fix, one.issues) == (text, mend, True)


def test_replicas_that_are_not_ready() -> None:
    """One of two is told, unless a rollout goes on; none of two with the Service; 0 wanted is another command."""
    (one,) = found(snapshot(webhook=installed(ready=1)))
    assert one.text.startswith("1 of 2 replicas are ready")
    assert one.fix == "kubectl describe pods -n dask-colocate -l app=x"
    assert found(snapshot(webhook=installed(ready=1, progress="ReplicaSetUpdated"))) == []
    texts = " ".join(one.text for one in found(snapshot(webhook=installed(ready=0))))
    assert "0 of 2 replicas are ready" in texts
    (deployment,) = installed(ready=0).objects()["deployments"]
    off = found(snapshot(webhook=installed(ready=0), deployments=(changed(deployment, "spec", "replicas", value=0),)))
    scale = "kubectl scale deployment/dask-colocate -n dask-colocate --replicas=2"
    assert [one.fix for one in off if one.text == "is scaled to 0"] == [scale]


def test_certificate_that_expired() -> None:
    """It is named with its day; the replicas are started anew to make another."""
    (one,) = found(snapshot(webhook=installed(aged=100)))
    assert one.where == "secret/dask-colocate-certificates"
    assert one.text.startswith("the certificate expired on ")
    assert one.fix == RESTART


@pytest.mark.parametrize(("aged", "told"), [(61, False), (65, True)])
def test_renewal_that_is_overdue(aged: float, told: bool) -> None:
    """Of 90 days the replicas have until day 63 to renew; only then is it a finding."""
    assert any("two thirds" in one.text for one in found(snapshot(webhook=installed(aged=aged)))) is told


def test_bundle_of_another_authority() -> None:
    """Where caBundle did not sign the certificate, the API server trusts nobody: it is said who signed."""
    (one,) = found(snapshot(webhook=installed(trusted=False)))
    assert "no valid authority of the bundle (CN=other" in one.text


def test_bundle_that_is_empty() -> None:
    """An empty caBundle is told from the configuration, also where the Secret may not be read."""
    webhook = dataclasses.replace(installed(), ca=b"")
    texts = [one.text for one in found(snapshot(webhook=webhook))]
    assert texts == ["the CA bundle is empty or not readable as PEM"]


def test_webhook_that_is_missing() -> None:
    """A configuration without the webhook for pods is incomplete."""
    webhook = installed()
    (configuration,) = webhook.objects()["configurations"]
    cut = changed(configuration, "webhooks", value=configuration["webhooks"][:1])
    (one,) = found(snapshot(webhook=webhook, configurations=(cut,)))
    assert (one.text, one.fix) == ("the webhook pods.colocate.dask.org is missing in it", UPGRADE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"namespaceSelector": {}}, "no namespaceSelector: the webhook is called for kube-system"),
        ({"rules": [{"resources": ["daskclusters"]}]}, "its rules leave out daskjobs"),
        ({"failurePolicy": "Fail"}, "failurePolicy is Fail"),
    ],
)
def test_webhook_that_somebody_changed(change: dict[str, object], said: str) -> None:
    """What makes it stand in others' way, or not be called, is told; Fail is an admin's choice and needs no care."""
    webhook = installed()
    (configuration,) = webhook.objects()["configurations"]
    first, second = configuration["webhooks"]
    other = changed(configuration, "webhooks", value=[{**first, **change}, second])
    told = found(snapshot(webhook=webhook, configurations=(other,)))
    assert said in told[0].text
    assert told[0].issues == ("failurePolicy" not in change)


def test_certificates_of_others_are_renewed_by_others() -> None:
    """With cert-manager it is asked; with files of one's own the Secret is replaced."""
    webhook = installed(aged=100)
    (configuration,) = webhook.objects()["configurations"]
    injected = {"cert-manager.io/inject-ca-from": "dask-colocate/dask-colocate"}
    by_manager = changed(configuration, "metadata", "annotations", value=injected)
    (one,) = found(snapshot(webhook=webhook, configurations=(by_manager,)))
    assert one.fix == "cmctl renew dask-colocate -n dask-colocate"
    (one,) = found(snapshot(webhook=dataclasses.replace(webhook, mode="files")))
    assert one.fix.startswith("kubectl create secret tls ")


def test_url_is_called() -> None:
    """A webhook outside the cluster: its replicas are not looked for, and that is no fault."""
    webhook = installed()
    (configuration,) = webhook.objects()["configurations"]
    hooks = [
        {**one, "clientConfig": {"url": "https://example.com", "caBundle": one["clientConfig"]["caBundle"]}}
        for one in configuration["webhooks"]
    ]
    away = changed(configuration, "webhooks", value=hooks)
    told = report(snapshot(webhook=webhook, configurations=(away,), services=(), deployments=(), secrets=()))
    assert [one.issues for one in told.findings] == [False]
    assert told.exit_status == 0
