"""Certificate modes of `serve`: the options and the connections that each mode needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from certs.rotation.loop import Rotation
from certs.serving import ReloadableContext
from webhook.cli.options import ServeOptions
from webhook.cli.rotation import build_rotation
from webhook.kube.api import Api
from webhook.policy.defaults import SettingsError

FILES = {"tls_cert": Path("tls.crt"), "tls_key": Path("tls.key")}


def build(options: ServeOptions) -> Rotation:
    """Build a rotation that must not connect to a cluster."""
    return build_rotation(options, ReloadableContext(), lambda _event: None, _no_cluster)


def _no_cluster() -> Api:
    raise AssertionError("connected to a cluster")


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        (ServeOptions(service=""), "--certs self-managed needs --service"),
        (ServeOptions(service_namespace="", secret=""), "--certs self-managed needs --service-namespace, --secret"),
        (ServeOptions(certs="injected", **FILES, webhook_configuration=""), "injected needs --webhook-configuration"),
    ],
)
def test_missing_options(options: ServeOptions, missing: str) -> None:
    """The error names the mode and every empty option, before any connection to a cluster."""
    with pytest.raises(SettingsError, match=missing):
        build(options)


def test_files_mode_without_cluster() -> None:
    """The `files` mode needs no API server."""
    assert not build(ServeOptions(**FILES)).ready


def test_names_of_the_service() -> None:
    """The certificate must be valid for the names of the Service in the DNS domain of the cluster."""
    source = build(ServeOptions(service="hook", service_namespace="apps", cluster_domain="corp", **FILES)).source
    assert source.names == ("hook.apps.svc", "hook.apps.svc.corp")
