"""Building a rotation: the settings that each certificate mode needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from certs.rotation.build import RotationSettings, build_rotation
from certs.rotation.loop import Rotation
from certs.rotation.modes import Mode
from certs.rotation.ports import Backend
from certs.serving import ReloadableContext
from certs.x509.issue import Entropy

FILES = RotationSettings(mode=Mode.FILES, certificate=Path("tls.crt"), key=Path("tls.key"))


def build(settings: RotationSettings) -> Rotation:
    """Build a rotation that must not connect to a cluster."""
    return build_rotation(settings, ReloadableContext(), lambda _event: None, _no_cluster, Entropy.fresh)


def _no_cluster() -> Backend:
    raise AssertionError("connected to a cluster")


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (RotationSettings(), "self-managed needs: namespace, secret, service"),
        (RotationSettings(service="hook", namespace="apps"), "self-managed needs: secret"),
        (RotationSettings(extra_names=("127.0.0.1",), namespace="apps"), "self-managed needs: secret"),
        (RotationSettings(mode=Mode.FILES), "files needs: certificate, key"),
        (RotationSettings(mode=Mode.FILES, certificate=Path("tls.crt")), "files needs: key"),
        (replace(FILES, mode=Mode.INJECTED), "injected needs: configuration"),
    ],
)
def test_missing_settings(settings: RotationSettings, missing: str) -> None:
    """The error names the mode and every missing setting, before any connection to a cluster."""
    with pytest.raises(ValueError, match=missing):
        build(settings)


def test_files_mode_without_cluster() -> None:
    """The `files` mode needs no API server."""
    assert not build(FILES).ready


def test_names() -> None:
    """The names of the Service come first, followed by the extra names."""
    settings = RotationSettings(service="hook", namespace="apps", cluster_domain="corp", extra_names=("::1",))
    assert settings.names == ("hook.apps.svc", "hook.apps.svc.corp", "::1")
