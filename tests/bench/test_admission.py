from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.bench import admission
from tests.bench.load import bodies, core, direct, musts, scrape, varied
from tests.bench.load.spread import percentile, quantile, ratio, short, spread
from webhook.admission.decision_cache import WORKERS_KEPT
from webhook.admission.request import parse
from webhook.admission.response import parse_response

METRICS = """# TYPE dask_colocate_admissions counter
dask_colocate_admissions_total{kind="Pod",status="decided"} 7.0
dask_colocate_admissions_total{kind="Pod",status="not-enabled"} 2.0
dask_colocate_admissions_total{kind="DaskJob",status="decided"} 1.0
# TYPE dask_colocate_admission_seconds histogram
dask_colocate_admission_seconds_bucket{le="0.001"} 4.0
dask_colocate_admission_seconds_bucket{le="0.005"} 9.0
dask_colocate_admission_seconds_bucket{le="+Inf"} 10.0
"""


def test_a_spread_is_the_median_and_the_ends() -> None:
    """One wild round moves an end of the spread and leaves the median."""
    found = spread([3, 1, 90])
    assert (found.median, found.least, found.most, found.rounds) == (3, 1, 90, 3)
    assert str(found) == "3.00 (1.00-90.0)"


def test_ratios_are_taken_round_by_round() -> None:
    """A round in which the machine was half as fast leaves the ratio as it is."""
    assert ratio([100, 50], [50, 25]) == spread([2, 2])


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2), (0.99, 4), (0, 1), (1, 4)])
def test_a_percentile_is_a_measured_value(share: float, expected: float) -> None:
    """The nearest rank, whatever the order of the values."""
    assert percentile([4, 1, 3, 2], share) == expected


def test_a_quantile_is_a_buckets_upper_bound() -> None:
    """Of a histogram only the bound that was not exceeded is known; beyond the last bound nothing is."""
    found = scrape.buckets(METRICS)
    assert quantile(found, 0.5) == 0.005
    assert quantile(found, 0.99) == math.inf
    assert math.isnan(quantile({}, 0.5))


def test_a_histogram_is_taken_between_two_scrapes() -> None:
    """What was counted before a load does not count for it."""
    after = scrape.buckets(METRICS)
    assert scrape.since({0.001: 4, 0.005: 4, math.inf: 4}, after) == {0.001: 0, 0.005: 5, math.inf: 6}


def test_a_counter_is_summed_over_the_labels_that_are_not_named() -> None:
    """Calls are counted over all statuses, or over one."""
    name = "dask_colocate_admissions_total"
    assert scrape.total(METRICS, name) == 10
    assert scrape.total(METRICS, name, kind="Pod") == 9
    assert scrape.total(METRICS, "absent") == 0


def test_proc_is_read_behind_a_name_with_blanks() -> None:
    """A process's name may hold blanks and parentheses; the times stand at fixed places behind it."""
    stat = "17 (a) b) c) S 1 17 17 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 1 1 1 1"
    assert scrape.ticks(stat) == 300
    assert scrape.resident("VmSize:\t9 kB\nVmRSS:\t   2048 kB\n") == 2


def test_a_shot_counts_what_was_not_answered() -> None:
    """Rates are of good answers, times are in milliseconds, and anything else is a failure."""
    counts = {"req1xx": 0, "req2xx": 500, "req3xx": 0, "req4xx": 1, "req5xx": 2, "others": 3}
    latency = {"percentiles": {"50": 1500, "99": 4000}}
    printed = json.dumps({"result": {**counts, "timeTakenSeconds": 0.5, "latency": latency}})
    shot = direct.taken_from(printed, 0.25)
    assert shot == direct.Shot(rate=1000, p50=1.5, p99=4, cpu=0.5, failed=6)


def test_both_load_generators_are_read_alike() -> None:
    """Each has units of its own; a shot has one."""
    latencies = {"50th": 1_500_000, "99th": 4_000_000}
    printed = json.dumps({"requests": 506, "throughput": 1000, "status_codes": {"200": 500}, "latencies": latencies})
    assert direct.taken_from_vegeta(printed, 0.25) == direct.Shot(rate=1000, p50=1.5, p99=4, cpu=0.5, failed=6)


@pytest.mark.parametrize("kind", bodies.KINDS)
def test_every_review_sent_is_another_and_a_good_one(kind: str) -> None:
    """No two reviews of a kind are the same bytes, or have the same uid."""
    one, other = (parse(bodies.numbered(bodies.recorded(kind), number)) for number in range(2))
    assert one.uid != other.uid
    assert one.kind == other.kind


def test_workers_of_a_cluster_differ_in_what_is_each_ones_own() -> None:
    """Two workers share their labels but for the hash; two firsts share not even the cluster."""
    worker = bodies.recorded(bodies.WORKER)
    items = [parse(bodies.numbered(worker, number)).item for number in range(2)]
    assert items[0]["metadata"]["generateName"] != items[1]["metadata"]["generateName"]
    assert cluster(items[0]) == cluster(items[1]) == cluster(parse(bodies.encoded(worker)).item)
    assert len({cluster(parse(bodies.numbered(worker, 0, cluster=number)).item) for number in range(2)}) == 2


def cluster(worker: Any) -> str:  # noqa: ANN401 - a raw pod
    """The label that names a worker's cluster."""
    name: str = worker["metadata"]["labels"]["dask.org/cluster-name"]
    return name


@pytest.mark.parametrize("workers", [1, 16])
def test_every_cluster_of_a_load_has_as_many_workers(workers: int) -> None:
    """They come one after the other, no two alike, and more clusters than are kept until one comes again."""
    load = direct.Load(connections=1, workers=workers)
    found = [parse(each) for each in direct.reviews(load, 7)]
    counts = Counter(cluster(each.item) for each in found)
    assert set(counts.values()) == {workers}
    assert WORKERS_KEPT < len(counts) == direct.CLUSTERS
    assert [cluster(each.item) for each in found[:: load.workers]] == list(counts)
    assert len({each.uid for each in found}) == len(found)
    first, later = (cluster(parse(next(direct.reviews(load, begin))).item) for begin in (7, 7 + direct.CLUSTERS))
    assert first in counts
    assert later not in counts


def test_no_two_loads_have_one_title() -> None:
    """A row of the table says what was asked."""
    titles = [load.title for load in direct.LOADS]
    assert len(set(titles)) == len(titles)
    assert [load.title for load in direct.VARIED] == [
        "1, first workers",
        "32, first workers",
        "1, clusters of 16",
        "32, clusters of 16",
    ]


def test_a_rate_is_one_of_vegetas() -> None:
    """Reviews in so many seconds; none given is a closed loop."""
    assert varied.Attack(connections=1, seconds=2).rate == "0"
    assert varied.Attack(connections=1, seconds=24, count=9000).rate == "9000/24s"


@pytest.mark.parametrize("kind", bodies.KINDS)
def test_what_is_timed_is_what_is_served(kind: str) -> None:
    """The core alone answers each kind with the bytes that the webhook answers with, a patch where one is due."""
    document, place = bodies.recorded(kind), core.Place(annotations=bodies.given(kind))
    body = bodies.numbered(document, 1)
    answer = core.core(place)(body)
    assert answer == asyncio.run(core.webhook(document, place).answer(body))
    assert ("patch" in parse_response(answer)) == (kind not in {bodies.RIGHT, bodies.NOT_ENABLED})


@pytest.mark.parametrize("size", bodies.SIZES)
def test_a_longer_review_has_the_size_it_is_named_after(size: int) -> None:
    """Within a tenth: environment variables come whole."""
    assert len(bodies.encoded(bodies.of_size(size))) == pytest.approx(size * 1000, rel=0.1)


def test_a_must_says_whether_it_holds() -> None:
    """What could not be measured is not met."""
    assert str(musts.Must(what="ratio", found=1.31, relation=">=", bound=1.3)) == "met     ratio: 1.31 >= 1.3"
    assert not musts.Must(what="p99", found=math.nan, relation="<", bound=25).met


@pytest.mark.parametrize(("value", "expected"), [(1234.5, "1,234"), (12.34, "12.3"), (0.5, "0.50"), (0.0123, "0.012")])
def test_figures_show_the_digits_that_count(value: float, expected: str) -> None:
    """Never an exponent."""
    assert short(value) == expected


def test_an_unknown_part_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A slip of the pen must not end in an empty table."""
    with pytest.raises(SystemExit):
        admission.parsed(["--only", "a,zz"])
    assert "zz" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--quick"], ["--only", "a"], ["--quick", "--only", "a,b,c,d,e,f,g"]])
def test_only_a_whole_run_replaces_the_record(arguments: list[str]) -> None:
    """Fewer parts or rounds are written only where --out says."""
    assert admission.parsed([]).out == admission.RESULTS
    assert admission.parsed(arguments).out is None
    assert admission.parsed([*arguments, "--out", "there"]).out == Path("there")


def test_what_is_written_is_json() -> None:
    """A quantile beyond the last bucket is a word, since JSON has no infinity."""
    found = admission.plain({"p99": math.inf, "over": {"Go": spread([1.0])}, "rows": (1, None)})
    over = {"median": 1.0, "least": 1.0, "most": 1.0, "rounds": 1}
    assert json.loads(json.dumps(found, allow_nan=False)) == {"p99": "inf", "over": {"Go": over}, "rows": [1, None]}


def test_a_histogram_is_that_of_one_webhook() -> None:
    """The API server keeps one for each webhook it calls."""
    lines = [f'h_bucket{{name="{name}",le="0.5"}} {count}' for name, count in (("pods", 3), ("other", 9))]
    metrics = "# TYPE h histogram\n" + "\n".join(lines) + "\n"
    assert scrape.buckets(metrics, "h", name="pods") == {0.5: 3}
    assert scrape.buckets(metrics, "h") == {0.5: 12}
