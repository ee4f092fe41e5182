"""Warnings about worker pods with several GPUs, which run several Dask workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.mutators.command.cases import manifest, resolved
from webhook.mutators.decision import Outcome, Reason
from webhook.mutators.gpu import gpu
from webhook.workloads import pod_templates

if TYPE_CHECKING:
    from webhook.mutators.decision import Decision

SEVERAL = "GPUs make"


def _decided(container: dict[str, Any], **annotations: str) -> Decision:
    subject = pod_templates.read(manifest(container))
    assert subject is not None
    return gpu(subject.targets[0], resolved({key.replace("_", "-"): value for key, value in annotations.items()}))


@pytest.mark.parametrize("quantity", ["2", 2, "2.0", "8", "04"])
def test_users_own_quantity(quantity: str | float) -> None:
    """A quantity above one is kept, with a warning that states the number of workers."""
    decision = _decided({"args": ["dask-worker"], "resources": {"limits": {"nvidia.com/gpu": quantity}}})
    assert (decision.outcome, decision.reason, decision.operations) == (Outcome.KEPT, Reason.GPU_PRESENT, ())
    (line,) = decision.warnings
    assert line.startswith(f"{int(float(quantity))} {SEVERAL}")


def test_policy_quantity() -> None:
    """A gpu-limit above one is applied with the same warning."""
    decision = _decided({"args": ["dask-cuda-worker"]}, gpu_limit="4")
    assert decision.outcome is Outcome.APPLIED
    assert decision.warnings[0].startswith("4 GPUs make 4 Dask workers in one pod")


def test_slices_are_counted_together() -> None:
    """MIG slices and whole GPUs count as devices; memory and cores of a GPU do not."""
    limits = {"nvidia.com/mig-1g.5gb": "1", "nvidia.com/mig-2g.10gb": "1", "nvidia.com/gpumem": "4000"}
    assert _decided({"args": ["dask-worker"], "resources": {"limits": limits}}).warnings[0].startswith("2 GPUs")
    assert not _decided({"args": ["dask-worker"], "resources": {"limits": {"nvidia.com/gpumem": "4000"}}}).warnings


@pytest.mark.parametrize(
    ("container", "annotations"),
    [
        ({"args": ["dask-worker"]}, {}),
        ({"args": ["dask-worker"], "resources": {"limits": {"nvidia.com/gpu": "1"}}}, {}),
        ({"args": ["dask-worker"], "resources": {"limits": {"nvidia.com/gpu": "2"}}}, {"worker_command": "keep"}),
        ({"args": ["dask-worker"], "resources": {"limits": {"amd.com/gpu": "2"}}}, {}),
    ],
)
def test_one_worker_gets_no_warning(container: dict[str, Any], annotations: dict[str, str]) -> None:
    """One GPU, a `dask worker` that is kept, or devices without CUDA cause no warning."""
    assert not _decided(container, **annotations).warnings


def test_pod_without_owner_gets_a_warning() -> None:
    """A pod created by hand gets a warning about the added limit, since a ResourceQuota may reject it."""
    by_hand = manifest({"args": ["dask-worker"]})
    del by_hand["metadata"]["ownerReferences"]
    subject = pod_templates.read(by_hand)
    assert subject is not None
    warnings = gpu(subject.targets[0], resolved({})).warnings
    assert warnings == ("container worker gets 1 nvidia.com/gpu (colocate.dask.org/gpu-limit)",)
    assert not _decided({"args": ["dask-worker"]}).warnings
