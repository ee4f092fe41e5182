"""Errors of the Kubernetes API client: they name the missing permission and contain no secrets."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

import pytest
from kubernetes.client import ApiClient, Configuration

from webhook.kube.api import Api, ApiError, Resource
from webhook.kube.kubeconfig import load_client

if TYPE_CHECKING:
    from pathlib import Path

SECRET = Resource(group="", plural="secrets", name="tls", namespace="apps")


def test_retries_log_no_body(caplog: pytest.LogCaptureFixture) -> None:
    """A request that fails after retries leaves no part of its body or token in a log record or in the error."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    settings = Configuration(host=f"http://127.0.0.1:{port}")
    settings.api_key = {"authorization": "Bearer the-token"}
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ApiError) as failure:
        Api(ApiClient(settings)).create(SECRET, {"data": {"tls.key": "the-key"}})
    output = str(failure.value) + "".join(str(vars(record)) for record in caplog.records)
    assert "stamina" in output
    assert "the-key" not in output
    assert "the-token" not in output


@pytest.mark.parametrize(
    ("resource", "verb", "message"),
    [
        (
            SECRET,
            "patch",
            (
                'missing permission: patch secrets "tls" in namespace "apps". A Role in namespace apps needs the rule '
                '{apiGroups: [""], resources: [secrets], resourceNames: [tls], verbs: [patch]}'
            ),
        ),
        (
            SECRET,
            "create",
            (
                'missing permission: create secrets "tls" in namespace "apps". A Role in namespace apps needs the rule '
                '{apiGroups: [""], resources: [secrets], verbs: [create]}'
            ),
        ),
        (
            Resource(group="", plural="secrets", namespace="apps"),
            "list",
            (
                'missing permission: list secrets in namespace "apps". A Role in namespace apps needs the rule '
                '{apiGroups: [""], resources: [secrets], verbs: [list]}'
            ),
        ),
        (
            Resource(group="g.io", plural="hooks", name="one"),
            "get",
            (
                'missing permission: get hooks.g.io "one". A ClusterRole needs the rule '
                "{apiGroups: [g.io], resources: [hooks], resourceNames: [one], verbs: [get]}"
            ),
        ),
    ],
)
def test_missing_permission(resource: Resource, verb: str, message: str) -> None:
    """The error contains the complete RBAC rule; `create` and `list` cannot be limited to a name."""
    assert resource.missing_permission(verb) == message


def test_missing_kubeconfig(tmp_path: Path) -> None:
    """A missing kubeconfig gives an ApiError."""
    with pytest.raises(ApiError, match="cannot load a kubeconfig"):
        load_client(tmp_path / "missing")
