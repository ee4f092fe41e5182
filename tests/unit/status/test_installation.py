"""Findings about the installation, each with the command that fixes it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from tests.unit.status.factories import installed, snapshot
from webhook.status.report import report
from webhook.status.snapshot import Unreadable

if TYPE_CHECKING:
    from webhook.status.model import Finding
    from webhook.status.snapshot import Snapshot
    from webhook.workloads.unstructured import Unstructured

RESTART = "kubectl rollout restart deployment/dask-colocate -n dask-colocate"
UPGRADE = "helm upgrade colocate deploy/chart -n dask-colocate --reuse-values"


def findings(snapshot: Snapshot) -> tuple[Finding, ...]:
    """Return issues and notices."""
    return report(snapshot).findings


def changed(item: Unstructured, *path: str, value: Unstructured) -> Unstructured:
    """Return a copy of an object with another value at `path`."""
    key, *rest = path
    return {**item, key: changed(item.get(key, {}), *rest, value=value) if rest else value}


def test_no_findings() -> None:
    """An installation by the chart has no findings."""
    assert findings(snapshot()) == ()


MISSING = [
    ("services", "services", "does not exist in namespace dask-colocate", UPGRADE),
    ("deployments", "deployments", "no Deployment has the pods that it selects", UPGRADE),
    ("slices", "endpointslices", "no ready endpoints: Dask objects and workers are not mutated", RESTART),
    ("secrets", "secrets", "does not exist in namespace dask-colocate", UPGRADE),
]


@pytest.mark.parametrize(("field", "resource", "message", "fix"), MISSING)
def test_missing_object(field: str, resource: str, message: str, fix: str) -> None:
    """A missing object is an issue whose fix restores it; an object that is not readable is no issue."""
    (issue,) = findings(snapshot(**{field: ()}))
    assert (issue.message, issue.fix, issue.action_required) == (message, fix, True)
    unreadable = (Unreadable(resource, "", "no permission to list", "kubectl auth can-i"),)
    assert findings(snapshot(**{field: ()}, unreadable=unreadable)) == ()


def test_replicas_that_are_not_ready() -> None:
    """Replicas that are not ready are an issue, except during a rollout; 0 desired replicas have another fix."""
    (issue,) = findings(snapshot(webhook=installed(ready=1)))
    assert issue.message == "1 of 2 replicas are ready"
    assert issue.fix == "kubectl describe pods -n dask-colocate -l app=x"
    assert findings(snapshot(webhook=installed(ready=1, progress="ReplicaSetUpdated"))) == ()
    assert "0 of 2 replicas are ready" in [item.message for item in findings(snapshot(webhook=installed(ready=0)))]
    (deployment,) = installed(ready=0).objects()["deployments"]
    scaled = (changed(deployment, "spec", "replicas", value=0),)
    fixes = {item.message: item.fix for item in findings(snapshot(webhook=installed(ready=0), deployments=scaled))}
    scale = "kubectl scale deployment/dask-colocate -n dask-colocate --replicas=2"
    assert fixes["is scaled to 0 replicas"] == scale


def test_expired_certificate() -> None:
    """An expired certificate is an issue with its expiry; a restart of the replicas renews it."""
    (issue,) = findings(snapshot(webhook=installed(age=100)))
    assert issue.object == "secret/dask-colocate-certificates"
    assert issue.message.startswith("the certificate expired on ")
    assert issue.fix == RESTART


@pytest.mark.parametrize(("age", "overdue"), [(61, False), (65, True)])
def test_overdue_renewal(age: float, overdue: bool) -> None:
    """Replicas renew a 90-day certificate until day 63; after that day it is an issue."""
    messages = [issue.message for issue in findings(snapshot(webhook=installed(age=age)))]
    assert any("two thirds" in message for message in messages) is overdue


def test_bundle_of_another_ca() -> None:
    """If the CA in caBundle did not sign the certificate, the issue names that CA."""
    (issue,) = findings(snapshot(webhook=installed(trusted=False)))
    assert "(CN=other" in issue.message


@pytest.mark.parametrize("secrets", [{}, {"secrets": ()}])
def test_empty_bundle(secrets: dict[str, tuple[()]]) -> None:
    """An empty caBundle is an issue, also if the Secret is not readable."""
    webhook = dataclasses.replace(installed(), ca=b"")
    unreadable = (Unreadable("secrets", "", "no permission to get", "kubectl auth can-i"),)
    (issue,) = findings(snapshot(webhook=webhook, unreadable=unreadable, **secrets))
    assert "is empty or not" in issue.message


def test_missing_webhook() -> None:
    """A configuration without the webhook for pods is an issue."""
    webhook = installed()
    (configuration,) = webhook.objects()["configurations"]
    incomplete = changed(configuration, "webhooks", value=configuration["webhooks"][:1])
    (issue,) = findings(snapshot(webhook=webhook, configurations=(incomplete,)))
    assert (issue.message, issue.fix) == ("the webhook pods.colocate.dask.org is missing", UPGRADE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"namespaceSelector": {}}, "no namespaceSelector: the webhook is also called for kube-system"),
        ({"rules": [{"resources": ["daskclusters"]}]}, "its rules do not include daskjobs"),
        ({"failurePolicy": "Fail"}, "failurePolicy is Fail"),
    ],
)
def test_manual_changes(change: dict[str, object], message: str) -> None:
    """Manual changes of selectors and rules are issues; failurePolicy Fail is a notice."""
    webhook = installed()
    (configuration,) = webhook.objects()["configurations"]
    first, second = configuration["webhooks"]
    edited = changed(configuration, "webhooks", value=[{**first, **change}, second])
    finding = findings(snapshot(webhook=webhook, configurations=(edited,)))[0]
    assert message in finding.message
    assert finding.action_required == ("failurePolicy" not in change)


def test_renewal_by_certificate_mode() -> None:
    """The fix renews the certificate with cert-manager, or replaces the Secret in mode `files`."""
    webhook = installed(age=100)
    (configuration,) = webhook.objects()["configurations"]
    annotations = {"cert-manager.io/inject-ca-from": "dask-colocate/dask-colocate"}
    injected = changed(configuration, "metadata", "annotations", value=annotations)
    (issue,) = findings(snapshot(webhook=webhook, configurations=(injected,)))
    assert issue.fix == "cmctl renew dask-colocate -n dask-colocate"
    (issue,) = findings(snapshot(webhook=dataclasses.replace(webhook, mode="files")))
    assert issue.fix.startswith("kubectl create secret tls ")


def test_url() -> None:
    """A webhook with a URL is a notice, and its replicas are not checked."""
    (configuration,) = installed().objects()["configurations"]
    webhooks = [
        {**webhook, "clientConfig": {"url": "https://example.com", "caBundle": webhook["clientConfig"]["caBundle"]}}
        for webhook in configuration["webhooks"]
    ]
    by_url = changed(configuration, "webhooks", value=webhooks)
    result = report(snapshot(configurations=(by_url,), services=(), deployments=(), secrets=()))
    assert [finding.action_required for finding in result.findings] == [False]
    assert result.exit_status == 0
