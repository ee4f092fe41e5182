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


def test_spread_has_median_minimum_and_maximum() -> None:
    """An outlier changes the minimum or maximum of a spread, but not its median."""
    result = spread([3, 1, 90])
    assert (result.median, result.least, result.most, result.rounds) == (3, 1, 90, 3)
    assert str(result) == "3.00 (1.00-90.0)"


def test_ratios_are_computed_for_each_round() -> None:
    """Ratios are computed for each round, so a slower round does not change them."""
    assert ratio([100, 50], [50, 25]) == spread([2, 2])


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2), (0.99, 4), (0, 1), (1, 4)])
def test_percentile_is_a_measured_value(share: float, expected: float) -> None:
    """A percentile is the value of the nearest rank, for any order of the values."""
    assert percentile([4, 1, 3, 2], share) == expected


def test_quantile_is_the_upper_bound_of_a_bucket() -> None:
    """A quantile of a histogram is the upper bound of its bucket, infinite beyond the last bucket, NaN without data."""
    counts = scrape.buckets(METRICS)
    assert quantile(counts, 0.5) == 0.005
    assert quantile(counts, 0.99) == math.inf
    assert math.isnan(quantile({}, 0.5))


def test_histogram_is_the_difference_of_two_scrapes() -> None:
    """Observations before a load are not counted for it."""
    after = scrape.buckets(METRICS)
    assert scrape.since({0.001: 4, 0.005: 4, math.inf: 4}, after) == {0.001: 0, 0.005: 5, math.inf: 6}


def test_counter_is_summed_over_other_labels() -> None:
    """A counter is summed over all series that have the given labels."""
    name = "dask_colocate_admissions_total"
    assert scrape.total(METRICS, name) == 10
    assert scrape.total(METRICS, name, kind="Pod") == 9
    assert scrape.total(METRICS, "absent") == 0


def test_proc_stat_is_parsed_after_any_process_name() -> None:
    """`/proc/PID/stat` is parsed correctly if the process name contains blanks and parentheses."""
    stat = "17 (a) b) c) S 1 17 17 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 1 1 1 1"
    assert scrape.ticks(stat) == 300
    assert scrape.resident("VmSize:\t9 kB\nVmRSS:\t   2048 kB\n") == 2


def test_shot_counts_failures() -> None:
    """Rates count 2xx responses, times are in milliseconds, and all other outcomes are failures."""
    counts = {"req1xx": 0, "req2xx": 500, "req3xx": 0, "req4xx": 1, "req5xx": 2, "others": 3}
    latency = {"percentiles": {"50": 1500, "99": 4000}}
    printed = json.dumps({"result": {**counts, "timeTakenSeconds": 0.5, "latency": latency}})
    shot = direct.taken_from(printed, 0.25)
    assert shot == direct.Shot(rate=1000, p50=1.5, p99=4, cpu=0.5, failed=6)


def test_both_load_generators_give_the_same_units() -> None:
    """Results of both load generators are converted to the same units."""
    latencies = {"50th": 1_500_000, "99th": 4_000_000}
    printed = json.dumps({"requests": 506, "throughput": 1000, "status_codes": {"200": 500}, "latencies": latencies})
    assert direct.taken_from_vegeta(printed, 0.25) == direct.Shot(rate=1000, p50=1.5, p99=4, cpu=0.5, failed=6)


@pytest.mark.parametrize("kind", bodies.KINDS)
def test_reviews_of_a_load_are_distinct(kind: str) -> None:
    """Two reviews of a kind have different uids and the same kind."""
    first, second = (parse(bodies.numbered(bodies.recorded(kind), number)) for number in range(2))
    assert first.uid != second.uid
    assert first.kind == second.kind


def test_workers_of_a_cluster_differ_in_their_names() -> None:
    """Two workers of a cluster differ in their names, and two first workers belong to different clusters."""
    worker = bodies.recorded(bodies.WORKER)
    items = [parse(bodies.numbered(worker, number)).item for number in range(2)]
    assert items[0]["metadata"]["generateName"] != items[1]["metadata"]["generateName"]
    assert cluster(items[0]) == cluster(items[1]) == cluster(parse(bodies.encoded(worker)).item)
    assert len({cluster(parse(bodies.numbered(worker, 0, cluster=number)).item) for number in range(2)}) == 2


def cluster(worker: Any) -> str:  # noqa: ANN401 - an unstructured pod
    """Return the name of a worker's cluster from its label."""
    name: str = worker["metadata"]["labels"]["dask.org/cluster-name"]
    return name


@pytest.mark.parametrize("workers", [1, 16])
def test_clusters_of_a_load_have_the_requested_number_of_workers(workers: int) -> None:
    """Each cluster has `workers` workers, and there are more clusters than the decision cache has entries."""
    load = direct.Load(connections=1, workers=workers)
    reviews = [parse(body) for body in direct.reviews(load, 7)]
    counts = Counter(cluster(review.item) for review in reviews)
    assert set(counts.values()) == {workers}
    assert WORKERS_KEPT < len(counts) == direct.CLUSTERS
    assert [cluster(review.item) for review in reviews[:: load.workers]] == list(counts)
    assert len({review.uid for review in reviews}) == len(reviews)
    first, later = (cluster(parse(next(direct.reviews(load, begin))).item) for begin in (7, 7 + direct.CLUSTERS))
    assert first in counts
    assert later not in counts


def test_loads_have_distinct_titles() -> None:
    """All loads have distinct titles, which name connections and workers."""
    titles = [load.title for load in direct.LOADS]
    assert len(set(titles)) == len(titles)
    assert [load.title for load in direct.VARIED] == [
        "1, first workers",
        "32, first workers",
        "1, clusters of 16",
        "32, clusters of 16",
    ]


def test_rate_has_the_format_of_vegeta() -> None:
    """A rate is `COUNT/SECONDSs`, and `0`, a closed loop, without a count."""
    assert varied.Attack(connections=1, seconds=2).rate == "0"
    assert varied.Attack(connections=1, seconds=24, count=9000).rate == "9000/24s"


@pytest.mark.parametrize("kind", bodies.KINDS)
def test_timed_core_returns_the_responses_of_the_webhook(kind: str) -> None:
    """The core and the webhook return the same bytes for each kind, with a patch unless none is needed."""
    document, place = bodies.recorded(kind), core.Place(annotations=bodies.given(kind))
    body = bodies.numbered(document, 1)
    response = core.core(place)(body)
    assert response == asyncio.run(core.webhook(document, place).answer(body))
    assert ("patch" in parse_response(response)) == (kind not in {bodies.RIGHT, bodies.NOT_ENABLED})


@pytest.mark.parametrize("size", bodies.SIZES)
def test_longer_review_has_the_named_size(size: int) -> None:
    """A longer review has its named size within 10 %; environment variables are added whole."""
    assert len(bodies.encoded(bodies.of_size(size))) == pytest.approx(size * 1000, rel=0.1)


def test_must_shows_whether_it_is_met() -> None:
    """A requirement shows its result, and a missing measurement does not meet it."""
    assert str(musts.Must(what="ratio", found=1.31, relation=">=", bound=1.3)) == "met     ratio: 1.31 >= 1.3"
    assert not musts.Must(what="p99", found=math.nan, relation="<", bound=25).met


@pytest.mark.parametrize(("value", "expected"), [(1234.5, "1,234"), (12.34, "12.3"), (0.5, "0.50"), (0.0123, "0.012")])
def test_figures_have_significant_digits(value: float, expected: str) -> None:
    """Figures are printed with their significant digits and without an exponent."""
    assert short(value) == expected


def test_unknown_part_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown part in `--only` is an error that names the part."""
    with pytest.raises(SystemExit):
        admission.parsed(["--only", "a,zz"])
    assert "zz" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--quick"], ["--only", "a"], ["--quick", "--only", "a,b,c,d,e,f,g"]])
def test_only_a_complete_run_replaces_the_record(arguments: list[str]) -> None:
    """A run with fewer parts or rounds is written only to the folder of `--out`."""
    assert admission.parsed([]).out == admission.RESULTS
    assert admission.parsed(arguments).out is None
    assert admission.parsed([*arguments, "--out", "folder"]).out == Path("folder")


def test_record_is_valid_json() -> None:
    """An infinite quantile is written as a string, because JSON has no infinity."""
    record = admission.plain({"p99": math.inf, "over": {"Go": spread([1.0])}, "rows": (1, None)})
    over = {"median": 1.0, "least": 1.0, "most": 1.0, "rounds": 1}
    assert json.loads(json.dumps(record, allow_nan=False)) == {"p99": "inf", "over": {"Go": over}, "rows": [1, None]}


def test_histogram_is_selected_by_labels() -> None:
    """The histogram of one webhook is selected by its label `name`."""
    lines = [f'h_bucket{{name="{name}",le="0.5"}} {count}' for name, count in (("pods", 3), ("other", 9))]
    metrics = "# TYPE h histogram\n" + "\n".join(lines) + "\n"
    assert scrape.buckets(metrics, "h", name="pods") == {0.5: 3}
    assert scrape.buckets(metrics, "h") == {0.5: 12}
