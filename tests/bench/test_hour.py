from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain

import pytest

from tests.bench.load import bodies, churn, hour, tables
from tests.bench.load.churn import Churn, Quarter
from tests.bench.load.direct import Shot
from tests.bench.load.hour import Do, Hour
from tests.bench.load.spread import spread
from webhook.admission.request import parse
from webhook.policy import resolve

TOWN = hour.town(1_000)
QUARTERS = range(hour.QUARTERS)


def test_hour_has_20_changes_per_second() -> None:
    """An hour has 20 changes per second: workers created and deleted, clusters, and namespaces."""
    whole = Hour()
    workers = 2 * hour.WORKERS * whole.clusters
    assert workers + whole.clusters + 2 * whole.jobs + whole.ours + whole.others == 20 * 3600
    assert whole.reviews == 36_000


def test_town_has_the_requested_number_of_namespaces() -> None:
    """The town has 1,000 namespaces with those of the first jobs, and one in ten permanent namespaces is enabled."""
    writes = list(hour.begun(TOWN))
    assert len({write.name for write in writes}) == len(writes) == 1_000
    assert len(TOWN.enabled) * hour.ENABLED_ONE_IN == len(TOWN.enabled) + len(TOWN.others)
    enabled = (write.name for write in writes if write.metadata == {"annotations": bodies.ENABLED})
    assert Counter(name.partition("-")[0] for name in enabled) == {"team": len(TOWN.enabled), "job": hour.JOBS}


@pytest.mark.parametrize("size", [Hour(), hour.QUICK])
def test_only_existing_namespaces_are_deleted_or_changed(size: Hour) -> None:
    """Only existing namespaces are deleted or changed, no name is created twice, and their number stays the same."""
    names = {write.name for write in hour.begun(TOWN)}
    for write in chain.from_iterable(hour.writes(size, TOWN, quarter) for quarter in QUARTERS):
        assert (write.name in names) == (write.do is not Do.MAKE)
        names = names | {write.name} if write.do is Do.MAKE else names
        names = names - {write.name} if write.do is Do.END else names
    assert len(names) == 1_000


@pytest.mark.parametrize("size", [Hour(), hour.QUICK])
def test_quarters_add_up_to_the_hour(size: Hour) -> None:
    """Each quarter has the same number of writes, in order of time, and together they are those of the hour."""
    quarters = [hour.writes(size, TOWN, quarter) for quarter in QUARTERS]
    counts = Counter(write.do for write in chain.from_iterable(quarters))
    assert counts == {Do.MAKE: size.jobs, Do.END: size.jobs, Do.CHANGE: size.ours + size.others}
    for writes in quarters:
        assert len(writes) * hour.QUARTERS == counts.total()
        assert [write.at for write in writes] == sorted(write.at for write in writes)
        assert 0 <= writes[0].at <= writes[-1].at < 1


def test_changed_annotations_are_accepted() -> None:
    """Every changed value is valid, enabled namespaces stay enabled, and other namespaces stay disabled."""
    changes = [write for write in hour.writes(Hour(), TOWN, 0) if write.do is Do.CHANGE]
    own = [write for write in changes if resolve(dict(write.metadata.get("annotations", {}))) != resolve({})]
    assert {write.name for write in own} <= set(TOWN.enabled)
    policies = {resolve({**bodies.ENABLED, **write.metadata["annotations"]}) for write in own}
    assert len(policies) == hour.LIMITS - 1  # the default limit is one of the values
    assert not any(policy.problems for policy in policies)


def test_reviews_are_of_whole_clusters() -> None:
    """Reviews are of whole clusters, half of them in enabled namespaces, and no two have the same uid."""
    bodies_of_quarters = (hour.reviews(hour.QUICK, TOWN, quarter) for quarter in QUARTERS)
    reviews = [parse(body) for body in chain.from_iterable(bodies_of_quarters)]
    assert len({review.uid for review in reviews}) == len(reviews) == hour.QUICK.reviews
    pods = [review.item for review in reviews if review.kind == "Pod"]
    clusters = Counter(pod["metadata"]["labels"]["dask.org/cluster-name"] for pod in pods)
    assert set(clusters.values()) == {hour.WORKERS}
    assert len(clusters) == hour.QUICK.clusters
    assert sum(review.namespace in TOWN.enabled for review in reviews) * 2 == len(reviews)


def churned(*resident: float) -> Churn:
    """Return a result within all bounds, with this resident memory after each quarter."""
    shot = Shot(rate=375, p50=1, p99=5, cpu=0.3, failed=0)
    return Churn(
        namespaces=10_000,
        hour=Hour(),
        ready=spread([1.0]),
        at_rest=70.0,
        quarters=tuple(Quarter(resident=mebibytes, reviews=shot, missed=0) for mebibytes in resident),
        listed_anew=1,
        astray=0,
        effect=spread([3.0]),
    )


def unmet(result: Churn) -> list[str]:
    """Return the names of the bounds that a result exceeds."""
    return [must.what for must in churn.musts(result) if not must.met]


def test_memory_may_grow_but_not_in_the_last_quarter() -> None:
    """Memory may grow at first within its bounds, but not in the last quarter."""
    good = churned(73, 74, 74.2, 74.3)
    assert unmet(good) == []
    assert unmet(churned(73, 74, 74, 75)) == ["growth over its last quarter, MiB"]
    assert unmet(churned(90, 90, 90, 90)) == [
        "10,000 namespaces: MiB resident after an hour",
        "growth over the hour, MiB",
    ]
    assert unmet(replace(good, astray=-1)) == ["namespaces known and not there, or not known"]


def test_every_quarter_has_a_column() -> None:
    """The table has a column for the memory at rest and for each quarter."""
    table = tables.churned(churned(71, 72, 73, 74))
    assert [str(column.header) for column in table.columns][2:7] == [
        "MiB at rest",
        *(f"quarter {n}" for n in range(1, 5)),
    ]
    assert table.row_count == 1
