"""Strategies: fields of the pods of a replay that the user or the webhook adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.e2e.bed.api import Object
from webhook.mutators.selector import PREFERRED
from webhook.mutators.terms import GUIDE_TERM
from webhook.policy.defaults import parse_assignments

ENABLED = "colocate.dask.org/enabled"
HOSTNAME = "kubernetes.io/hostname"
COMPONENT, CLUSTER_NAME = "dask.org/component", "dask.org/cluster-name"

Added = Callable[[str], Object]
"""Fields that a user writes into a pod spec, by the name of the cluster."""


def nothing(_: str) -> Object:
    """Return no field."""
    return {}


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """One way to place workers.

    Attributes:
        name: Key in the record.
        title: Column title in tables.
        annotations: Annotations of the namespaces; without them the webhook changes nothing.
        worker: Fields that the user adds to the worker pod template.
        scheduler: Fields that the user adds to the scheduler pod template.
        repeats: Number of replays of each seed.
    """

    name: str
    title: str
    annotations: Mapping[str, str] = field(default_factory=dict)
    worker: Added = nothing
    scheduler: Added = nothing
    repeats: int = 2

    @property
    def hinted(self) -> bool:
        """Return whether the webhook plans nodes for each cluster."""
        return self.annotations.get("colocate.dask.org/capacity-hint") == "true"


def guide(_: str) -> Object:
    """Return the RAPIDS guide's affinity to all Dask workers of the namespace."""
    return {"affinity": {"podAffinity": {PREFERRED: [GUIDE_TERM]}}}


STRATEGIES = (
    # The two references differ so much from the other strategies that the spread of one replay does not matter.
    Strategy(name="none", title="nothing", repeats=1),
    Strategy(name="guide", title="the guide's affinity", worker=guide, repeats=1),
    Strategy(name="default", title="dask-colocate's default", annotations={ENABLED: "true"}),
    Strategy(
        name="hints",
        title="with capacity hints",
        annotations=parse_assignments("enabled=true; capacity-hint=true"),
    ),
)

SPELLING = "NAME: KEY=VALUE; KEY=VALUE"


def annotated(text: str) -> Strategy:
    """Parse a strategy from `SPELLING`: annotations of a namespace without their prefix."""
    name, _, values = text.partition(":")
    return Strategy(name=name.strip(), title=name.strip(), annotations={ENABLED: "true", **parse_assignments(values)})
