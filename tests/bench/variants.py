"""Variants of the default that its terms were chosen from; `--strategy NAME` replays them.

A variant writes the terms of the Dask scheduler into the user's pod templates. The webhook adds the terms between
workers, in which the variants do not differ.
"""

from __future__ import annotations

from tests.bench.strategies import CLUSTER_NAME, COMPONENT, HOSTNAME, Added, Strategy
from tests.e2e.bed.api import Object
from webhook.mutators.selector import PREFERRED
from webhook.policy.defaults import parse_assignments


def _is(key: str, value: str) -> Object:
    return {"key": key, "operator": "In", "values": [value]}


def _term(weight: int, *expressions: Object, **fields: Object) -> Object:
    selector = {"matchExpressions": list(expressions)}
    return {"weight": weight, "podAffinityTerm": {"labelSelector": selector, "topologyKey": HOSTNAME, **fields}}


SHARE = _term(100, _is(COMPONENT, "scheduler"), namespaceSelector={})


def avoiding(weight: int, *shared: Object) -> Added:
    """Return a scheduler's preferred anti-affinity to its own workers, and its affinities to other schedulers."""

    def added(cluster: str) -> Object:
        own = _term(weight, _is(COMPONENT, "worker"), _is(CLUSTER_NAME, cluster))
        return {"affinity": {"podAntiAffinity": {PREFERRED: [own]}, "podAffinity": {PREFERRED: list(shared)}}}

    return added


def avoided(cluster: str) -> Object:
    """Return a worker's preferred anti-affinity to its own scheduler."""
    own = _term(1, _is(COMPONENT, "scheduler"), _is(CLUSTER_NAME, cluster))
    return {"affinity": {"podAntiAffinity": {PREFERRED: [own]}}}


def sharing(term: Object) -> Added:
    """Return a scheduler's preferred affinity to other schedulers."""
    return lambda _: {"affinity": {"podAffinity": {PREFERRED: [term]}}}


# `keep` leaves the scheduler out of the webhook's own terms.
KEEP = parse_assignments("enabled=true; scheduler-placement=keep")
OWN_NAMESPACE = _term(100, _is(COMPONENT, "scheduler"))
VARIANTS = (
    Strategy(
        name="host",
        title="own cluster, host only",
        annotations={**KEEP, **parse_assignments("topology=kubernetes.io/hostname; emptier-first=false")},
    ),
    Strategy(name="keep", title="scheduler-placement: keep", annotations=KEEP),
    Strategy(name="avoid-1", title="scheduler avoids its workers", annotations=KEEP, scheduler=avoiding(1)),
    Strategy(name="share", title="schedulers share nodes", annotations=KEEP, scheduler=sharing(SHARE)),
    Strategy(
        name="share-own",
        title="schedulers of one namespace share nodes",
        annotations=KEEP,
        scheduler=sharing(OWN_NAMESPACE),
    ),
    Strategy(name="both-1", title="both, weight 1", annotations=KEEP, scheduler=avoiding(1, SHARE)),
    Strategy(name="both-10", title="both, weight 10", annotations=KEEP, scheduler=avoiding(10, SHARE)),
    Strategy(
        name="both-workers",
        title="both, as a term of the workers",
        annotations=KEEP,
        worker=avoided,
        scheduler=sharing(SHARE),
    ),
)
