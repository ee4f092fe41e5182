from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from webhook.cli.options import ServeOptions
from webhook.policy import ANNOTATIONS, PREFIX, Policy, WorkerCommand
from webhook.policy.defaults import SettingsError, default_policy, parse_assignments

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

FILE = Path("some-file")


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"tls_cert": FILE}, "must be used together"),
        ({"tls_key": FILE, "namespaces_file": FILE}, "must be used together"),
        ({"kubeconfig": FILE, "namespaces_file": FILE}, "mutually exclusive"),
        ({"namespaces_file": FILE, "capacity_hints": True}, "remove --namespaces-file"),
    ],
)
def test_conflicting_options_are_rejected(settings: Unstructured, advice: str) -> None:
    """Conflicting options stop the start with a message that says what to change."""
    with pytest.raises(SettingsError, match=advice):
        ServeOptions(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"namespaces_file": FILE},
        {"namespaces_file": FILE, "tls_cert": FILE, "tls_key": FILE},
        {"tls_cert": FILE, "tls_key": FILE},
        {"kubeconfig": FILE, "tls_cert": FILE, "tls_key": FILE},
    ],
)
def test_valid_combinations_are_accepted(settings: Unstructured) -> None:
    """Each way to run the webhook is accepted."""
    assert isinstance(ServeOptions(**settings), ServeOptions)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", {}),
        (" ; ;", {}),
        ("enabled=true", {"enabled": "true"}),
        ("enabled=true; apart = 5 ;", {"enabled": "true", "apart": "5"}),
        (f"{PREFIX}mode=warn", {"mode": "warn"}),
        ("topology=kubernetes.io/hostname=100,rack", {"topology": "kubernetes.io/hostname=100,rack"}),
        ("worker-command=dask cuda worker", {"worker-command": "dask cuda worker"}),
        ("mode=warn;mode=enforce", {"mode": "enforce"}),
    ],
)
def test_defaults_are_annotations_without_their_prefix(text: str, names: dict[str, str]) -> None:
    """Items are separated by semicolons, key and value by the first `=`; surrounding space is ignored."""
    assert parse_assignments(text) == {f"{PREFIX}{name}": value for name, value in names.items()}


def test_item_without_a_value_is_rejected() -> None:
    """An item without `=` stops the start and the message shows the syntax."""
    with pytest.raises(SettingsError, match="expected KEY=VALUE"):
        parse_assignments("enabled")


def test_empty_defaults_are_the_default_policy() -> None:
    """Without --defaults the default policy applies: not enabled."""
    assert default_policy("") == Policy()
    assert not default_policy("").enabled


def test_defaults_set_the_policy() -> None:
    """The policy has the values of --defaults."""
    policy = default_policy("enabled=true; worker-command=dask cuda worker; gpu-limit=2")
    assert (policy.enabled, policy.worker_command, policy.gpu_limit) == (True, WorkerCommand.SUBCOMMAND, 2)


def test_every_error_in_the_defaults_is_reported() -> None:
    """Errors in --defaults stop the start, and all are reported at once."""
    with pytest.raises(SettingsError) as caught:
        default_policy("gpu-limit=one; apart=101; gpu-limits=2")
    for key in ("gpu-limit", "apart", "gpu-limits"):
        assert f"{PREFIX}{key}" in str(caught.value)


def test_each_annotation_can_be_a_default() -> None:
    """The default policy, written out as --defaults, gives the default policy."""
    shipped = "; ".join(
        f"{annotation.name}={annotation.value(Policy())}"
        for annotation in ANNOTATIONS
        if annotation.value(Policy()) != "unset"
    )
    assert default_policy(shipped) == Policy()
