"""Which workers are GPU workers, decided once for each pod template, before the rules and from the whole pod.

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
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain

from webhook.policy import GpuWorkers, LabelSelector, Policy
from webhook.workloads import accelerators, argv, gpu_nodes, images, quantities
from webhook.workloads.accelerators import Device
from webhook.workloads.argv import Program
from webhook.workloads.pod_templates import CLUSTER_NAME, WORKER_GROUP_NAME, PodTemplate
from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    text,
    to_text,
)

# The operator's names, unknown at the admission of an object with `generateName`; its pods carry them.
_NAMES = frozenset({CLUSTER_NAME, WORKER_GROUP_NAME})
NVIDIA_VARIABLE, _CUDA = "NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"
# NVIDIA container toolkit, "Environment variables": `none` shows no GPU, `void` and an empty value are as without the
# toolkit. CUDA C++ programming guide: an invalid index hides itself and all that follow.
_SHOWS_NONE = {NVIDIA_VARIABLE: frozenset({"", "none", "void"}), _CUDA: frozenset({"", "-1", "none", "nodevfiles"})}


class Kind(StrEnum):
    """Where a piece of evidence stands."""

    RESOURCE = "resource"
    CLAIM = "resource-claim"
    ANNOTATION = "annotation"
    LABEL = "label"
    COMMAND = "command"
    VARIABLE = "environment-variable"
    NODES = "node-selection"
    IMAGE = "image"
    POLICY = "gpu-workers"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason to take a worker for a GPU worker or a CPU worker.

    Attributes:
        kind: Where it stands.
        container: The container's name; empty for the pod.
        field: The resource, claim, annotation, label or variable.
        value: What stands there.
        device: The accelerator that is requested; None where none is.
        own: Whether the Dask container gets that accelerator.
    """

    kind: Kind
    container: str
    field: str
    value: str
    device: Device | None = None
    own: bool = False

    def __str__(self) -> str:
        """Return the evidence as a clause: who, what."""
        who = f"container {self.container}" if self.container else "pod"
        match self.kind:
            case Kind.RESOURCE:
                return f"{who} requests {self.field}={self.value}"
            case Kind.CLAIM:
                return f"{who} uses resource claim {self.field}"
            case Kind.COMMAND:
                return f"{who} starts {self.value}"
            case Kind.IMAGE:
                return f"image {self.value} has no dask-cuda"
            case Kind.POLICY:
                return f"gpu-workers is {self.value}" if not self.field else f"{self.field} gpu-workers {self.value}"
            case _:
                return f"{who} has {self.kind} {self.field}={self.value}"


@dataclass(frozen=True, slots=True)
class Classification:
    """What a pod template's workers are.

    Attributes:
        gpu: Whether they are GPU workers.
        evidence: Why, at least one.
        zero: Whether the Dask container requests zero accelerators.
        sentence: The result and the evidence for people, made once for all that share a classification.
    """

    gpu: bool
    evidence: tuple[Evidence, ...]
    zero: bool = False
    sentence: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Write the sentence."""
        clauses = ", ".join(map(str, self.evidence[:_MOST_SHOWN]))
        text = f"{'GPU' if self.gpu else 'CPU'} worker: {clauses}"
        object.__setattr__(self, "sentence", "".join(each if each.isprintable() else "?" for each in text))

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


_MOST_SHOWN = 3


def classify(target: PodTemplate, policy: Policy) -> Classification:
    """Classify a worker's pod template.

    Raises:
        CrowdedError: A container has more resources than anyone requests.
    """
    stated = tuple(requests(target, policy))
    zeros = tuple(each for each in stated if each.device is None)
    wanted = tuple(each for each in stated if each.device is not None)
    if wanted:
        return Classification(gpu=True, evidence=wanted, zero=bool(zeros))
    if started := _dask_cuda(target):
        return Classification(gpu=True, evidence=(started,), zero=bool(zeros))
    against = (*zeros[:1], *chain(hidden(target), _excluded(target), _lacking(target)))
    if against:
        return Classification(gpu=False, evidence=against[:1], zero=bool(zeros))
    return _by_policy(target, policy)


# ---- requests for accelerators --------------------------------------------------------------------


def requests(target: PodTemplate, policy: Policy) -> Iterator[Evidence]:
    """Yield what the pod says of accelerators; an explicit zero of its Dask container, or of the pod, has no device."""
    own = target.container.index if target.container else None
    for index, container in enumerate(sequence(target.spec, "containers")):
        yield from _in_container(container, target.spec, policy, own=index == own)
    for container in sequence(target.spec, "initContainers"):
        yield from _in_container(container, target.spec, policy, own=False)
    yield from _in_resources(target.spec, "", own=False, policy=policy)
    for kind, values in ((Kind.ANNOTATION, target.annotations), (Kind.LABEL, target.labels)):
        if found := accelerators.share(values):
            yield _of_share(kind, found, target)


def _in_container(container: Unstructured, spec: Unstructured, policy: Policy, *, own: bool) -> Iterator[Evidence]:
    if "resources" not in mapping(container):
        return
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


def _of_share(kind: Kind, share: accelerators.Share, target: PodTemplate) -> Evidence:
    zero = quantities.is_zero(share.value)
    container = target.container
    own = container is not None and (
        share.container == _name(container.raw) if share.container else container.index == 0
    )
    return Evidence(kind, "", share.key, to_text(share.value), None if zero else Device.CUDA, own)


# ---- evidence without a request ---------------------------------------------------------------------


def _dask_cuda(target: PodTemplate) -> Evidence | None:
    start = argv.find_worker(target.container.raw) if target.container else None
    if target.container is None or start is None or start.command_form.program is not Program.DASK_CUDA:
        return None
    return Evidence(Kind.COMMAND, _name(target.container.raw), "", "dask-cuda")


def hidden(target: PodTemplate) -> Iterator[Evidence]:
    """Yield the Dask container's variables that show it no device."""
    for name, value in variables(target).items():
        if value is not None and value.partition(",")[0].strip().lower() in _SHOWS_NONE[name]:
            container = target.container and _name(target.container.raw)
            yield Evidence(Kind.VARIABLE, container or "", name, to_text(value))


def _excluded(target: PodTemplate) -> Iterator[Evidence]:
    if found := gpu_nodes.excluded(target.spec):
        yield Evidence(Kind.NODES, "", *found)


def _lacking(target: PodTemplate) -> Iterator[Evidence]:
    if image := lacks_dask_cuda(target):
        yield Evidence(Kind.IMAGE, "", "image", image)


def lacks_dask_cuda(target: PodTemplate) -> str | None:
    """Return the Dask container's image, shortened, if it is known to lack dask-cuda; else None."""
    if target.container is None:
        return None
    image = images.lacks_dask_cuda(target.container.raw, sequence(target.spec, "initContainers"))
    return to_text(image) if image else None


def _by_policy(target: PodTemplate, policy: Policy) -> Classification:
    chosen = policy.gpu_workers
    if not isinstance(chosen, LabelSelector):
        return Classification(chosen is GpuWorkers.ALL, (Evidence(Kind.POLICY, "", "", chosen.value),))
    named = target.cluster is not None or not chosen.uses_any(_NAMES)
    matched = named and chosen.matches(target.labels)
    verb = "labels match" if matched else "labels do not match" if named else "names are not known yet to match"
    return Classification(matched, (Evidence(Kind.POLICY, "", verb, to_text(chosen)),))


def variables(target: PodTemplate) -> Mapping[str, str | None]:
    """Return the Dask container's variables that choose visible devices; None for a value from elsewhere.

    An API server drops the empty value of a variable, so a variable without one is empty.
    """
    env = sequence(target.container.raw, "env") if target.container else ()
    return {
        name: None if mapping(each).get("valueFrom") is not None else text(each, "value") or ""
        for each in env
        if (name := text(each, "name")) in _SHOWS_NONE and name is not None
    }


def _name(container: Unstructured) -> str:
    return to_text(mapping(container).get("name", ""))
