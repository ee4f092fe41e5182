"""Which accelerators a container asks for. Pure facts about resource names, shared by several rules."""

import re

from webhook.workloads.unstructured import (
    TooLargeError,
    Unstructured,
    mapping,
    sequence,
    written,
)

# Resources of one container. An extended resource is a device plugin's; a node has a handful.
_MOST_RESOURCES = 256

# Init containers of one pod spec, and resources of all its containers. A pod has a handful of either; each resource is
# matched in a microsecond.
_MOST_INIT_CONTAINERS, _MOST_POD_RESOURCES = 256, 4096

# Accelerators by the names their device plugins advertise. What is not here (rdma/hca, vpc.amazonaws.com/efa,
# nvidia.com/hostdev, smarter-devices/fuse) goes along with a GPU and says nothing about wanting one.
_ACCELERATOR = re.compile(
    r"""
    nvidia\.com/(gpu|mig-|vgpu|pgpu|[A-Z]{2}\d+)       # k8s-device-plugin, MIG, time-slicing; KubeVirt's GA102GL_A10
    | amd\.com/gpu | gpu\.intel\.com/ | habana\.ai/ | intel\.com/(gpu|gaudi) | qualcomm\.com/qaic
    | google\.com/tpu | cloud-tpus\.google\.com/ | aws\.amazon\.com/neuron
    | huawei\.com/(Ascend|npu) | cambricon\.com/ | metax-tech\.com/ | mthreads\.com/ | hygon\.com/ | iluvatar\.ai/
    | volcano\.sh/(vgpu|gpu) | tencent\.com/vcuda | aliyun\.com/gpu | [^/]+/[^/]*gpu
    """,
    re.VERBOSE,
)
# Accelerators that CUDA, and so dask-cuda, cannot drive.
_NOT_CUDA = re.compile(
    r"amd\.com/|[^/]*intel\.com/|habana\.ai/|qualcomm\.com/|[^/]*google\.com/|aws\.amazon\.com/|huawei\.com/"
    r"|cambricon\.com/|metax-tech\.com/|mthreads\.com/|hygon\.com/|iluvatar\.ai/"
)


def asked(container: Unstructured, gpu_resource: str) -> dict[str, Unstructured]:
    """The accelerators a container asks for: resource name to the quantity as written, a string or a number.

    Args:
        container: The raw container; limits and requests both count, limits win.
        gpu_resource: The namespace's own GPU resource, an accelerator by definition.

    Raises:
        CrowdedError: There are more than anyone asks for.
    """
    fields = [mapping(container, "resources", field) for field in ("requests", "limits")]
    if sum(map(len, fields)) > _MOST_RESOURCES:
        raise TooLargeError("resources in a container", _MOST_RESOURCES)
    return {
        name: quantity
        for field in fields
        for name, quantity in field.items()
        if quantity is not None and (name == gpu_resource or _ACCELERATOR.match(name))
    }


def requested(spec: Unstructured, gpu_resource: str) -> bool:
    """Return whether any container of a pod spec requests an accelerator; init containers count, zeros do not.

    Raises:
        TooLargeError: The pod spec has more init containers or resources than anyone writes.
    """
    init = sequence(spec, "initContainers")
    if len(init) > _MOST_INIT_CONTAINERS:
        raise TooLargeError("init containers", _MOST_INIT_CONTAINERS)
    containers = (*sequence(spec, "containers"), *init)
    fields = [mapping(each, "resources", field) for each in containers for field in ("requests", "limits")]
    if sum(map(len, fields)) > _MOST_POD_RESOURCES:
        raise TooLargeError("resources in a pod", _MOST_POD_RESOURCES)
    return any(claims(each) or not all(map(none_wanted, asked(each, gpu_resource).values())) for each in containers)


def claims(container: Unstructured) -> bool:
    """Whether a container uses resource claims (dynamic resource allocation, which Dask's CRDs prune)."""
    return bool(sequence(container, "resources", "claims"))


def cuda(name: str, gpu_resource: str) -> bool:
    """Whether dask-cuda can work on this accelerator; the resource an admin named is taken at their word."""
    return name == gpu_resource or not _NOT_CUDA.match(name)


def none_wanted(quantity: Unstructured) -> bool:
    """Whether a quantity is an explicit zero: its writer wants a worker without a GPU."""
    return written(quantity).strip() in {"0", "0.0"}


# Devices of which each one is a GPU to CUDA; nvidia.com/gpumem and such count memory or cores of one.
_COUNTED = re.compile(r"nvidia\.com/(gpu|gpu\.shared|mig-[\w.-]+)")
_QUANTITY = re.compile(r"\+?0*(\d{1,9})(?:\.0*)?")


def cuda_count(container: Unstructured, gpu_resource: str) -> int:
    """How many CUDA devices a container asks for, as far as its quantities are plain numbers."""
    quantities = (
        _QUANTITY.fullmatch(written(quantity).strip())
        for name, quantity in asked(container, gpu_resource).items()
        if name == gpu_resource or is_cuda_device(name)
    )
    return sum(int(found[1]) for found in quantities if found)


def is_cuda_device(name: str) -> bool:
    """Return whether each unit of an extended resource is one device to CUDA."""
    return _COUNTED.fullmatch(name) is not None
