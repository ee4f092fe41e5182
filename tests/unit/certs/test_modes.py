"""Each mode says what it needs, and a missing right what to grant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from certs.assembly import Settings, rotation
from certs.issue import Entropy
from certs.kube import Api, ApiError, Resource, connect
from certs.modes import Mode
from certs.rotate import Rotation
from certs.serving import Serving

FILES = Settings(mode=Mode.FILES, certificate=Path("tls.crt"), key=Path("tls.key"))


def made(settings: Settings) -> Rotation:
    """The rotation of a mode that must not get as far as a cluster."""
    return rotation(settings, Serving(), lambda _observation: None, _no_cluster, Entropy.fresh)


def _no_cluster() -> Api:
    raise AssertionError("asked for a cluster before the settings were checked")


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (Settings(), "self-managed needs: namespace, secret, service"),
        (Settings(service="hook", namespace="apps"), "self-managed needs: secret"),
        (Settings(extra_names=("127.0.0.1",), namespace="apps"), "self-managed needs: secret"),
        (Settings(mode=Mode.FILES), "files needs: certificate, key"),
        (Settings(mode=Mode.FILES, certificate=Path("tls.crt")), "files needs: key"),
        (replace(FILES, mode=Mode.INJECTED), "injected needs: configuration"),
    ],
)
def test_a_missing_setting_is_named(settings: Settings, missing: str) -> None:
    """The text has the mode and every setting that it lacks."""
    with pytest.raises(ValueError, match=missing):
        made(settings)


def test_files_need_no_cluster() -> None:
    """One's own files work where there is no API server at all."""
    assert not made(FILES).ready


def test_names_are_the_services_and_more() -> None:
    """The service's names come first; more are added, such as an address."""
    settings = Settings(service="hook", namespace="apps", cluster_domain="corp", extra_names=("::1",))
    assert settings.names == ("hook.apps.svc", "hook.apps.svc.corp", "::1")


@pytest.mark.parametrize(
    ("resource", "verb", "said"),
    [
        (
            Resource(group="", plural="secrets", name="tls", namespace="apps"),
            "patch",
            (
                'missing right: patch secrets "tls" in namespace "apps". A Role in namespace apps needs the rule '
                '{apiGroups: [""], resources: [secrets], resourceNames: [tls], verbs: [patch]}'
            ),
        ),
        (
            Resource(group="", plural="secrets", name="tls", namespace="apps"),
            "create",
            (
                'missing right: create secrets "tls" in namespace "apps". A Role in namespace apps needs the rule '
                '{apiGroups: [""], resources: [secrets], verbs: [create]}'
            ),
        ),
        (
            Resource(group="g.io", plural="hooks", name="one"),
            "get",
            (
                'missing right: get hooks.g.io "one". A ClusterRole needs the rule '
                "{apiGroups: [g.io], resources: [hooks], resourceNames: [one], verbs: [get]}"
            ),
        ),
    ],
)
def test_a_missing_right_is_a_rule_to_copy(resource: Resource, verb: str, said: str) -> None:
    """It names verb, object and the whole rule; `create` can't be limited to a name."""
    assert resource.missing_right(verb) == said


def test_no_way_to_a_cluster_is_an_error_of_ours(tmp_path: Path) -> None:
    """A kubeconfig that is missing is one sentence."""
    with pytest.raises(ApiError, match="no way to a cluster"):
        connect(tmp_path / "missing")
