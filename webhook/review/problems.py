"""Problems of Dask objects for which the webhook has no pod template to change."""

from collections.abc import Mapping
from difflib import get_close_matches

from webhook.workloads.pod_templates import GROUP
from webhook.workloads.unstructured import Unstructured, mapping, text

# Kinds of the CRDs of dask-kubernetes 2023.7 - 2026.3, with the path of their worker pod template.
_WORKER_SPECS: Mapping[str, tuple[str, ...] | None] = {
    "DaskCluster": ("spec", "worker", "spec"),
    "DaskWorkerGroup": ("spec", "worker", "spec"),
    "DaskJob": ("spec", "cluster", "spec", "worker", "spec"),
    "DaskAutoscaler": None,
}


def object_problems(item: Unstructured) -> tuple[str, ...]:
    """Return one sentence for an unknown kind or a missing worker spec of a Dask object; empty for other objects."""
    group, _, _ = (text(item, "apiVersion") or "").partition("/")
    if group != GROUP:
        return ()
    kind = text(item, "kind") or ""
    if kind not in _WORKER_SPECS:
        return (_unknown_kind(kind),)
    path = _WORKER_SPECS[kind]
    if path and not mapping(item, *path):
        return (f"{kind} without {'.'.join(path)}: the manifest has no pod template of workers to change",)
    return ()


def _unknown_kind(kind: str) -> str:
    close = get_close_matches(kind, _WORKER_SPECS, n=1)
    advice = f"did you mean {close[0]}?" if close else f"expected {', '.join(_WORKER_SPECS)}"
    return f"unknown kind {kind} in {GROUP}: {advice}"
