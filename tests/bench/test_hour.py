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


def test_an_hour_is_what_a_steady_cluster_has() -> None:
    """Twenty changes a second: workers made and ended, clusters, namespaces made, ended and changed."""
    whole = Hour()
    workers = 2 * hour.WORKERS * whole.clusters
    assert workers + whole.clusters + 2 * whole.jobs + whole.ours + whole.others == 20 * 3600
    assert whole.reviews == 36_000


def test_a_town_has_as_many_namespaces_as_are_said() -> None:
    """With those of the first jobs; one in ten of those that stay is enabled."""
    begun = list(hour.begun(TOWN))
    assert len({each.name for each in begun}) == len(begun) == 1_000
    assert len(TOWN.enabled) * hour.ENABLED_ONE_IN == len(TOWN.enabled) + len(TOWN.others)
    given = Counter(each.name.partition("-")[0] for each in begun if each.metadata == {"annotations": bodies.ENABLED})
    assert given == {"team": len(TOWN.enabled), "job": hour.JOBS}


@pytest.mark.parametrize("what", [Hour(), hour.QUICK])
def test_no_namespace_is_ended_or_changed_that_is_not_there(what: Hour) -> None:
    """As many are there after each quarter as before, and no name is made twice."""
    there = {each.name for each in hour.begun(TOWN)}
    for write in chain.from_iterable(hour.writes(what, TOWN, quarter) for quarter in QUARTERS):
        assert (write.name in there) == (write.do is not Do.MAKE)
        there = there | {write.name} if write.do is Do.MAKE else there
        there = there - {write.name} if write.do is Do.END else there
    assert len(there) == 1_000


@pytest.mark.parametrize("what", [Hour(), hour.QUICK])
def test_quarters_are_the_whole_hour(what: Hour) -> None:
    """Each has as much of everything, spread over it."""
    quarters = [hour.writes(what, TOWN, quarter) for quarter in QUARTERS]
    counts = Counter(each.do for each in chain.from_iterable(quarters))
    assert counts == {Do.MAKE: what.jobs, Do.END: what.jobs, Do.CHANGE: what.ours + what.others}
    for each in quarters:
        assert len(each) * hour.QUARTERS == counts.total()
        assert [write.at for write in each] == sorted(write.at for write in each)
        assert 0 <= each[0].at <= each[-1].at < 1


def test_what_is_changed_of_ours_is_accepted() -> None:
    """Every value is one of the annotation's; namespaces that are enabled stay so, and the others do not become it."""
    changes = [each for each in hour.writes(Hour(), TOWN, 0) if each.do is Do.CHANGE]
    ours = [each for each in changes if resolve(dict(each.metadata.get("annotations", {}))) != resolve({})]
    assert {each.name for each in ours} <= set(TOWN.enabled)
    policies = {resolve({**bodies.ENABLED, **each.metadata["annotations"]}) for each in ours}
    assert len(policies) == hour.LIMITS - 1  # the default limit is one of the values
    assert not any(policy.problems for policy in policies)


def test_reviews_are_of_whole_clusters() -> None:
    """Every other one is in a namespace that is enabled, and none is a review that was there before."""
    found = [parse(each) for each in chain.from_iterable(hour.reviews(hour.QUICK, TOWN, each) for each in QUARTERS)]
    assert len({each.uid for each in found}) == len(found) == hour.QUICK.reviews
    pods = [each for each in found if each.kind == "Pod"]
    clusters = Counter(each.item["metadata"]["labels"]["dask.org/cluster-name"] for each in pods)
    assert set(clusters.values()) == {hour.WORKERS}
    assert len(clusters) == hour.QUICK.clusters
    assert sum(each.namespace in TOWN.enabled for each in found) * 2 == len(found)


def churned(*resident: float) -> Churn:
    """One that is good, with this memory after its quarters."""
    shot = Shot(rate=375, p50=1, p99=5, cpu=0.3, failed=0)
    return Churn(
        namespaces=10_000,
        hour=Hour(),
        ready=spread([1.0]),
        at_rest=70.0,
        quarters=tuple(Quarter(resident=each, reviews=shot, missed=0) for each in resident),
        listed_anew=1,
        astray=0,
        effect=spread([3.0]),
    )


def unmet(found: Churn) -> list[str]:
    """What must hold of it and does not."""
    return [each.what for each in churn.musts(found) if not each.met]


def test_caches_may_fill_and_nothing_may_leak() -> None:
    """Growth that ends is none that lasts; growth in the last quarter goes on."""
    good = churned(73, 74, 74.2, 74.3)
    assert unmet(good) == []
    assert unmet(churned(73, 74, 74, 75)) == ["growth over its last quarter, MiB"]
    assert unmet(churned(90, 90, 90, 90)) == [
        "10,000 namespaces: MiB resident after an hour",
        "growth over the hour, MiB",
    ]
    assert unmet(replace(good, astray=-1)) == ["namespaces known and not there, or not known"]


def test_every_quarter_has_a_column() -> None:
    """Beside the memory at rest."""
    drawn = tables.churned(churned(71, 72, 73, 74))
    assert [str(each.header) for each in drawn.columns][2:7] == ["MiB at rest", *(f"quarter {n}" for n in range(1, 5))]
    assert drawn.row_count == 1
