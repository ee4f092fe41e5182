"""Which workers are GPU workers, and what dask-cuda finds there; the shapes are of the kinds that broke clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.objects import cluster, container, group, pod, review, spec
from webhook.admission import handler
from webhook.admission.decision_cache import DecisionCache
from webhook.admission.request import parse_document
from webhook.kube.capacity import NOT_WATCHED
from webhook.mutators.decision import Outcome, Reason
from webhook.mutators.gpu_workers import Kind, classify
from webhook.policy import GpuWorkers, Policy, resolve
from webhook.workloads.pod_templates import DaskObject, read

if TYPE_CHECKING:
    from webhook.admission.response import AdmissionResponse
    from webhook.mutators.decision import Decision
    from webhook.workloads.unstructured import Unstructured

REQUESTED = Policy(enabled=True, gpu_workers=GpuWorkers.REQUESTED)
ALL = Policy(enabled=True)
GPU = "nvidia.com/gpu"


def decided(item: Unstructured, policy: Policy = ALL) -> AdmissionResponse:
    """The response to the creation of an object."""
    subject = read(item)
    assert subject is not None
    return handler.decide(subject, policy)


def rules(item: Unstructured, policy: Policy = ALL) -> dict[str, Decision]:
    """The worker's decisions by rule."""
    return {each.rule: each for each in decided(item, policy).decisions if each.role == "worker"}


def worker(resources: Unstructured = None, **fields: Unstructured) -> Unstructured:
    """A pod spec with one plain Dask worker."""
    return spec(container(**({"resources": resources} if resources else {}), **fields))


def env(**values: str) -> list[Unstructured]:
    """Environment variables."""
    return [{"name": name, "value": value} for name, value in values.items()]


SIDECAR = {"name": "renderer", "image": "example.org/renderer", "resources": {"limits": {GPU: "1"}}}
CLAIM = {"resources": {"claims": [{"name": "gpu"}]}}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"

GPU_WORKERS = {
    "a limit": worker({"limits": {GPU: "1"}}),
    "a request": worker({"requests": {GPU: 1}}),
    "a quantity in another spelling": worker({"limits": {GPU: "2e0"}}),
    "milli devices": worker({"limits": {GPU: "2000m"}}),
    "a model of its own": worker({"limits": {"nvidia.com/a100": "1"}}),
    "another vendor's": worker({"limits": {"amd.com/cpx_nps4": "1"}}),
    "a vGPU": worker({"limits": {"volcano.sh/vgpu-number": 1}}),
    "memory of a GPU": worker({"limits": {"nvidia.com/gpumem": 3000}}),
    "a resource that nobody knows": worker({"limits": {"example.com/widget": "1"}}),
    "a sidecar's": spec(container(), SIDECAR),
    "an init container's": spec(container(), initContainers=[SIDECAR]),
    "a native sidecar's": spec(container(), initContainers=[{**SIDECAR, "restartPolicy": "Always"}]),
    "zero beside a sidecar's": spec(container(resources={"limits": {GPU: "0"}}), SIDECAR),
    "a resource claim": spec(container(**CLAIM), resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "one"}]),
    "dask-cuda already": spec(container("dask-cuda-worker")),
    "dask-cuda as a subcommand": spec(container("dask", "cuda", "worker")),
    "dask-cuda although it asks for zero": spec(container("dask-cuda-worker", resources={"limits": {GPU: 0}})),
    "a limit although the image lacks dask-cuda": worker({"limits": {GPU: 1}}, image="daskdev/dask"),
    "a limit although variables hide it": worker({"limits": {GPU: 1}}, env=env(CUDA_VISIBLE_DEVICES="")),
}
CPU_WORKERS = {
    "zero": worker({"limits": {GPU: "0"}}),
    "zero milli": worker({"limits": {GPU: "0m"}}),
    "signed zero": worker({"requests": {GPU: "+0"}}),
    "zero of another vendor's": worker({"limits": {"amd.com/gpu": 0}}),
    "no device for CUDA": worker(env=env(CUDA_VISIBLE_DEVICES="-1")),
    "an empty variable": worker(env=[{"name": "CUDA_VISIBLE_DEVICES"}]),
    "no device for the runtime": worker(env=env(NVIDIA_VISIBLE_DEVICES="none")),
    "void": worker(env=env(NVIDIA_VISIBLE_DEVICES="void")),
    "a node selector": spec(nodeSelector={"nvidia.com/gpu.present": "false"}),
    "a required node affinity": spec(
        affinity={
            "nodeAffinity": {
                REQUIRED: {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "cloud.google.com/gke-accelerator", "operator": "DoesNotExist"}]}
                    ]
                }
            }
        }
    ),
    "Dask's image": worker(image="ghcr.io/dask/dask:latest"),
    "Dask's image by digest": worker(image="ghcr.io/dask/dask@sha256:0123"),
    "Dask's image on Docker Hub": worker(image="docker.io/daskdev/dask:2024.1.0-py3.11"),
    "Dask's image in a mirror with a port": worker(image="mirror.example.org:5000/hub/daskdev/dask"),
    "another package for Dask's image": worker(image="ghcr.io/dask/dask", env=env(EXTRA_PIP_PACKAGES="s3fs")),
    "an entrypoint that installs nothing": worker(
        image="ghcr.io/dask/dask", command=["dask-worker"], args=[], env=env(EXTRA_PIP_PACKAGES="dask-cuda")
    ),
}
NO_EVIDENCE = {
    "nothing": worker(),
    "CPU and memory": worker({"limits": {"cpu": "4", "memory": "16Gi"}}),
    "a network device": worker({"limits": {"rdma/hca": "1"}}),
    "zero of a resource that nobody knows": worker({"limits": {"example.com/widget": "0"}}),
    "a channel": spec(container(resources={"claims": [{"name": "imex-channel"}]})),
    "all devices": worker(env=env(NVIDIA_VISIBLE_DEVICES="all")),
    "a variable from elsewhere": worker(env=[{"name": "CUDA_VISIBLE_DEVICES", "valueFrom": {}}]),
    "a sidecar's zero": spec(container(), {"name": "s", "resources": {"limits": {GPU: "0"}}}),
    "a node selector for GPUs": spec(nodeSelector={"nvidia.com/gpu.present": "true"}),
    "an affinity with a way out": spec(
        affinity={
            "nodeAffinity": {
                REQUIRED: {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "nvidia.com/gpu.present", "operator": "DoesNotExist"}]},
                        {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["a"]}]},
                    ]
                }
            }
        }
    ),
    "a company's image called dask": worker(image="registry.example.org/dask/dask:1"),
    "RAPIDS": worker(image="nvcr.io/nvidia/rapidsai/base:26.08"),
    "Dask's image with dask-cuda": worker(image="ghcr.io/dask/dask", env=env(EXTRA_PIP_PACKAGES="dask-cuda cudf-cu12")),
    "Dask's image with conda's": worker(image="ghcr.io/dask/dask", env=env(EXTRA_CONDA_PACKAGES="-c rapidsai rapids")),
    "Dask's image with an environment": worker(
        image="ghcr.io/dask/dask", volumeMounts=[{"name": "e", "mountPath": "/opt/app"}]
    ),
    "Dask's image that installs first": spec(
        container("sh", "-c", "pip install dask-cuda && exec dask-worker", image="ghcr.io/dask/dask")
    ),
}


@pytest.mark.parametrize("item", GPU_WORKERS.values(), ids=GPU_WORKERS)
@pytest.mark.parametrize("policy", [ALL, REQUESTED])
def test_request_makes_a_gpu_worker(item: Unstructured, policy: Policy) -> None:
    """Any container's request for an accelerator, or dask-cuda itself, outweighs all other evidence."""
    assert {each.reason for each in rules(pod(item), policy).values()}.isdisjoint({Reason.CPU_WORKER})


@pytest.mark.parametrize("item", [*CPU_WORKERS.values()], ids=CPU_WORKERS)
@pytest.mark.parametrize("make", [cluster, group, pod])
def test_cpu_worker_is_unmodified(item: Unstructured, make: Any) -> None:  # noqa: ANN401 - factories of three kinds
    """No rule touches a CPU worker, and each says why; rule `dask-cli` is for CPU workers too, and is off here."""
    response = decided(make(item))
    assert response.operations == ()
    reasons = {each.rule: each.reason for each in response.decisions if each.role == "worker"}
    assert reasons.pop("dask-cli") == Reason.DASK_CLI_OFF
    assert set(reasons.values()) == {Reason.CPU_WORKER}
    assert response.worker is not None
    assert dict(response.audit)["worker"] == str(response.worker)


@pytest.mark.parametrize("item", NO_EVIDENCE.values(), ids=NO_EVIDENCE)
def test_without_evidence_the_namespace_decides(item: Unstructured) -> None:
    """With `all` such a worker is a GPU worker, with `requested` a CPU worker."""
    for policy, gpu in ((ALL, True), (REQUESTED, False)):
        response = decided(pod(item), policy)
        assert response.worker is not None
        assert (response.worker.gpu, response.worker.evidence[0].kind) == (gpu, Kind.POLICY)


def test_selector_chooses_by_the_labels_of_the_pods() -> None:
    """The names of groups and the labels of workers count, and a name that is not known yet matches nothing."""
    big = resolve({"colocate.dask.org/gpu-workers": "dask.org/workergroup-name in (demo-default,demo-big)"})
    results = [
        classified(each, big)
        for each in (cluster(), group(name="demo-big"), group(name="demo-small"), cluster(name=None))
    ]
    assert results == [True, True, False, False]
    unnamed = resolve({"colocate.dask.org/gpu-workers": "dask.org/workergroup-name!=x"})
    assert not classified(cluster(name=None), unnamed)
    assert classified(cluster(labels={"tier": "gpu"}), resolve({"colocate.dask.org/gpu-workers": "tier=gpu"}))


def classified(item: Unstructured, policy: Policy) -> bool:
    """Whether the worker of an object is a GPU worker."""
    subject = read(item)
    assert subject is not None
    return classify(subject.targets[0], policy).gpu


@pytest.mark.parametrize("where", ["annotations", "labels"])
@pytest.mark.parametrize("key", ["gpu-fraction", "gpu-memory", "runai-gpu-fraction"])
def test_share_of_a_gpu_gets_no_limit(where: str, key: str) -> None:
    """A share that a scheduler gives, requested on the cluster, its workers or a pod, is the pod's GPU."""
    on_workers = cluster()
    on_workers["spec"]["worker"]["metadata"] = {where: {key: "0.5"}}
    share: Any = {where: {key: "0.5"}}
    for item in (on_workers, cluster(**share), group(**share)):
        found = rules(item, REQUESTED)
        assert found["gpu"].reason is Reason.GPU_SHARE_PRESENT
        assert found["command"].reason is Reason.COMMAND_CONVERTED


def test_share_for_another_container_starts_no_dask_cuda() -> None:
    """KAI gives the GPU to the container that the annotation names, else to the first one."""
    named = {"gpu-fraction": "0.5", "gpu-fraction-container-name": "renderer"}
    assert rules(group(annotations=named))["command"].reason is Reason.NO_CUDA_DEVICE
    second = spec({"name": "proxy", "image": "x", "args": ["run"]}, container())
    assert rules(group(second, annotations={"gpu-fraction": "0.5"}))["command"].reason is Reason.NO_CUDA_DEVICE


COMMANDS = {
    "a limit of the plan": (worker(), ALL, Reason.COMMAND_CONVERTED),
    "no limit": (worker(), Policy(enabled=True, gpu_limit=0), Reason.NO_CUDA_DEVICE),
    "a GPU of its own": (worker({"limits": {GPU: 1}}), Policy(enabled=True, gpu_limit=0), Reason.COMMAND_CONVERTED),
    "another vendor's resource": (worker(), Policy(enabled=True, gpu_resource="amd.com/gpu"), Reason.NOT_A_CUDA_DEVICE),
    "a MIG resource": (worker(), Policy(enabled=True, gpu_resource="nvidia.com/mig-1g.5gb"), Reason.MIG_SLICE),
    "a MIG slice": (worker({"limits": {"nvidia.com/mig-3g.40gb": 1}}), ALL, Reason.MIG_SLICE),
    "a MIG slice by its UUID": (
        worker({"limits": {"nvidia.com/mig-1g.5gb": 1}}, env=env(CUDA_VISIBLE_DEVICES="MIG-41b3359c")),
        ALL,
        Reason.MIG_SLICE,
    ),
    "hidden devices": (
        worker({"limits": {GPU: 1}}, env=env(CUDA_VISIBLE_DEVICES="")),
        ALL,
        Reason.NO_CUDA_DEVICE,
    ),
    "devices by the runtime": (
        worker(env=env(NVIDIA_VISIBLE_DEVICES="0,1")),
        Policy(enabled=True, gpu_limit=0),
        Reason.COMMAND_CONVERTED,
    ),
    "a resource that nobody knows": (worker({"limits": {"example.com/widget": 1}}), ALL, Reason.NOT_A_CUDA_DEVICE),
    "the same beside a GPU": (worker({"limits": {"example.com/widget": 1, GPU: 1}}), ALL, Reason.COMMAND_CONVERTED),
    "an image without dask-cuda": (
        worker({"limits": {GPU: 1}}, image="daskdev/dask"),
        ALL,
        Reason.IMAGE_WITHOUT_DASK_CUDA,
    ),
    "a sidecar's GPU": (spec(container(), SIDECAR), ALL, Reason.NO_CUDA_DEVICE),
    "a claim that cannot be told": (
        spec(container(resources={"claims": [{"name": "c"}]}), resourceClaims=[{"name": "c"}]),
        ALL,
        Reason.NOT_A_CUDA_DEVICE,
    ),
}


@pytest.mark.parametrize(("item", "policy", "reason"), COMMANDS.values(), ids=COMMANDS)
def test_command_follows_the_device(item: Unstructured, policy: Policy, reason: Reason) -> None:
    """A command is converted only where dask-cuda starts on what the container has or gets."""
    decision = rules(pod(item), policy)["command"]
    assert decision.reason is reason
    assert (decision.outcome is Outcome.APPLIED) == (reason is Reason.COMMAND_CONVERTED)


@pytest.mark.parametrize(
    "item",
    [
        worker(env=env(NVIDIA_VISIBLE_DEVICES="all")),
        worker({"limits": {GPU: 1}}, env=env(NVIDIA_VISIBLE_DEVICES="all")),
        worker(securityContext={"privileged": True}),
        spec(container("dask-cuda-worker", resources={"limits": {GPU: 1}}, securityContext={"privileged": True})),
    ],
)
def test_container_that_sees_all_devices_gets_a_warning(item: Unstructured) -> None:
    """dask-cuda starts one worker for each visible device, whatever the limit is."""
    assert any("sees all GPUs of its node" in line for line in decided(pod(item)).warnings)


def test_runtime_class_shows_all_devices_only_without_a_limit() -> None:
    """With a limit, also one of the plan's, the device plugin shows as many devices as the limit says."""
    item = spec(container("dask-cuda-worker"), runtimeClassName="nvidia")
    warned = [
        any("sees all GPUs" in line for line in decided(pod(item), policy).warnings)
        for policy in (ALL, Policy(enabled=True, gpu_limit=0))
    ]
    assert warned == [False, True]


def test_warnings_say_what_to_write() -> None:
    """An image that lacks dask-cuda is named, and an unknown resource or claim comes with the way to say otherwise."""
    assert "ghcr.io/dask/dask:latest" in decided(group(CPU_WORKERS["Dask's image"])).warnings[0]
    for item in (COMMANDS["a resource that nobody knows"][0], COMMANDS["a claim that cannot be told"][0]):
        assert f"if it is none, write {GPU} too" in decided(pod(item)).warnings[0]


APPLIED_AGAIN = {
    "converted": spec(container("dask-cuda-worker", resources={"limits": {GPU: "1"}})),
    "converted, with a subcommand": spec(container("dask", "cuda", "worker", resources={"limits": {GPU: "1"}})),
    "without a limit": spec(container("dask-cuda-worker")),
}


@pytest.mark.parametrize("item", APPLIED_AGAIN.values(), ids=APPLIED_AGAIN)
@pytest.mark.parametrize("policy", [ALL, REQUESTED])
def test_worker_that_an_earlier_version_converted_stays_a_gpu_worker(item: Unstructured, policy: Policy) -> None:
    """What an earlier version wrote is evidence: its command and its limit stay."""
    found = rules(cluster(item), policy)
    assert found["command"].reason is Reason.COMMAND_CUDA_ALREADY
    assert found["gpu"].outcome in {Outcome.KEPT, Outcome.APPLIED}


def test_cached_decisions_are_those_of_the_pure_core() -> None:
    """Decided on one after the other, shapes that differ only in what classification looks at share nothing wrong."""
    shapes = [*GPU_WORKERS.values(), *CPU_WORKERS.values(), *NO_EVIDENCE.values(), *APPLIED_AGAIN.values()]
    objects = [make(item) for item in shapes for make in (cluster, group, pod)]
    objects += [cluster(annotations={"gpu-fraction": "1"}), group(labels={"tier": "gpu"}), group(name="demo-big")]
    for text in ("all", "requested", "tier=gpu", "dask.org/workergroup-name=demo-big"):
        annotations = frozenset({"colocate.dask.org/enabled": "true", "colocate.dask.org/gpu-workers": text}.items())
        cache = DecisionCache(Policy(), NOT_WATCHED.hints)
        for item in (*objects, *reversed(objects)):
            asked = parse_document(review(item))
            subject = cache.consider(asked)
            assert isinstance(subject, DaskObject)
            assert cache.answer(asked, subject, annotations).response == decided(item, resolve(dict(annotations)))


SLICE_SIZE, PRODUCT = "cloud.google.com/gke-gpu-partition-size", "nvidia.com/gpu.product"


def required(*terms: list[Unstructured]) -> Unstructured:
    """A required node affinity with these terms, each a list of expressions."""
    selector = {"nodeSelectorTerms": [{"matchExpressions": expressions} for expressions in terms]}
    return {"nodeAffinity": {REQUIRED: selector}}


@pytest.mark.parametrize("field", ["nodeSelector", "affinity"])
@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (SLICE_SIZE, "1g.5gb", Reason.MIG_SLICE),
        (PRODUCT, "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", Reason.MIG_SLICE),
        (PRODUCT, "NVIDIA-A100-SXM4-40GB", Reason.COMMAND_CONVERTED),
    ],
)
def test_nodes_of_slices_keep_the_command(field: str, key: str, value: str, reason: Reason) -> None:
    """Where the pod requires nodes whose GPUs are MIG slices, `nvidia.com/gpu` is a slice too."""
    choices = {
        "nodeSelector": {key: value},
        "affinity": required([{"key": key, "operator": "In", "values": [value]}]),
    }
    assert rules(pod(spec(container(), **{field: choices[field]})))["command"].reason is reason


def test_nodes_of_slices_among_others_convert() -> None:
    """A node affinity that also accepts other nodes, or excludes slices, does not show that the GPU is a slice."""
    slices, others = [{"key": SLICE_SIZE, "operator": "In", "values": ["1g.5gb"]}], [{"key": "a", "operator": "Exists"}]
    without = [{"key": SLICE_SIZE, "operator": "NotIn", "values": ["1g.5gb"]}]
    for affinity in (required(slices, others), required(without)):
        assert rules(pod(spec(container(), affinity=affinity)))["command"].reason is Reason.COMMAND_CONVERTED
