"""(d) A thousand worker pods at once, and (f) a thousand pods that concern nobody here; real creates, not dry runs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.load import bodies, contenders, installed, scrape, through
from tests.bench.load.spread import quantile
from tests.bench.must import Must
from tests.e2e.bed.waiting import NotYetError
from tests.e2e.examples import CLUSTERS, manifest
from tests.e2e.webhook_process import installed as serving

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.bench.load.direct import Shot
    from tests.e2e.bed.api import Object
    from tests.e2e.bed.bed import Bed
    from tests.e2e.webhook_process import Served

CLIENTS = 16  # at once, as many as (c) has at most
GPUS = 8  # of each node
ADMISSIONS = "dask_colocate_admissions_total"
_SEEN = "apiserver_admission_webhook_admission_duration_seconds"
_OPEN = "apiserver_admission_webhook_fail_open_count"


@dataclass(frozen=True, kw_only=True)
class Burst:
    """What came of one.

    Attributes:
        what: Which.
        pods: Worker pods there were in the end.
        wanted: How many were asked for.
        seconds: Until then.
        calls: Reviews that the webhook answered, of any kind.
        missed: Worker pods without the mutation.
        failed_open: The API server's own count of webhook calls that failed.
        cpu: Processor time of the webhook, s.
        p50: Of the webhook's own durations, ms: the upper bound of the bucket that holds it.
        p99: The same.
        seen_p99: Of the API server's durations of calls to the webhook, the same.
        api: The API calls as the clients saw them; None where the controllers made them.
    """

    what: str
    pods: int
    wanted: int
    seconds: float
    calls: int
    missed: int
    failed_open: int
    cpu: float
    p50: float
    p99: float
    seen_p99: float
    api: Shot | None = None


def pods(bed: Bed, count: int) -> Burst:
    """Create `count` worker pods with `CLIENTS` clients."""
    with serving(bed) as served, bed.nodes(-(-count // GPUS), GPUS):
        namespace = bed.create_namespace(bodies.ENABLED)

        def load() -> Shot:
            return _created(bed, namespace, installed.worker(), count, served.process.child.pid)

        return _measured(bed, served, (f"{count} worker pods", namespace, count), load)


def cluster(bed: Bed, count: int, seconds: float) -> Burst:
    """Scale a DaskCluster from 1 to `count` workers through the operator; what is there after `seconds` counts."""
    with serving(bed) as served, bed.nodes(-(-count // GPUS), GPUS):
        namespace = bed.create_namespace(bodies.ENABLED)
        bed.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("cluster", 1, scheduler_gpu=False))
        (made,) = bed.api.items(CLUSTERS.format(namespace, "").rstrip("/"))
        bed.wait_for_workers(namespace, made["metadata"]["name"], 1)

        def load() -> None:
            path = CLUSTERS.format(namespace, made["metadata"]["name"])
            bed.api.merge(path, {"spec": {"worker": {"replicas": count}}})
            try:
                bed.wait(lambda: len(bed.pods(namespace)) >= count, namespace, f"{count} workers", seconds)
            except NotYetError:
                print(f"the operator made {len(bed.pods(namespace))} of {count} workers in {seconds:g} s", flush=True)

        return _measured(bed, served, (f"DaskCluster of {count}", namespace, count), load)


def musts(found: Mapping[str, Burst]) -> list[Must]:
    """What must hold."""
    burst = found["pods"]
    return [
        Must(what="burst: pods that failed open", found=burst.missed + burst.failed_open, relation="<=", bound=0),
        Must(what="burst: pods that were not made", found=burst.wanted - burst.pods, relation="<=", bound=0),
        # From a review's last byte to its answer: what it waits for the event loop is in it. What the API server sees
        # stands beside it in the table, and holds its own wait for a core, which clients, etcd and scheduler want too.
        # A bucket ends at 25 ms: it holds the p99 when 99 of 100 took no longer.
        Must(what="burst: webhook p99, from last byte to answer, ms", found=burst.p99, relation="<=", bound=25),
    ]


# ---- (f) ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Quiet:
    """How many reviews arrived while nothing happened that concerns us: none, where the selectors hold."""

    pods: int
    metadata_updates: int
    calls: int


def others(bed: Bed, count: int) -> Quiet:
    """Create other pods in a namespace that is enabled, and write to a DaskCluster's metadata as its operator does."""
    with serving(bed) as served:
        namespace = bed.create_namespace(bodies.ENABLED)
        bed.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest("cluster", 1, scheduler_gpu=False))
        (made,) = bed.api.items(CLUSTERS.format(namespace, "").rstrip("/"))
        before = scrape.total(_own(served), ADMISSIONS)
        pod = installed.worker()
        pod["metadata"]["labels"] = {"dask.org/component": "job-runner"}
        shot = _created(bed, namespace, pod, count, served.process.child.pid)
        if shot.failed:
            raise AssertionError(f"{shot.failed} of {count} pods were refused")
        updates = count // 10
        for number in range(updates):
            change = {"metadata": {"annotations": {"kopf.zalando.org/last-handled": str(number)}}}
            bed.api.merge(CLUSTERS.format(namespace, made["metadata"]["name"]), change)
        calls = int(scrape.total(_own(served), ADMISSIONS) - before)
        return Quiet(pods=count, metadata_updates=updates, calls=calls)


# ---- both -----------------------------------------------------------------------------------------


def _created(bed: Bed, namespace: str, pod: Object, count: int, pid: int) -> Shot:
    body = bed.plane.state / "bench-pod.json"
    body.write_text(json.dumps(pod))
    how = through.Call(clients=CLIENTS, count=count, dry=False)
    return through.create(bed, f"/api/v1/namespaces/{namespace}/pods", body, how, pid)[0]


def _measured(bed: Bed, served: Served, about: tuple[str, str, int], load: Callable[[], Shot | None]) -> Burst:
    what, namespace, wanted = about
    pid = served.process.child.pid
    own, theirs, cpu, began = _own(served), _theirs(bed), scrape.cpu_seconds(pid), time.monotonic()
    shot = load()
    seconds, cpu = time.monotonic() - began, scrape.cpu_seconds(pid) - cpu
    after, later, found = _own(served), _theirs(bed), bed.pods(namespace)
    durations = scrape.since(scrape.buckets(own), scrape.buckets(after))
    seen = scrape.since(_calls(theirs), _calls(later))
    return Burst(
        what=what,
        pods=len(found),
        wanted=wanted,
        seconds=round(seconds, 1),
        calls=int(scrape.total(after, ADMISSIONS) - scrape.total(own, ADMISSIONS)),
        missed=sum("affinity" not in each["spec"] for each in found),
        failed_open=int(scrape.total(later, _OPEN) - scrape.total(theirs, _OPEN)),
        cpu=round(cpu, 2),
        p50=1000 * quantile(durations, 0.5),
        p99=1000 * quantile(durations, 0.99),
        seen_p99=1000 * quantile(seen, 0.99),
        api=shot,
    )


def _own(served: Served) -> str:
    return served.client.get("/metrics").text


def _theirs(bed: Bed) -> str:
    """The API server's metrics, without the thousands of lines that are about something else."""
    with contenders.client(bed.plane.url, bed.plane.ca) as asking:
        text = asking.get("/metrics", headers={"Authorization": f"Bearer {bed.plane.token}"}, timeout=30).text
    return "\n".join(line for line in text.splitlines() if line.startswith((_SEEN, _OPEN, f"# TYPE {_SEEN}"))) + "\n"


def _calls(metrics: str) -> dict[float, float]:
    """Durations of the calls about pods."""
    return scrape.buckets(metrics, _SEEN, name="pods.colocate.dask.org")
