"""What a decision leads one to do next, for `review --explain`.

The measured figures that users read there stand here only.
"""

from collections.abc import Mapping

from webhook.mutators.decision import Reason

# Nodes used over the fewest possible on a real kube-scheduler, 8-GPU nodes 80 % full and four clusters at once:
# tests/bench/results/placement.json.
GUIDE_TERM_NODES = "2.3-4.6"
OWN_CLUSTER_NODES = "1.0-1.2"

_GUIDE = (
    "The guide's term draws a worker to any Dask worker of the namespace, so clusters draw each other apart and are "
    f"split: measured, they stand on {GUIDE_TERM_NODES} times the fewest nodes, with terms that name their own "
    f"cluster on {OWN_CLUSTER_NODES} times."
)
_UPGRADE = (
    "colocate.dask.org/guide-affinity: upgrade on the namespace replaces exactly that term and nothing else "
    "(with affinity-scope: cluster, the default)."
)

_ADVICE: Mapping[Reason, tuple[str, ...]] = {Reason.GUIDE_AFFINITY_PRESENT: (_GUIDE, _UPGRADE)}


def advice(reason: Reason) -> tuple[str, ...]:
    """What there is to gain where a rule gives this reason, and how; most reasons need none."""
    return _ADVICE.get(reason, ())
