"""Accelerators by the names of extended resources, resource claims and GPU-sharing annotations.

An extended resource counts as an accelerator unless it is known not to be one: vendors add names faster than any list
of accelerators follows, and a second device on top of one that was missed leaves the pod Pending.
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

# Resources of one container. An extended resource is a device plugin's; a node has a handful.
_MOST_RESOURCES = 256
_LONGEST_NAME = 253 + 1 + 63  # characters of a qualified name: a DNS domain, a slash and a label


class Device(StrEnum):
    """An accelerator, by what dask-cuda can do with it."""

    CUDA = "cuda"  # a whole GPU of NVIDIA's, or a share of one that looks like a whole one to NVML
    MIG = "mig"  # a MIG slice: see `webhook.mutators.gpu_workers`
    OTHER_VENDOR = "other-vendor"  # no CUDA
    UNKNOWN = "unknown"  # counts as an accelerator until the user says otherwise


# Names of GPU models, as some clusters advertise each model as a resource of its own.
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
# What goes along with a GPU and says nothing about wanting one: network devices (RDMA, SR-IOV, EFA, host devices),
# device nodes (FUSE, KVM), enclaves and licences. Domains first, then words of a name behind any domain.
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
    """Return which accelerator a resource name stands for; None where it is none.

    Args:
        name: The key in a container's requests or limits.
        gpu_resource: The namespace's own GPU resource, an accelerator by definition.
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
    """Return whether a resource is an extended one (`IsExtendedResourceName`): never of Kubernetes' own domain."""
    domain, slash, _ = name.partition("/")
    return bool(slash) and not domain.endswith("kubernetes.io") and not name.startswith("requests.")


def asked(container: Unstructured, gpu_resource: str) -> dict[str, Unstructured]:
    """Return the accelerators in a container's resources: name to quantity as written, a string or a number.

    Args:
        container: The raw container, or a pod spec; limits and requests both count, limits win.
        gpu_resource: The namespace's own GPU resource.

    Raises:
        CrowdedError: There are more resources than anyone requests.
    """
    resources = mapping(container, "resources")
    if not resources:
        return {}
    fields = [mapping(resources, field) for field in ("requests", "limits")]
    if sum(map(len, fields)) > _MOST_RESOURCES:
        raise TooLargeError("resources in a container", _MOST_RESOURCES)
    return {
        name: quantity
        for field in fields
        for name, quantity in field.items()
        if quantity is not None and _counts(name, quantity, gpu_resource)
    }


def _counts(name: str, quantity: Unstructured, gpu_resource: str) -> bool:
    """Return whether an entry of a container's resources says something about accelerators.

    A zero of a resource that nobody knows says nothing.
    """
    found = device(name, gpu_resource)
    return found is not None and not (found is Device.UNKNOWN and quantities.is_zero(quantity))


# Shares of one GPU, counted in memory or cores: HAMi, Volcano, Koordinator, Tencent's gpu-manager, Alibaba's cGPU.
_SHARE_OF_ONE = re.compile(r"(mem|memory|cores?|ratio|percentage)$")


def counted(container: Unstructured, gpu_resource: str) -> dict[str, int]:
    """Return the CUDA devices in a container's resources, by name, as far as each one counted is a device to CUDA."""
    return {
        name: quantities.whole(quantity)
        for name, quantity in asked(container, gpu_resource).items()
        if is_cuda_device(name, gpu_resource)
    }


def is_cuda_device(name: str, gpu_resource: str) -> bool:
    """Return whether each unit of an extended resource is one device to CUDA."""
    return device(name, gpu_resource) in {Device.CUDA, Device.MIG} and not _SHARE_OF_ONE.search(name)


def cuda_count(container: Unstructured, gpu_resource: str) -> int:
    """Return how many CUDA devices a container requests."""
    return sum(counted(container, gpu_resource).values())


# ---- resource claims ------------------------------------------------------------------------------


class Claim(NamedTuple):
    """A resource claim that a container uses, and the device it stands for by its names.

    Attributes:
        name: The claim's name in the pod.
        device: The accelerator; None for a network channel and the like.
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
    """Yield the resource claims a container uses.

    The device class stands in the ResourceClaim, which an admission request does not carry: names have to do. The name
    of the request within the claim, where there is one, decides before the names of the claim and its template.
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
    """Return which accelerator names of claims, requests and device classes stand for."""
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
    """A request for a share of a GPU by an annotation or label.

    Attributes:
        key: Of the annotation or label.
        value: As written.
        container: The container that gets the GPU; empty for the first one.
        devices: How many GPUs it gets a share of.
    """

    key: str
    value: str
    container: str
    devices: int


# KAI and Run:ai: pkg/common/constants and `ValidateGPUFractionRequest` in pkg/common/resources of
# kai-scheduler/KAI-Scheduler, whose admission rejects a pod with such a request and a GPU limit: "cannot have both GPU
# fraction request and whole GPU resource request/limit". Others use the same words behind a domain of their own.
_SHARE = re.compile(
    r"(?:[\w.-]+/)?(?:runai-)?gpu-(?:fraction|memory|portion)|nvidia\.com/container\.(?P<container>.+)\.gpu-memory\.(?:request|limit)"
    r"|sharedgpu/gpu_(?:request|limit|mem)|tensor-fusion\.ai/(?:tflops|vram)-request|runai/mig-profile"
)
_SHARE_CONTAINER = "gpu-fraction-container-name"
_SHARE_DEVICES = "gpu-fraction-num-devices"
# Every key that `share` looks at holds one of these; the keys of most objects hold none.
_SHARE_WORDS = ("gpu", "tensor-fusion", "runai")


def sharing(values: Mapping[str, str]) -> Mapping[str, str]:
    """Return the annotations or labels that `share` looks at."""
    keys = " ".join(values)
    if not ("gpu" in keys or "tensor-fusion" in keys or "runai" in keys):  # a third of the time of a loop
        return {}
    return {key: value for key, value in values.items() if any(word in key for word in _SHARE_WORDS)}


def share(values: Mapping[str, str]) -> Share | None:
    """Return the request for a share of a GPU among annotations or labels; None without one."""
    for key, value in values.items():
        found = _SHARE.fullmatch(key) if len(key) <= _LONGEST_NAME else None
        if found and value.strip():
            container = found["container"] or values.get(_SHARE_CONTAINER, "")
            return Share(key, value, container, quantities.whole(values.get(_SHARE_DEVICES, "1")) or 1)
    return None
