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
        ({"tls_cert": FILE}, "give both, or neither"),
        ({"tls_key": FILE, "namespaces_file": FILE}, "give both, or neither"),
        ({"kubeconfig": FILE, "namespaces_file": FILE}, "give one"),
        ({"namespaces_file": FILE, "capacity_hints": True}, "leave --namespaces-file out"),
    ],
)
def test_what_cannot_work_together_is_refused(settings: Unstructured, advice: str) -> None:
    """A contradiction stops the start, and its message says what to do."""
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
def test_what_works_together_is_taken(settings: Unstructured) -> None:
    """Each way of running the webhook is one of these."""
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
    """Items are separated by semicolons, key and value by the first `=`, and space around them is nothing."""
    assert parse_assignments(text) == {f"{PREFIX}{name}": value for name, value in names.items()}


def test_item_without_a_value_is_refused() -> None:
    """An item that is no assignment stops the start and shows how it is written."""
    with pytest.raises(SettingsError, match="expected KEY=VALUE"):
        parse_assignments("enabled")


def test_nothing_said_is_what_ships() -> None:
    """Without defaults the policy is the one that ships: not enabled."""
    assert default_policy("") == Policy()
    assert not default_policy("").enabled


def test_defaults_are_taken() -> None:
    """The installation's policy has what was written."""
    policy = default_policy("enabled=true; worker-command=dask cuda worker; gpu-limit=2")
    assert (policy.enabled, policy.worker_command, policy.gpu_limit) == (True, WorkerCommand.SUBCOMMAND, 2)


def test_every_mistake_in_the_defaults_is_named() -> None:
    """Unlike a namespace's annotations, a mistake here stops the start, and all are told at once."""
    with pytest.raises(SettingsError) as caught:
        default_policy("gpu-limit=one; apart=101; gpu-limits=2")
    for key in ("gpu-limit", "apart", "gpu-limits"):
        assert f"{PREFIX}{key}" in str(caught.value)


def test_each_annotation_can_be_a_default() -> None:
    """What ships, written out in full, is what ships."""
    shipped = "; ".join(
        f"{annotation.name}={annotation.value(Policy())}"
        for annotation in ANNOTATIONS
        if annotation.value(Policy()) != "unset"
    )
    assert default_policy(shipped) == Policy()
