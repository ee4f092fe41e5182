"""Accelerators by the names of extended resources, resource claims and GPU-sharing annotations.

An extended resource counts as an accelerator unless it is known not to be one. Vendors add resource names faster than
a list of accelerators can follow, and a pod that requests a second device for an unlisted one stays Pending.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from webhook.workloads import quantities
from webhook.workloads.unstructured import (
    TooLargeError,
    Unstructured,
    mapping,
    sequence,
    text,
)

# Resources of one container. A device plugin advertises each extended resource; a node has fewer than ten.
_MOST_RESOURCES = 256
_LONGEST_NAME = 253 + 1 + 63  # characters of a qualified name: a DNS domain, a slash and a label


class Device(StrEnum):
    """Kind of an accelerator, by its use for dask-cuda."""

    CUDA = "cuda"  # a whole NVIDIA GPU, or a share that NVML reports as a whole GPU
    MIG = "mig"  # a MIG slice: see `webhook.mutators.cuda_devices`
    OTHER_VENDOR = "other-vendor"  # no CUDA
    UNKNOWN = "unknown"  # counts as an accelerator; the warning says how to exclude it


# Names of GPU models: some clusters advertise each model as an extended resource.
_MODELS = (
    r"(?:a10g?|a16|a30|a40|a100|a800|h20|h100|h200|h800|b100|b200|b300|gb200|gb300|gh200|l4|l20|l40s?|t4|v100|p100"
    r"|p40|p4|k80|rtx\w*|tesla|quadro|geforce)"
)
_MIG = re.compile(r"nvidia\.com/mig-|mig\.nvidia\.com")
_OTHER_VENDOR = re.compile(
    r"""
    amd\.com/ | [^/]*intel\.com/ | habana\.ai/ | qualcomm\.com/ | [^/]*google\.com/ | aws\.amazon\.com/neuron
    | huawei\.com/ | cambricon\.com/ | metax-tech\.com/ | mthreads\.com/ | hygon\.com/ | iluvatar\.(ai|com)/
    | tenstorrent\.com/ | [^/]*furiosa\.ai/ | rebellions\.ai/ | kunlunxin\.com/ | baidu\.com/ | enflame\.com/
    | birentech\.com/ | vastaitech\.com/ | graphcore\.ai/ | hailo\.ai/ | xilinx\.com/ | [^/]+/[^/]*fpga
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CUDA = re.compile(
    rf"[^/]*nvidia[^/]*/|tencent\.com/vcuda|[^/]*gpu[^/]*/|[^/]+/[^/]*gpu|[^/]+/(?:[^/]*[-_.])?{_MODELS}(?:[-_.]|$)",
    re.IGNORECASE,
)
# Devices that are no accelerators: network devices (RDMA, SR-IOV, EFA, host devices), device nodes (FUSE, KVM),
# enclaves and licences. First the domains, then words of a name with any domain.
_NO_ACCELERATOR = re.compile(
    r"""
    (?: rdma | openshift\.io | mellanox\.com | smarter-devices | devices\.kubevirt\.io | [\w.-]+\.network\.kubevirt\.io
      | vpc\.amazonaws\.com | networking\.gke\.io[\w.-]* | tke\.cloud\.tencent\.com | aliyun
      | (?:sgx|qat|dsa|iaa|dlb)\.intel\.com
    )/
    | [^/]+/(?:.*[-_.])?(?:
        rdma\w* | sriov\w* | roce\w* | infiniband | ib | hca | nics? | \w*nics | efa | eni | eip | mofed | mlnx\w*
      | cx\d\w* | resib\w* | hostdev\w* | netdev\w* | networks? | dpdk | macvtap | tun | tap | vhost | kvm | fuse
      | sgx | qat | sev | tpm | nvme | usb | serial | tty\w* | hugepages\w* | channels? | licen[cs]es? | dongles?
      | priority
    )(?:[-_.].*)?$
    """,
    re.VERBOSE | re.IGNORECASE,
)
# A DeviceClass as an extended resource (Kubernetes 1.34, feature gate DRAExtendedResource).
_DEVICE_CLASS = "deviceclass.resource.kubernetes.io/"


def device(name: str, gpu_resource: str) -> Device | None:
    """Return the kind of accelerator that a resource name identifies; None for any other resource.

    Args:
        name: The key in a container's requests or limits.
        gpu_resource: The namespace's GPU resource, an accelerator by definition.
    """
    return _device(name, gpu_resource) if len(name) <= _LONGEST_NAME else None


@lru_cache(512)
def _device(name: str, gpu_resource: str) -> Device | None:
    if name != gpu_resource:
        if name.startswith(_DEVICE_CLASS):
            return _claimed(name.removeprefix(_DEVICE_CLASS))
        if not is_extended(name) or _NO_ACCELERATOR.match(name):
            return None
    if _MIG.match(name):
        return Device.MIG
    if _OTHER_VENDOR.match(name):
        return Device.OTHER_VENDOR
    return Device.CUDA if name == gpu_resource or _CUDA.match(name) else Device.UNKNOWN


def is_extended(name: str) -> bool:
    """Return whether a resource is extended (`IsExtendedResourceName`), so outside the domain `kubernetes.io`."""
    domain, slash, _ = name.partition("/")
    return bool(slash) and not domain.endswith("kubernetes.io") and not name.startswith("requests.")


def asked(container: Unstructured, gpu_resource: str) -> dict[str, Unstructured]:
    """Return the accelerators in a container's resources: name to quantity as written, a string or a number.

    Args:
        container: The container, or a pod spec. Requests and limits both count; a limit overrides a request.
        gpu_resource: The namespace's GPU resource.

    Raises:
        TooLargeError: There are more resources than a container uses.
    """
    resources = mapping(container, "resources")
    if not resources:
        return {}
    requests, limits = mapping(resources, "requests"), mapping(resources, "limits")
    if len(requests) + len(limits) > _MOST_RESOURCES:
        raise TooLargeError("resources in a container", _MOST_RESOURCES)
    return {
        name: quantity
        for field in (requests, limits)
        for name, quantity in field.items()
        if _counts(name, quantity, gpu_resource)
    }


def _counts(name: str, quantity: Unstructured, gpu_resource: str) -> bool:
    """Return whether a resource is an accelerator; zero of an unknown resource does not count."""
    kind = device(name, gpu_resource) if quantity is not None else None
    return kind is not None and not (kind is Device.UNKNOWN and quantities.is_zero(quantity))


# Resources that count memory or cores of a GPU: HAMi, Volcano, Koordinator, Tencent's gpu-manager, Alibaba's cGPU.
_SHARE_OF_ONE = re.compile(r"(mem|memory|cores?|ratio|percentage)$")


def counted(container: Unstructured, gpu_resource: str) -> dict[str, int]:
    """Return the number of CUDA devices in a container's resources, by resource name."""
    return {
        name: quantities.whole(quantity)
        for name, quantity in asked(container, gpu_resource).items()
        if is_cuda_device(name, gpu_resource)
    }


def is_cuda_device(name: str, gpu_resource: str) -> bool:
    """Return whether one unit of an extended resource is one CUDA device."""
    return device(name, gpu_resource) in {Device.CUDA, Device.MIG} and not _SHARE_OF_ONE.search(name)


def cuda_count(container: Unstructured, gpu_resource: str) -> int:
    """Return the number of CUDA devices that a container requests."""
    return sum(counted(container, gpu_resource).values())


# ---- resource claims ------------------------------------------------------------------------------


class Claim(NamedTuple):
    """Resource claim that a container uses, with the device that its names identify.

    Attributes:
        name: Name of the claim in the pod.
        device: The kind of accelerator; None for another device, such as a network channel.
    """

    name: str
    device: Device | None


_CLAIM_GPU = re.compile(rf"gpu|(?<![a-z])mig(?![a-z])|(?<![a-z0-9]){_MODELS}(?![a-z0-9])", re.IGNORECASE)
_CLAIM_MIG = re.compile(r"(?<![a-z])mig(?![a-z])", re.IGNORECASE)
_CLAIM_OTHER_VENDOR = re.compile(
    r"(?<![a-z])(?:amd|rocm|intel|gaudi|habana|tpus?|neuron|npus?|ascend|fpgas?)(?![a-z])", re.IGNORECASE
)
_CLAIM_NVIDIA = re.compile(r"nvidia|cuda", re.IGNORECASE)
_CLAIM_NO_ACCELERATOR = re.compile(
    r"imex|channel|compute-?domain|rdma|sriov|roce|infiniband|network|(?<![a-z])(?:nics?|net|ib|efa|hca|dranet|cpus?)(?![a-z])",
    re.IGNORECASE,
)


def claims(container: Unstructured, spec: Unstructured) -> Iterator[Claim]:
    """Yield the resource claims that a container uses.

    The ResourceClaim has the device class, and an admission request does not contain it: only names identify the
    device. The name of the request within the claim takes precedence over the names of the claim and its template.
    """
    for used in sequence(container, "resources", "claims")[:_MOST_RESOURCES]:
        name = text(used, "name")
        if name is None:
            continue
        of_request = _claimed(text(used, "request") or "")
        yield Claim(name, _claimed(" ".join(_names(name, spec))) if of_request is Device.UNKNOWN else of_request)


def _names(claim: str, spec: Unstructured) -> Iterable[str]:
    yield claim
    for each in sequence(spec, "resourceClaims")[:_MOST_RESOURCES]:
        if text(each, "name") == claim:
            yield text(each, "resourceClaimTemplateName") or ""
            yield text(each, "resourceClaimName") or ""


def _claimed(names: str) -> Device | None:
    """Return the kind of accelerator that names of claims, requests and device classes identify."""
    gpu = _CLAIM_GPU.search(names)
    if not gpu and _CLAIM_NO_ACCELERATOR.search(names):
        return None
    if _CLAIM_OTHER_VENDOR.search(names):
        return Device.OTHER_VENDOR
    if _CLAIM_MIG.search(names):
        return Device.MIG
    return Device.CUDA if gpu or _CLAIM_NVIDIA.search(names) else Device.UNKNOWN


# ---- annotations and labels of GPU-sharing schedulers -----------------------------------------------


class Share(NamedTuple):
    """Request for a share of a GPU by an annotation or label.

    Attributes:
        key: Key of the annotation or label.
        value: Its value as written.
        container: Name of the container that gets the GPU; empty for the first container.
        devices: Number of GPUs that the container gets a share of.
    """

    key: str
    value: str
    container: str
    devices: int


# KAI and Run:ai: pkg/common/constants and `ValidateGPUFractionRequest` in pkg/common/resources of
# kai-scheduler/KAI-Scheduler, whose admission rejects a pod with such a request and a GPU limit: "cannot have both GPU
# fraction request and whole GPU resource request/limit". Other schedulers use the same names with their own domain.
_SHARE = re.compile(
    r"(?:[\w.-]+/)?(?:runai-)?gpu-(?:fraction|memory|portion)|nvidia\.com/container\.(?P<container>.+)\.gpu-memory\.(?:request|limit)"
    r"|sharedgpu/gpu_(?:request|limit|mem)|tensor-fusion\.ai/(?:tflops|vram)-request|runai/mig-profile"
)
_SHARE_CONTAINER = "gpu-fraction-container-name"
_SHARE_DEVICES = "gpu-fraction-num-devices"
# Each key that `share` reads contains one of these words; the keys of most objects contain none.
_SHARE_WORD = re.compile("gpu|tensor-fusion|runai")


def sharing(values: Mapping[str, Unstructured]) -> Mapping[str, str]:
    """Return the annotations or labels that `share` reads."""
    if not values or not _SHARE_WORD.search(" ".join(values)):  # one search takes a third of the time of a loop
        return {}
    return {key: value for key, value in values.items() if _SHARE_WORD.search(key) and isinstance(value, str)}


def share(values: Mapping[str, str]) -> Share | None:
    """Return the request for a share of a GPU among annotations or labels; None without one."""
    for key, value in sharing(values).items():
        found = _SHARE.fullmatch(key) if len(key) <= _LONGEST_NAME else None
        if found and value.strip():
            container = found["container"] or values.get(_SHARE_CONTAINER, "")
            return Share(key, value, container, quantities.whole(values.get(_SHARE_DEVICES, "1")) or 1)
    return None
