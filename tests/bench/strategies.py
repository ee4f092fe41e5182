"""What the workers of a replay carry: nothing, the guide's affinity, or what the webhook gives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webhook.mutators.selector import PREFERRED
from webhook.mutators.terms import GUIDE_TERM
from webhook.policy.defaults import parse_assignments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.e2e.bed.api import Object

ENABLED = "colocate.dask.org/enabled"
CAPACITY_HINT = "colocate.dask.org/capacity-hint"


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """One way to place workers.

    Attributes:
        name: Short, for the JSON.
        title: For the table and the plot.
        annotations: What the namespaces say; nothing of ours leaves the pods as they are written.
        affinity: What a user writes into each worker.
    """

    name: str
    title: str
    annotations: Mapping[str, str] = field(default_factory=dict)
    affinity: Mapping[str, Object] = field(default_factory=dict)

    @property
    def hinted(self) -> bool:
        """Whether hosts are named: then a cluster's worker group is made first, and its template is the pods'."""
        return self.annotations.get(CAPACITY_HINT) == "true"


GUIDE: Mapping[str, Object] = {"podAffinity": {PREFERRED: [GUIDE_TERM]}}
STRATEGIES = (
    Strategy(name="none", title="nothing"),
    Strategy(name="guide", title="the guide's affinity", affinity=GUIDE),
    Strategy(
        name="host",
        title="own cluster, host only",
        annotations=parse_assignments("enabled=true; topology=kubernetes.io/hostname; emptier-first=false"),
    ),
    Strategy(name="default", title="dask-colocate's default", annotations={ENABLED: "true"}),
    Strategy(name="hints", title="with capacity hints", annotations={ENABLED: "true", CAPACITY_HINT: "true"}),
)


SPELLING = "NAME: KEY=VALUE; KEY=VALUE"


def written(text: str) -> Strategy:
    """A strategy spelled as `SPELLING`, the annotations of a namespace without their prefix."""
    name, _, values = text.partition(":")
    return Strategy(name=name.strip(), title=name.strip(), annotations={ENABLED: "true", **parse_assignments(values)})
