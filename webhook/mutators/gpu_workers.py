"""Classification of a pod template's workers as GPU workers or CPU workers, by the whole pod and before the rules.

| evidence | result |
|---|---|
| a container requests an accelerator, by resources or a resource claim; the pod by an annotation or label | GPU |
| the command starts dask-cuda already | GPU |
| an explicit zero; environment variables that show no device; a node selector that excludes GPU nodes | CPU |
| an image known to lack dask-cuda, with nothing that adds it | CPU, with a warning |
| none | as the namespace's `gpu-workers` says |

Rules leave a CPU worker unmodified.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from webhook.policy import GpuWorkers, LabelSelector, Policy
from webhook.workloads import accelerators, argv, gpu_nodes, images, quantities
from webhook.workloads.accelerators import Device
from webhook.workloads.argv import Program
from webhook.workloads.pod_templates import CLUSTER_NAME, WORKER_GROUP_NAME, PodTemplate
from webhook.workloads.unstructured import (
    TooLargeError,
    Unstructured,
    mapping,
    sequence,
    text,
    to_text,
)

# The operator's names. An object with `generateName` gets its name after admission; its pods have it.
_NAMES = frozenset({CLUSTER_NAME, WORKER_GROUP_NAME})
NVIDIA_VARIABLE, _CUDA = "NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"
# NVIDIA container toolkit, "Environment variables": `none`, `void` and an empty value make no GPU visible. CUDA C++
# programming guide: an invalid index hides its device and all devices that follow.
_SHOWS_NONE = {NVIDIA_VARIABLE: frozenset({"", "none", "void"}), _CUDA: frozenset({"", "-1", "none", "nodevfiles"})}


# Resources and claims of all containers; a pod has fewer than ten. Each claim is compared with all claims of the pod.
_MAX_POD_REQUESTS = 512


class Kind(StrEnum):
    """Field of a pod template that is evidence."""

    RESOURCE = "resource"
    CLAIM = "resource-claim"
    ANNOTATION = "annotation"
    LABEL = "label"
    COMMAND = "command"
    VARIABLE = "environment-variable"
    NODES = "node-selection"
    IMAGE = "image"
    POLICY = "gpu-workers"


class Evidence(NamedTuple):
    """One reason to classify a worker as a GPU worker or a CPU worker.

    Attributes:
        kind: Kind of the field.
        container: Name of the container; empty for the pod.
        field: Name of the resource, claim, annotation, label or variable.
        value: Its value.
        device: The kind of accelerator that is requested; None where none is.
        own: True if the Dask container gets that accelerator.
    """

    kind: Kind
    container: str
    field: str
    value: str
    device: Device | None = None
    own: bool = False

    def __str__(self) -> str:
        """Return the evidence as a clause."""
        subject = f"container {self.container}" if self.container else "pod"
        match self.kind:
            case Kind.RESOURCE:
                return f"{subject} requests {self.field}={self.value}"
            case Kind.CLAIM:
                return f"{subject} uses resource claim {self.field}"
            case Kind.COMMAND:
                return f"{subject} starts {self.value}"
            case Kind.IMAGE:
                return f"image {self.value} has no dask-cuda"
            case Kind.POLICY:
                return f"gpu-workers is {self.value}" if not self.field else f"{self.field} gpu-workers {self.value}"
            case _:
                return f"{subject} has {self.kind} {self.field}={self.value}"


class Classification(NamedTuple):
    """Result of the classification, cached for all pod templates that share it.

    Attributes:
        gpu: True for GPU workers.
        evidence: The reasons, at least one.
        zero: True if the Dask container requests zero accelerators.
        sentence: The result and its evidence as one line for people.
    """

    gpu: bool
    evidence: tuple[Evidence, ...]
    zero: bool
    sentence: str

    @property
    def kind(self) -> str:
        """The result as a code."""
        return "gpu-worker" if self.gpu else "cpu-worker"

    def __str__(self) -> str:
        """Return the result and the evidence as one sentence."""
        return self.sentence

    @property
    def requests(self) -> tuple[Evidence, ...]:
        """The accelerators that the pod requests."""
        return tuple(each for each in self.evidence if each.device is not None)

    @property
    def elsewhere(self) -> Evidence | None:
        """The first request that is not in the Dask container's own resources and claims."""
        inside = {Kind.RESOURCE, Kind.CLAIM}
        return next((each for each in self.requests if not (each.own and each.kind in inside)), None)


_MOST_SHOWN = 3  # clauses of a sentence


def classify(template: PodTemplate, policy: Policy) -> Classification:
    """Classify a worker's pod template.

    Raises:
        TooLargeError: A container has more resources than a container uses.
    """
    stated = tuple(requests(template, policy))
    zeros = tuple(each for each in stated if each.device is None)
    wanted = tuple(each for each in stated if each.device is not None)
    zero = bool(zeros)
    if wanted:
        return _classification(wanted, gpu=True, zero=zero)
    if started := _dask_cuda(template):
        return _classification((started,), gpu=True, zero=zero)
    for against in chain(zeros, hidden(template), _excluded(template), _lacking(template)):
        return _classification((against,), gpu=False, zero=zero)
    return _by_policy(template, policy)


def _classification(evidence: tuple[Evidence, ...], *, gpu: bool, zero: bool = False) -> Classification:
    text = f"{'GPU' if gpu else 'CPU'} worker: {', '.join(map(str, evidence[:_MOST_SHOWN]))}"
    sentence = text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)
    return Classification(gpu, evidence, zero, sentence)


# ---- requests for accelerators --------------------------------------------------------------------


def requests(template: PodTemplate, policy: Policy) -> Iterator[Evidence]:
    """Yield the pod's requests for accelerators. The Dask container's, or the pod's, explicit zero has no device.

    Raises:
        TooLargeError: The pod has more resources and claims than anyone writes.
    """
    spec, own = template.spec, template.container.index if template.container else None
    containers = sequence(spec, "containers")
    own_container = containers[own] if own is not None else None
    requesting = [each for each in (*containers, *sequence(spec, "initContainers")) if mapping(each, "resources")]
    if sum(map(_request_count, requesting)) > _MAX_POD_REQUESTS:
        raise TooLargeError("resources and claims in a pod", _MAX_POD_REQUESTS)
    for container in requesting:
        yield from _in_container(container, spec, policy, own=container is own_container)
    if "resources" in spec:
        yield from _in_resources(spec, "", own=False, policy=policy)
    for kind, values in ((Kind.ANNOTATION, template.annotations), (Kind.LABEL, template.labels)):
        if found := accelerators.share(values):
            yield _of_share(kind, found, template)


def _request_count(container: Unstructured) -> int:
    resources = mapping(container, "resources")
    return sum(len(mapping(resources, field)) for field in ("requests", "limits")) + len(sequence(resources, "claims"))


def _in_container(container: Unstructured, spec: Unstructured, policy: Policy, *, own: bool) -> Iterator[Evidence]:
    name = _name(container)
    yield from _in_resources(container, name, own=own, policy=policy)
    for claim in accelerators.claims(container, spec):
        if claim.device is not None:
            yield Evidence(Kind.CLAIM, name, claim.name, "", claim.device, own)


def _in_resources(holder: Unstructured, name: str, *, own: bool, policy: Policy) -> Iterator[Evidence]:
    for resource, quantity in accelerators.asked(holder, policy.gpu_resource).items():
        zero = quantities.is_zero(quantity)
        if own or not zero:
            device = None if zero else accelerators.device(resource, policy.gpu_resource)
            yield Evidence(Kind.RESOURCE, name, resource, to_text(quantity), device, own)


def _of_share(kind: Kind, share: accelerators.Share, template: PodTemplate) -> Evidence:
    zero = quantities.is_zero(share.value)
    container = template.container
    own = container is not None and (
        share.container == _name(container.raw) if share.container else container.index == 0
    )
    return Evidence(kind, "", share.key, to_text(share.value), None if zero else Device.CUDA, own)


# ---- evidence without a request ---------------------------------------------------------------------


def _dask_cuda(template: PodTemplate) -> Evidence | None:
    start = argv.find_worker(template.container.raw) if template.container else None
    if template.container is None or start is None or start.command_form.program is not Program.DASK_CUDA:
        return None
    return Evidence(Kind.COMMAND, _name(template.container.raw), "", "dask-cuda")


def hidden(template: PodTemplate) -> Iterator[Evidence]:
    """Yield the Dask container's environment variables that make no device visible."""
    for name, value in variables(template).items():
        if value is not None and value.partition(",")[0].strip().lower() in _SHOWS_NONE[name]:
            container = template.container and _name(template.container.raw)
            yield Evidence(Kind.VARIABLE, container or "", name, to_text(value))


def _excluded(template: PodTemplate) -> Iterator[Evidence]:
    if found := gpu_nodes.excluded(template.spec):
        yield Evidence(Kind.NODES, "", *found)


def _lacking(template: PodTemplate) -> Iterator[Evidence]:
    if image := lacks_dask_cuda(template):
        yield Evidence(Kind.IMAGE, "", "image", image)


def lacks_dask_cuda(template: PodTemplate) -> str | None:
    """Return the Dask container's image, truncated, if the image is known to lack dask-cuda; else None."""
    if template.container is None:
        return None
    image = images.lacks_dask_cuda(template.container.raw, sequence(template.spec, "initContainers"))
    return to_text(image) if image else None


def _by_policy(template: PodTemplate, policy: Policy) -> Classification:
    chosen = policy.gpu_workers
    if not isinstance(chosen, LabelSelector):
        return _classification((Evidence(Kind.POLICY, "", "", chosen.value),), gpu=chosen is GpuWorkers.ALL)
    named = template.cluster is not None or not chosen.uses_any(_NAMES)
    matched = named and chosen.matches(template.labels)
    verb = "labels match" if matched else "labels do not match" if named else "names are not known yet to match"
    return _classification((Evidence(Kind.POLICY, "", verb, to_text(chosen)),), gpu=matched)


def variables(template: PodTemplate) -> Mapping[str, str | None]:
    """Return the Dask container's variables that choose visible devices; None for a value from `valueFrom`.

    The API server omits an empty value, so a variable without a value is empty.
    """
    env = sequence(template.container.raw, "env") if template.container else ()
    return {
        name: None if mapping(each).get("valueFrom") is not None else text(each, "value") or ""
        for each in env
        if (name := text(each, "name")) in _SHOWS_NONE and name is not None
    }


def _name(container: Unstructured) -> str:
    return to_text(mapping(container).get("name", ""))
