"""Node selectors and required node affinities that exclude all nodes with a GPU, or select nodes with MIG slices.

The labels are those of NVIDIA's GPU feature discovery and device plugin, Node Feature Discovery, GKE, EKS, AKS,
Karpenter and DigitalOcean.
"""

from collections.abc import Sequence

from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    text,
    to_text,
)

_MOST = 512  # terms, and expressions of each; kube-scheduler needs more time for each than this module

# Labels of nodes with a GPU; a node without any of them has no GPU.
_ON_GPU_NODES = frozenset(
    {
        "nvidia.com/gpu",
        "nvidia.com/gpu.present",
        "nvidia.com/gpu.count",
        "nvidia.com/gpu.product",
        "nvidia.com/gpu.family",
        "nvidia.com/gpu.memory",
        "nvidia.com/gpu.deploy.device-plugin",
        "feature.node.kubernetes.io/pci-10de.present",
        "feature.node.kubernetes.io/pci-0300_10de.present",
        "feature.node.kubernetes.io/pci-0302_10de.present",
        "cloud.google.com/gke-accelerator",
        "cloud.google.com/gke-gpu",
        "k8s.amazonaws.com/accelerator",
        "karpenter.k8s.aws/instance-gpu-count",
        "karpenter.k8s.aws/instance-gpu-name",
        "karpenter.k8s.aws/instance-gpu-manufacturer",
        "karpenter.azure.com/sku-gpu-count",
        "karpenter.azure.com/sku-gpu-name",
        "kubernetes.azure.com/accelerator",
        "accelerator",
        "doks.digitalocean.com/gpu-brand",
    }
)
NODE_AFFINITY, REQUIRED = "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"
# Nodes whose `nvidia.com/gpu` is a MIG slice. GKE labels them with the size of a slice ("Running multi-instance GPUs");
# GPU feature discovery names slices in the product where the MIG strategy is `single`: A100-SXM4-40GB-MIG-1g.5gb.
_SLICE_SIZE, _PRODUCT = "cloud.google.com/gke-gpu-partition-size", "nvidia.com/gpu.product"
_NONE = frozenset({"", "0", "false", "no", "none"})
_SOME = frozenset({"true", "yes"})


def excluded(spec: Unstructured) -> tuple[str, str] | None:
    """Return the field and the condition by which a pod spec excludes all nodes with a GPU; else None.

    Conditions beyond a limit are not read.
    """
    for key, value in mapping(spec, "nodeSelector").items():
        if key in _ON_GPU_NODES and isinstance(value, str) and value.lower() in _NONE:
            return "nodeSelector", f"{key}={value}"
    conditions = [_excluding(term) for term in _terms(spec)]
    # A node needs to match only one of the terms.
    first = conditions[0] if conditions and all(conditions) else None
    return ("nodeAffinity", first) if first else None


def selects_slices(spec: Unstructured) -> bool:
    """Return whether a pod spec requires a node whose GPUs are MIG slices."""
    if any(_is_slice(key, (value,)) for key, value in mapping(spec, "nodeSelector").items()):
        return True
    terms = _terms(spec)
    return bool(terms) and all(any(map(_selects_slices, _expressions(term))) for term in terms)


def _selects_slices(expression: Unstructured) -> bool:
    values = sequence(expression, "values")[:_MOST]
    return text(expression, "operator") == "In" and _is_slice(text(expression, "key"), values)


def _is_slice(key: str | None, values: Sequence[Unstructured]) -> bool:
    if key == _PRODUCT:
        return bool(values) and all("-MIG-" in to_text(value) for value in values)
    return key == _SLICE_SIZE and bool(values)


def _terms(spec: Unstructured) -> Sequence[Unstructured]:
    return sequence(spec, "affinity", NODE_AFFINITY, REQUIRED, "nodeSelectorTerms")[:_MOST]


def _expressions(term: Unstructured) -> Sequence[Unstructured]:
    return sequence(term, "matchExpressions")[:_MOST]


def required_affinity(spec: Unstructured) -> Unstructured:
    """Return the affinity of a pod spec with nothing but its required node affinity; empty without one."""
    required = mapping(spec, "affinity", NODE_AFFINITY, REQUIRED)
    return {NODE_AFFINITY: {REQUIRED: required}} if required else {}


def _excluding(term: Unstructured) -> str | None:
    for expression in _expressions(term):
        key, operator = text(expression, "key"), text(expression, "operator") or ""
        values = [to_text(value).lower() for value in sequence(expression, "values")[:_MOST]]
        if key in _ON_GPU_NODES and _rules_out(operator, values):
            return " ".join((key, operator, *values))
    return None


def _rules_out(operator: str, values: list[str]) -> bool:
    match operator:
        case "DoesNotExist":
            return True
        case "In":
            return bool(values) and set(values) <= _NONE
        case "NotIn":
            return not set(values).isdisjoint(_SOME)
        case "Lt":
            return values == ["1"]
        case _:
            return False
