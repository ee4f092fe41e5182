"""Containers that the previous release converted are unmodified when their objects are applied again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.unit.mutators.command.cases import manifest, resolved
from webhook.mutators import plan
from webhook.workloads.pod_templates import read

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

PREVIOUS: list[Unstructured] = yaml.safe_load(Path(__file__).with_name("previous.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("cli", ["keep", "subcommands"])
@pytest.mark.parametrize("entry", PREVIOUS, ids=lambda entry: str(entry.get("args") or entry["command"]))
def test_no_command_changes_again(entry: Unstructured, cli: str) -> None:
    """The result of the previous release is kept with every value of `dask-cli`."""
    annotations = {**entry.get("policy", {}), "dask-cli": cli}
    container = {key: value for key, value in entry.items() if key != "policy"}
    subject = read(manifest(container))
    assert subject is not None
    operations = plan(subject.targets, resolved(annotations)).operations
    assert not [operation for operation in operations if operation.path.endswith(("/command", "/args"))]


def test_previous_results_are_complete() -> None:
    """The file contains the previous release's results for the whole corpus."""
    assert len(PREVIOUS) >= 200
