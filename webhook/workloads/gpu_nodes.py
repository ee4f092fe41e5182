"""Node selectors and required node affinities that exclude every node with a GPU.

The labels are those of NVIDIA's GPU feature discovery and device plugin, Node Feature Discovery, GKE, EKS, AKS,
Karpenter and DigitalOcean.
"""

from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    text,
    to_text,
)

_MOST = 512  # terms and expressions; kube-scheduler takes longer for each than this module

# Labels that only nodes with a GPU carry; without one of these a node has no GPU.
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
_NONE = frozenset({"", "0", "false", "no", "none"})
_SOME = frozenset({"true", "yes"})


def excluded(spec: Unstructured) -> tuple[str, str] | None:
    """Return the field and the condition by which a pod spec excludes all nodes with a GPU; None where it does not.

    Raises nothing; conditions beyond a bound are not read.
    """
    for key, value in mapping(spec, "nodeSelector").items():
        if key in _ON_GPU_NODES and isinstance(value, str) and value.lower() in _NONE:
            return "nodeSelector", f"{key}={value}"
    terms = sequence(spec, "affinity", NODE_AFFINITY, REQUIRED, "nodeSelectorTerms")[:_MOST]
    conditions = [_excluding(term) for term in terms]
    # A node needs to match only one of the terms.
    first = conditions[0] if conditions and all(conditions) else None
    return ("nodeAffinity", first) if first else None


def required_affinity(spec: Unstructured) -> Unstructured:
    """Return the affinity of a pod spec with nothing but its required node affinity; empty without one."""
    required = mapping(spec, "affinity", NODE_AFFINITY, REQUIRED)
    return {NODE_AFFINITY: {REQUIRED: required}} if required else {}


def _excluding(term: Unstructured) -> str | None:
    for expression in sequence(term, "matchExpressions")[:_MOST]:
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
