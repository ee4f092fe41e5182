"""An hour of the largest cluster that Kubernetes promises to serve well, all of it Dask's, to be done in less.

SIG Scalability calls a cluster steady that is changed at most 20 times a second, by pods that are created, updated
and deleted and by requests of users (kubernetes/community, sig-scalability/slos/slos.md), and counts on at most 10,000
namespaces (configs-and-limits/thresholds.md there). An hour has 72,000 such changes. They are here:

    64,000  workers: 2,000 clusters of 16, each worker created and deleted
     2,000  DaskClusters created
     2,000  namespaces: 1,000 made for a job, and deleted when 100 others have been made, which is 6 minutes later
     3,000  changes of namespaces' labels and annotations by others, such as GitOps and quotas
     1,000  changes of our annotations

Of these the webhook is asked 36,000 times: about each worker, each DaskCluster, and the DaskWorkerGroup that the
operator makes of it. A job's namespace is asked about once more, the moment it is there. A namespace in ten is enabled;
half of the clusters are in those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from tests.bench.load import bodies
from webhook.policy import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.bench.load.bodies import Document

QUARTERS = 4
WORKERS = 16  # of each cluster
JOBS = 100  # namespaces of jobs at any time
ENABLED_ONE_IN = 10
LIMITS = 8  # of our annotation's values: a cluster has a handful of policies
_KINDS = ("DaskCluster", "DaskWorkerGroup", *([bodies.WORKER] * WORKERS))


class Do(StrEnum):
    """What is done to a namespace."""

    MAKE = "make"
    END = "end"
    CHANGE = "change"


@dataclass(frozen=True, kw_only=True)
class Write:
    """One thing that is done to a namespace.

    Attributes:
        at: When, as a share of the quarter.
        do: What.
        name: The namespace's.
        metadata: What is given to it, or changed.
    """

    at: float
    do: Do
    name: str
    metadata: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Hour:
    """How much there is of everything; see above.

    Attributes:
        seconds: That it takes.
        clusters: That are asked about.
        jobs: Namespaces that are made, and as many that are deleted.
        ours: Changes of our annotations.
        others: Changes of labels and annotations that are not ours.
    """

    seconds: float = 96.0
    clusters: int = 2_000
    jobs: int = 1_000
    ours: int = 1_000
    others: int = 3_000

    @property
    def reviews(self) -> int:
        """In all, without those of jobs' namespaces."""
        return self.clusters * len(_KINDS)


QUICK = Hour(seconds=16.0, clusters=80, jobs=40, ours=40, others=120)


@dataclass(frozen=True, kw_only=True)
class Town:
    """The namespaces that stay.

    Attributes:
        enabled: Names of those that are enabled.
        others: Names of the rest.
    """

    enabled: Sequence[str]
    others: Sequence[str]


def town(count: int) -> Town:
    """That of a cluster with `count` namespaces, those of jobs included."""
    names = [f"team-{number:05}" for number in range(count - JOBS)]
    return Town(
        enabled=names[::ENABLED_ONE_IN],
        others=[name for number, name in enumerate(names) if number % ENABLED_ONE_IN],
    )


def begun(town: Town) -> Iterator[Write]:
    """What there is before the hour: the namespaces that stay, and those of the first jobs."""
    for name in (*town.enabled, *map(_job, range(JOBS))):
        yield Write(at=0, do=Do.MAKE, name=name, metadata={"annotations": bodies.ENABLED})
    for name in town.others:
        yield Write(at=0, do=Do.MAKE, name=name)


def writes(hour: Hour, town: Town, quarter: int) -> list[Write]:
    """What is done to namespaces in a quarter of the hour, each kind evenly, in the order of time."""
    names = (*town.enabled, *town.others)
    jobs = _share(hour.jobs, quarter)
    done = [
        *_evenly(Do.MAKE, [(_job(JOBS + number), {"annotations": bodies.ENABLED}) for number in jobs]),
        *_evenly(Do.END, [(_job(number), {}) for number in jobs]),
        *_evenly(Do.CHANGE, [(_turn(town.enabled, number), _our(number)) for number in _share(hour.ours, quarter)]),
        *_evenly(Do.CHANGE, [(_turn(names, number), _other(number)) for number in _share(hour.others, quarter)]),
    ]
    return sorted(done, key=lambda write: write.at)


def reviews(hour: Hour, town: Town, quarter: int) -> Iterator[bytes]:
    """What the webhook is asked in a quarter of the hour, cluster by cluster; no two are the same."""
    recorded = {kind: bodies.recorded(kind) for kind in _KINDS}
    for cluster in _share(hour.clusters, quarter):
        name = _turn((town.enabled, town.others)[cluster % 2], cluster // 2)
        for number, kind in enumerate(_KINDS):
            yield bodies.numbered(placed(recorded[kind], name), cluster * len(_KINDS) + number, cluster=cluster)


def placed(document: Document, name: str) -> Document:
    """The review, of an object in this namespace."""
    return {**document, "request": {**document["request"], "namespace": name}}


def _job(number: int) -> str:
    return f"job-{number:05}"


def _share(count: int, quarter: int) -> range:
    """The numbers of a quarter of so many."""
    return range(count * quarter // QUARTERS, count * (quarter + 1) // QUARTERS)


def _turn(names: Sequence[str], number: int) -> str:
    return names[number % len(names)]


def _our(number: int) -> Mapping[str, Mapping[str, str]]:
    return {"annotations": {f"{PREFIX}gpu-limit": str(number % LIMITS)}}


def _other(number: int) -> Mapping[str, Mapping[str, str]]:
    return {("labels", "annotations")[number % 2]: {"example.com/looked-after": str(number)}}


def _evenly(do: Do, given: Sequence[tuple[str, Mapping[str, Mapping[str, str]]]]) -> Iterator[Write]:
    for number, (name, metadata) in enumerate(given):
        yield Write(at=number / len(given), do=do, name=name, metadata=metadata)
