from __future__ import annotations

import pytest

from webhook.workloads.accelerators import Device, claims, device, share

GPU = "nvidia.com/gpu"


NAMES = {
    Device.CUDA: """
        nvidia.com/gpu nvidia.com/gpu.shared nvidia.com/a100 nvidia.com/h100 nvidia.com/GA102GL_A10 nvidia.com/vgpu
        nvidia.com/NVIDIA_A10-12Q nvidia.com/gpumem nvidia.com/gpucores volcano.sh/vgpu-number
        volcano.sh/vgpu-memory volcano.sh/gpu-memory tencent.com/vcuda-core aliyun.com/gpu-mem
        koordinator.sh/gpu-core example.com/fancy-gpu example.com/l40s example.com/a100-80gb gpu.example.com/big
        deviceclass.resource.kubernetes.io/gpu.nvidia.com
    """,
    Device.MIG: """
        nvidia.com/mig-1g.5gb nvidia.com/mig-3g.40gb.shared deviceclass.resource.kubernetes.io/mig.nvidia.com
    """,
    Device.OTHER_VENDOR: """
        amd.com/gpu amd.com/cpx_nps4 gpu.intel.com/i915 intel.com/gaudi habana.ai/gaudi google.com/tpu
        cloud-tpus.google.com/v3 aws.amazon.com/neuroncore huawei.com/Ascend910 tenstorrent.com/n150
        furiosa.ai/rngd beta.furiosa.ai/npu rebellions.ai/ATOM kunlunxin.com/xpu enflame.com/vgcu
        cambricon.com/vmlu metax-tech.com/sgpu xilinx.com/fpga-u250
    """,
    Device.UNKNOWN: "example.com/widget acme.io/chip",
    None: """
        cpu memory hugepages-2Mi kubernetes.io/batch-cpu rdma/hca rdma/rdma_shared_device_a nvidia.com/hostdev
        nvidia.com/sriov_rdma_vf nvidia.com/mlnxnics nvidia.com/resibp24s0 intel.com/intel_sriov_netdevice
        openshift.io/mlxnet mellanox.com/cx5 vpc.amazonaws.com/efa github.com/fuse squat.ai/fuse
        smarter-devices/fuse devices.kubevirt.io/kvm sgx.intel.com/epc qat.intel.com/cy koordinator.sh/rdma
        networking.gke.io.networks/rdma-0 aliyun/eni nvidia.com/priority
        deviceclass.resource.kubernetes.io/compute-domain-default-channel.nvidia.com
    """,
}


@pytest.mark.parametrize(("expected", "names"), NAMES.items(), ids=map(str, NAMES))
def test_extended_resource_counts_unless_it_is_known_not_to_be_an_accelerator(
    expected: Device | None, names: str
) -> None:
    """A device plugin's name says which accelerator it is; network devices and device nodes are none."""
    assert {name: device(name, GPU) for name in names.split()} == dict.fromkeys(names.split(), expected)


def test_resource_of_the_namespace_is_an_accelerator_by_definition() -> None:
    """The resource that an admin names counts as CUDA's, but for MIG slices and other vendors' devices."""
    assert device("example.com/nic", "example.com/nic") is Device.CUDA
    assert device("amd.com/gpu", "amd.com/gpu") is Device.OTHER_VENDOR
    assert device("nvidia.com/mig-1g.5gb", "nvidia.com/mig-1g.5gb") is Device.MIG


def test_name_that_kubernetes_refuses_is_none() -> None:
    """A name longer than a qualified name is no resource, whatever stands in it."""
    assert device(f"nvidia.com/{'rdma_' * 100_000}", GPU) is None


@pytest.mark.parametrize(
    ("template", "request_name", "expected"),
    [
        ("one-gpu", None, Device.CUDA),
        ("team-h100", None, Device.CUDA),
        ("single-mig", None, Device.MIG),
        ("amd-gpu", None, Device.OTHER_VENDOR),
        ("imex-channel", None, None),
        ("compute-domain", None, None),
        ("rdma-nic", None, None),
        ("gpu-and-nic", None, Device.CUDA),
        ("gpu-and-channel", "channel", None),
        ("anything", None, Device.UNKNOWN),
    ],
)
def test_claim_is_told_by_its_names(template: str, request_name: str | None, expected: Device | None) -> None:
    """A claim for a network channel is no GPU, and one that cannot be told counts."""
    container = {"resources": {"claims": [{"name": "c", "request": request_name}]}}
    spec = {"resourceClaims": [{"name": "c", "resourceClaimTemplateName": template}]}
    assert [claim.device for claim in claims(container, spec)] == [expected]


@pytest.mark.parametrize(
    ("values", "devices"),
    [
        ({"gpu-fraction": "0.5"}, 1),
        ({"gpu-memory": "2000"}, 1),
        ({"gpu-fraction": "0.5", "gpu-fraction-num-devices": "2"}, 2),
        ({"nvidia.com/container.worker.gpu-memory.request": "4Gi"}, 1),
        ({"run.ai/gpu-fraction": "0.25"}, 1),
        ({"sharedgpu/gpu_request": "0.5"}, 1),
    ],
)
def test_annotation_of_a_gpu_sharing_scheduler_requests_a_gpu(values: dict[str, str], devices: int) -> None:
    """KAI's, Run:ai's and others' annotations and labels are requests for a share of a GPU."""
    found = share(values)
    assert found is not None
    assert found.devices == devices


@pytest.mark.parametrize(
    "key", ["gpu-fraction-container-name", "gpu-fraction-num-devices", "nvidia.com/use-gputype", "gpu"]
)
def test_other_annotations_about_gpus_request_none(key: str) -> None:
    """What only qualifies a request, or chooses among GPUs, is no request."""
    assert share({key: "worker"}) is None
