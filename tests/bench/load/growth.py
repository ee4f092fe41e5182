"""What an admission costs against what grows: containers, namespaces, replicas. The core alone, as in (a)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from tests.bench.load import bodies, core

if TYPE_CHECKING:
    from tests.bench.load.bodies import Document
    from tests.bench.load.core import Alone

CONTAINERS, NAMESPACES, REPLICAS = (1, 10, 100), (1, 1_000, 10_000), (1, 1_000, 100_000)


def measured(rounds: int = core.ROUNDS) -> list[Alone]:
    """A row for each."""
    reviews = {f"worker pod, {count} containers": bodies.with_containers(count) for count in CONTAINERS}
    reviews |= {f"DaskCluster, {count:,} replicas": _with_replicas(count) for count in REPLICAS}
    places = {name: core.Place() for name in reviews}
    for count in NAMESPACES:
        name = f"worker pod, among {count:,} namespaces"
        reviews[name], places[name] = bodies.recorded(bodies.WORKER), core.Place(among=count)
    return core.timed({name: (one, places[name]) for name, one in reviews.items()}, rounds)


def _with_replicas(count: int) -> Document:
    document = copy.deepcopy(bodies.recorded("DaskCluster"))
    document["request"]["object"]["spec"]["worker"]["replicas"] = count
    return document
