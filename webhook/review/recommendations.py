"""Recommendations for decisions, shown by `review --explain`."""

from collections.abc import Mapping

from webhook.mutators.decision import Reason

# Nodes used relative to the minimum, on a real kube-scheduler with four clusters at once and 8-GPU nodes 80 % full:
# tests/bench/results/placement.json.
GUIDE_TERM_NODES = "2.23-3.90"
OWN_CLUSTER_NODES = "1.05-1.09"

_GUIDE = (
    "The guide's term attracts a worker to any Dask worker of the namespace, so the workers of several clusters mix "
    f"and spread: measured, {GUIDE_TERM_NODES} times the minimum number of nodes, and {OWN_CLUSTER_NODES} times with "
    "terms that select the worker's own cluster."
)
_UPGRADE = (
    "The annotation colocate.dask.org/guide-affinity: upgrade on the namespace replaces exactly that term "
    "(with affinity-scope: cluster, the default)."
)

_RECOMMENDATIONS: Mapping[Reason, tuple[str, ...]] = {Reason.GUIDE_AFFINITY_PRESENT: (_GUIDE, _UPGRADE)}


def recommendations(reason: Reason) -> tuple[str, ...]:
    """Return the recommendations for a reason; most reasons have none."""
    return _RECOMMENDATIONS.get(reason, ())
