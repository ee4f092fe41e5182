"""CUDA devices in the Dask container of a GPU worker after the rules have applied."""

from enum import StrEnum

from webhook.mutators.gpu_workers import (
    NVIDIA_VARIABLE,
    Classification,
    Kind,
    hidden,
    variables,
)
from webhook.policy import Policy
from webhook.workloads import accelerators, gpu_nodes
from webhook.workloads.accelerators import Device
from webhook.workloads.pod_templates import PodTemplate
from webhook.workloads.unstructured import mapping, text


class Found(StrEnum):
    """Device that dask-cuda's start-up finds in the Dask container.

    `dask cuda worker` of dask-cuda 24.12 and 26.10, run with NVML stubbed to the driver's answers
    (`tests/unit/command/test_start_up.py`):

    | NVML | result |
    |---|---|
    | no driver | `NVMLError_LibraryNotFound` in `get_gpu_count` |
    | no device | `ZeroDivisionError` in `parse_memory_limit`; with `--memory-limit` no worker, and it waits |
    | 1 or n devices | starts 1 or n workers |
    | a MIG slice, unprivileged | `NVMLError_NoPermission` in `has_device_memory_resource` |
    | the same with CUDA_VISIBLE_DEVICES=MIG-... | the same |
    | CUDA_VISIBLE_DEVICES is empty | `ValueError` in `parse_cuda_visible_device` |

    NVML gives the memory of a GPU in MIG mode to privileged processes only (nvml.h, `nvmlDeviceGetMemoryInfo`;
    NVIDIA/nvidia-container-toolkit issue 842), and dask-cuda reads the memory of the slice's parent GPU. A plain
    `dask worker` uses the slice, which is CUDA's device 0.
    """

    DEVICES = "devices"
    NONE = "none"
    ZERO = "zero"
    MIG = "mig"
    OTHER_VENDOR = "other-vendor"
    UNKNOWN = "unknown"


# With several devices the first of this order decides: with one MIG slice the start fails.
_DECIDES = (
    (Device.MIG, Found.MIG),
    (Device.CUDA, Found.DEVICES),
    (Device.UNKNOWN, Found.UNKNOWN),
    (Device.OTHER_VENDOR, Found.OTHER_VENDOR),
)


def found(template: PodTemplate, policy: Policy, worker: Classification) -> Found:
    """Return the device that dask-cuda finds in a GPU worker's Dask container after the rules have applied."""
    if any(hidden(template)):
        return Found.NONE
    own = {each.device for each in worker.requests if each.own}
    if not worker.requests and not worker.zero and policy.gpu_limit:
        own = {accelerators.device(policy.gpu_resource, policy.gpu_resource)}
    if Device.CUDA in own and gpu_nodes.selects_slices(template.spec):
        return Found.MIG
    for device, result in _DECIDES:
        if device in own:
            return result
    if worker.zero:
        return Found.ZERO
    # Clusters that share GPUs without limits choose the visible devices in the manifest.
    return Found.DEVICES if not worker.requests and variables(template).get(NVIDIA_VARIABLE) else Found.NONE


def count(template: PodTemplate, policy: Policy, worker: Classification) -> int:
    """Return the number of CUDA devices of the Dask container: dask-cuda starts one worker for each."""
    if not worker.requests:
        return policy.gpu_limit
    for each in worker.requests:
        if each.own and each.kind in {Kind.ANNOTATION, Kind.LABEL}:
            values = template.annotations if each.kind is Kind.ANNOTATION else template.labels
            share = accelerators.share(values)
            return share.devices if share else 1
    return accelerators.cuda_count(template.container.raw, policy.gpu_resource) if template.container else 0


def sees_all(template: PodTemplate, worker: Classification, *, limited: bool) -> bool:
    """Return whether the Dask container sees all GPUs of its node, whatever its limit.

    The container's own variable overrides the device plugin's (NVIDIA/k8s-device-plugin issue 61), a privileged
    container has all device nodes, and the NVIDIA runtime shows all devices to a container without a limit.

    Args:
        template: The pod template.
        worker: Its classification.
        limited: Whether the plan adds a limit.
    """
    raw = template.container.raw if template.container else None
    if variables(template).get(NVIDIA_VARIABLE) == "all" or mapping(raw, "securityContext").get("privileged") is True:
        return True
    runtime = text(template.spec, "runtimeClassName") or ""
    return "nvidia" in runtime and not limited and not worker.requests
