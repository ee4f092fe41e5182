"""What dask-cuda finds in the Dask container of a GPU worker, once the rules have applied."""

from enum import StrEnum

from webhook.mutators.gpu_workers import (
    NVIDIA_VARIABLE,
    Classification,
    Kind,
    hidden,
    variables,
)
from webhook.policy import Policy
from webhook.workloads import accelerators
from webhook.workloads.accelerators import Device
from webhook.workloads.pod_templates import PodTemplate
from webhook.workloads.unstructured import mapping, text


class Found(StrEnum):
    """What dask-cuda's start-up finds in the Dask container.

    `CUDAWorker.__init__` of dask-cuda 26.2 and 26.10, run with NVML stubbed to what the driver answers:

    | NVML | result |
    |---|---|
    | no driver | `NVMLError_LibraryNotFound` in `get_gpu_count` |
    | no device | starts no worker at all, and waits |
    | 1 or n devices | starts 1 or n workers |
    | a MIG slice, unprivileged | `NVMLError_NoPermission` in `has_device_memory_resource` |
    | the same with CUDA_VISIBLE_DEVICES=MIG-... | the same |
    | CUDA_VISIBLE_DEVICES is empty | `ValueError` in `parse_cuda_visible_device` |

    NVML gives the memory of a GPU in MIG mode to privileged processes only (nvml.h, `nvmlDeviceGetMemoryInfo`;
    NVIDIA/nvidia-container-toolkit issue 842), and dask-cuda asks for the parent GPU's even where it is given the
    slice. A plain `dask worker` uses the slice, which is device 0 to CUDA.
    """

    DEVICES = "devices"
    NONE = "none"
    ZERO = "zero"
    MIG = "mig"
    OTHER_VENDOR = "other-vendor"
    UNKNOWN = "unknown"


# Of several devices the first here decides: one MIG slice is enough for the start to fail.
_DECIDES = (
    (Device.MIG, Found.MIG),
    (Device.CUDA, Found.DEVICES),
    (Device.UNKNOWN, Found.UNKNOWN),
    (Device.OTHER_VENDOR, Found.OTHER_VENDOR),
)


def found(target: PodTemplate, policy: Policy, worker: Classification) -> Found:
    """Return what dask-cuda finds in the Dask container after the rules have applied to a GPU worker."""
    if any(hidden(target)):
        return Found.NONE
    own = {each.device for each in worker.requests if each.own}
    if not worker.requests and not worker.zero and policy.gpu_limit:
        own = {accelerators.device(policy.gpu_resource, policy.gpu_resource)}
    for device, result in _DECIDES:
        if device in own:
            return result
    if worker.zero:
        return Found.ZERO
    # Sites that share GPUs without limits say in the manifest which devices to show.
    return Found.DEVICES if not worker.requests and variables(target).get(NVIDIA_VARIABLE) else Found.NONE


def count(target: PodTemplate, policy: Policy, worker: Classification) -> int:
    """Return how many CUDA devices the Dask container gets, which is how many workers dask-cuda starts."""
    if not worker.requests:
        return policy.gpu_limit
    for each in worker.requests:
        if each.own and each.kind in {Kind.ANNOTATION, Kind.LABEL}:
            values = target.annotations if each.kind is Kind.ANNOTATION else target.labels
            share = accelerators.share(values)
            return share.devices if share else 1
    return accelerators.cuda_count(target.container.raw, policy.gpu_resource) if target.container else 0


def sees_all(target: PodTemplate, worker: Classification, *, limited: bool) -> bool:
    """Return whether the Dask container sees all GPUs of its node, whatever its limit.

    A variable of the container's outweighs the device plugin's (NVIDIA/k8s-device-plugin issue 61), a privileged
    container has every device node, and the NVIDIA runtime shows all devices where there is no limit.

    Args:
        target: The pod template.
        worker: Its classification.
        limited: Whether the plan adds a limit.
    """
    raw = target.container.raw if target.container else None
    if variables(target).get(NVIDIA_VARIABLE) == "all" or mapping(raw, "securityContext").get("privileged") is True:
        return True
    runtime = text(target.spec, "runtimeClassName") or ""
    return "nvidia" in runtime and not limited and not worker.requests
