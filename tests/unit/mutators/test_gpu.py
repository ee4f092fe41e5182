from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.objects import cluster, container, spec, target
from webhook.mutators.decision import Decision, Outcome, Reason
from webhook.mutators.gpu import gpu, scheduler_gpu
from webhook.policy import Policy
from webhook.workloads.pod_templates import Role, read

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

BASE = "/spec/worker/spec/containers/0/resources"
GPU = "nvidia.com/gpu"


def decided(resources: Unstructured, **policy: Unstructured) -> Decision:
    """What the rule decides on a worker with these resources."""
    return gpu(target(spec(container(resources=resources))), Policy(**policy))


@pytest.mark.parametrize(
    ("resources", "path", "value"),
    [
        (None, BASE, {"limits": {GPU: "1"}}),
        ({}, f"{BASE}/limits", {GPU: "1"}),
        ({"limits": None}, f"{BASE}/limits", {GPU: "1"}),
        ({"limits": {}}, f"{BASE}/limits/nvidia.com~1gpu", "1"),
        ({"limits": {"cpu": 4}, "requests": {"cpu": 1}}, f"{BASE}/limits/nvidia.com~1gpu", "1"),
        ({"limits": {GPU: None}}, f"{BASE}/limits/nvidia.com~1gpu", "1"),
    ],
)
def test_limit_is_added_as_a_string(resources: Unstructured, path: str, value: Unstructured) -> None:
    """Whatever parents are missing are made, and the quantity is a string: Dask's CRDs take no numbers."""
    decision = decided(resources)
    (operation,) = decision.operations
    assert (operation.op, operation.path, operation.value) == ("add", path, value)
    assert decision.reason is Reason.GPU_LIMIT_ADDED


@pytest.mark.parametrize("quantity", ["1", 1, "2", 2.0])
def test_request_becomes_the_limit_too(quantity: Unstructured) -> None:
    """A request alone is completed in its own amount, whatever the namespace says."""
    decision = decided({"requests": {GPU: quantity}}, gpu_limit=8)
    assert decision.reason is Reason.GPU_LIMIT_COMPLETED
    assert decision.operations[0].value == {GPU: str(quantity)}


@pytest.mark.parametrize(
    "name",
    [
        "nvidia.com/gpu",
        "nvidia.com/gpu.shared",
        "nvidia.com/mig-1g.5gb",
        "nvidia.com/vgpu",
        "nvidia.com/GA102GL_A10",
        "amd.com/gpu",
        "gpu.intel.com/i915",
        "intel.com/gaudi",
        "habana.ai/gaudi",
        "google.com/tpu",
        "cloud-tpus.google.com/v3",
        "aws.amazon.com/neuroncore",
        "huawei.com/Ascend910",
        "example.com/fancy-gpu",
    ],
)
@pytest.mark.parametrize("quantity", ["1", 0])
def test_container_that_has_a_word_on_devices_is_left_alone(name: str, quantity: Unstructured) -> None:
    """A user who asks for any accelerator, or for none of them, stays as they are."""
    decision = decided({"limits": {name: quantity}})
    assert decision.outcome is Outcome.KEPT
    assert decision.reason is (Reason.GPU_PRESENT if name == GPU else Reason.OTHER_DEVICE_PRESENT)
    assert name in decision.detail


@pytest.mark.parametrize(
    "name", ["cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "rdma/hca", "vpc.amazonaws.com/efa"]
)
def test_what_goes_along_with_a_gpu_is_no_gpu(name: str) -> None:
    """Memory, network devices and the like say nothing about wanting a GPU."""
    assert decided({"limits": {name: "1"}}).reason is Reason.GPU_LIMIT_ADDED


def test_named_resource_is_an_accelerator_by_definition() -> None:
    """The resource that an admin names is looked for, and given, whatever it is called."""
    resource = "example.com/card"
    assert decided({"limits": {resource: "1"}}, gpu_resource=resource).reason is Reason.GPU_PRESENT
    assert decided(None, gpu_resource=resource, gpu_limit=2).operations[0].value == {"limits": {resource: "2"}}


def test_claim_is_left_alone() -> None:
    """A container with a resource claim has its device by another way."""
    assert decided({"claims": [{"name": "gpu"}]}).reason is Reason.RESOURCE_CLAIM_PRESENT
    assert decided({"claims": []}).reason is Reason.GPU_LIMIT_ADDED


def test_limit_0_is_off() -> None:
    """A limit of 0 leaves the resources alone."""
    assert decided(None, gpu_limit=0).reason is Reason.GPU_LIMIT_OFF


def test_scheduler_is_left_as_written_unless_asked() -> None:
    """Only a number on the namespace gives the Dask scheduler GPUs, and only to its own container."""
    subject = read(cluster())
    assert subject is not None
    (scheduler,) = (each for each in subject.targets if each.role is Role.SCHEDULER)
    assert scheduler_gpu(scheduler, Policy()).outcome is Outcome.SKIPPED
    assert scheduler_gpu(scheduler, Policy(scheduler_gpu=0)).outcome is Outcome.SKIPPED
    (operation,) = scheduler_gpu(scheduler, Policy(scheduler_gpu=2)).operations
    assert operation.path == "/spec/scheduler/spec/containers/0/resources"
    assert operation.value == {"limits": {GPU: "2"}}
