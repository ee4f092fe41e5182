"""(e) Ten thousand namespaces: start to ready, memory at rest and through an hour's worth of churn, time to effect.

The hour is that of `hour.py`, in a minute and a half. In its third quarter the API server ends and comes back without
any history, as after an upgrade: the namespaces are listed anew.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tests.bench.load import bodies, contenders, direct, hour, installed, scrape, varied
from tests.bench.load.contenders import OURS
from tests.bench.load.hour import Do, Hour, Town
from tests.bench.load.scrape import resident_mib
from tests.bench.load.spread import Spread, spread
from tests.bench.must import Must
from tests.bench.node_pools import rest
from tests.e2e.bed import history
from tests.e2e.bed.waiting import until
from webhook.admission.decision_cache import CONTAINERS_KEPT, WORKERS_KEPT
from webhook.admission.response import parse_response
from webhook.http.limits import CLOSED_PER_COLLECTION

if TYPE_CHECKING:
    import httpx

    from tests.bench.load.contenders import Contender
    from tests.bench.load.direct import Shot
    from tests.bench.load.hour import Write
    from tests.e2e.bed.bed import Bed

NAMESPACES = 10_000
WRITERS = 8  # threads that write to the API server: enough to keep it busy
CONNECTIONS = 16  # over which reviews come
FORGETFUL = 2  # the quarter, from 0, in which the API server forgets
# MiB that a process may come to hold: decisions on workers and containers, each the largest there is, and buffers of
# connections that are over (`webhook.admission.decision_cache`, `webhook.http.limits`). Usually a third of that.
KEPT = (WORKERS_KEPT * 60 + CONTAINERS_KEPT * 13 + CLOSED_PER_COLLECTION * 256) / 1024
REQUEST_TIMEOUT = 5.0  # seconds for an annotation to take effect
STARTS, SAMPLES = 3, 20
_PATH = "/api/v1/namespaces"


@dataclass(frozen=True, kw_only=True)
class Quarter:
    """A quarter of the hour.

    Attributes:
        resident: MiB, a second after it.
        reviews: What came of the reviews.
        missed: First workers of namespaces made that moment that were not mutated.
    """

    resident: float
    reviews: Shot
    missed: int


@dataclass(frozen=True, kw_only=True)
class Churn:
    """One process among many namespaces.

    Attributes:
        namespaces: How many.
        hour: What happened to them.
        ready: Seconds from the process's start to `/readyz`, over some starts.
        at_rest: MiB resident, ready for 2 s.
        quarters: Of the hour.
        listed_anew: How often the namespaces were.
        astray: Namespaces that the process knows in the end, less those that there are.
        effect: Milliseconds from the API server's answer to the change to the first review answered by it.
    """

    namespaces: int
    hour: Hour
    ready: Spread
    at_rest: float
    quarters: tuple[Quarter, ...]
    listed_anew: int
    astray: int
    effect: Spread

    @property
    def after(self) -> float:
        """MiB resident after the hour."""
        return self.quarters[-1].resident


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the hour passes."""

    bed: Bed
    server: Contender
    town: Town
    writers: ThreadPoolExecutor


def measured(bed: Bed, count: int = NAMESPACES, what: Hour | None = None) -> Churn:
    """Fill the control plane, start the webhook some times, and let an hour pass under the last."""
    rest(bed)  # the controllers would write two more objects into each namespace
    town, what = hour.town(count), what or Hour()
    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(partial(_made, bed), hour.begun(town)))
        starts = [_start(bed) for _ in range(STARTS - 1)]
        began = time.monotonic()
        with installed.served(bed, OURS) as server:
            starts.append(time.monotonic() - began)
            time.sleep(2)
            at_rest = resident_mib(server.pid)
            place = Place(bed=bed, server=server, town=town, writers=writers)
            quarters = tuple(_passed(place, what, number) for number in range(hour.QUARTERS))
            return Churn(
                namespaces=count,
                hour=what,
                ready=spread(starts),
                at_rest=round(at_rest, 1),
                quarters=quarters,
                listed_anew=_listed_anew(server),
                astray=_known(place) - len(bed.api.items(_PATH)),
                effect=spread([_effect(bed, server, name) for name in town.others[-SAMPLES:]]),
            )


def musts(found: Churn) -> list[Must]:
    """What must hold. Caches fill in the first quarters; in the last, nothing is new to the process but names."""
    last, before = found.quarters[-1], found.quarters[-2]
    return [
        Must(what="10,000 namespaces: start to ready, s", found=found.ready.median, relation="<", bound=2.5),
        Must(what="10,000 namespaces: MiB resident after an hour", found=found.after, relation="<", bound=80),
        Must(what="growth over the hour, MiB", found=found.after - found.at_rest, relation="<", bound=KEPT),
        # 0.5 MiB is 128 pages: what an allocator takes and gives back. 9,000 reviews that leaked 60 bytes each would be
        # more, and so would 250 namespaces made and deleted that leaked 2 kB each.
        Must(what="growth over its last quarter, MiB", found=last.resident - before.resident, relation="<", bound=0.5),
        Must(what="the hour: reviews failed", found=_failed(found), relation="<=", bound=0),
        Must(what="namespaces known and not there, or not known", found=abs(found.astray), relation="<=", bound=0),
        Must(what="annotation to effect, slowest, ms", found=found.effect.most, relation="<", bound=500),
    ]


def _failed(found: Churn) -> int:
    return sum(each.reviews.failed for each in found.quarters)


def _start(bed: Bed) -> float:
    began = time.monotonic()
    with installed.served(bed, OURS):
        return time.monotonic() - began


# ---- the hour -------------------------------------------------------------------------------------


def _passed(place: Place, what: Hour, number: int) -> Quarter:
    """Let a quarter pass: reviews come at their own pace, whatever happens to the API server and to namespaces."""
    file, pid = place.bed.plane.state / "reviews.json", place.server.pid
    varied.write(file, hour.reviews(what, place.town, number))
    seconds = what.seconds / hour.QUARTERS
    count = what.reviews // hour.QUARTERS
    how = varied.Attack(connections=CONNECTIONS, seconds=seconds, count=count)
    cpu, began = scrape.cpu_seconds(pid), time.monotonic()
    with ThreadPoolExecutor(1) as beside:
        asking = beside.submit(varied.fired, f"{place.server.url}/mutate", file, how)
        if number == FORGETFUL:
            _forgotten(place)
        missed = _written(place, hour.writes(what, place.town, number), began, seconds)
        printed = asking.result()
    time.sleep(1)  # the last changes arrive
    return Quarter(
        resident=round(resident_mib(pid), 1),
        reviews=direct.taken_from_vegeta(printed, scrape.cpu_seconds(pid) - cpu),
        missed=missed,
    )


def _forgotten(place: Place) -> None:
    before = _listed_anew(place.server)
    history.forgotten(place.bed.plane)
    until(lambda: _listed_anew(place.server) > before, 60, "listed anew", place.server.process.tail)


def _listed_anew(server: Contender) -> int:
    return server.process.log.read_text().count("namespaces: listing anew")


def _written(place: Place, writes: list[Write], began: float, seconds: float) -> int:
    """Do each when its time has come, or at once where that is past; how many jobs' first workers were missed."""
    with contenders.client(place.server.url, place.bed.plane.ca) as asking:

        def write(what: Write) -> bool:
            time.sleep(max(0.0, began + what.at * seconds - time.monotonic()))
            return _done(place.bed, asking, what)

        return sum(not good for good in place.writers.map(write, writes))


def _done(bed: Bed, asking: httpx.Client, what: Write) -> bool:
    """Do it; whether a worker was mutated that came as soon as its namespace was there."""
    if what.do is Do.CHANGE:
        bed.api.merge(f"{_PATH}/{what.name}", {"metadata": what.metadata})
    elif what.do is Do.END:
        _ended(bed, what.name)
    else:
        _made(bed, what)
        return _patched(asking, _worker(what.name))
    return True


def _made(bed: Bed, what: Write) -> None:
    bed.api.create(_PATH, {"metadata": {"name": what.name, **what.metadata}})


def _ended(bed: Bed, name: str) -> None:
    """Delete a namespace, and say that it is empty: the controller that would say so rests."""
    bed.api.delete(f"{_PATH}/{name}")
    empty = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []}}
    bed.api.replace(f"{_PATH}/{name}/finalize", empty)


def _known(place: Place) -> int:
    with contenders.client(place.server.url, place.bed.plane.ca) as asking:
        return int(scrape.total(asking.get("/metrics").text, "dask_colocate_namespace_cache_size"))


# ---- what a change takes --------------------------------------------------------------------------


def _effect(bed: Bed, server: Contender, name: str) -> float:
    body = _worker(name)
    with contenders.client(server.url, bed.plane.ca) as asking:
        if _patched(asking, body):
            raise AssertionError(f"{name} is enabled before its time")
        bed.api.merge(f"{_PATH}/{name}", {"metadata": {"annotations": bodies.ENABLED}})
        began = time.monotonic()
        while not _patched(asking, body):
            if time.monotonic() - began > REQUEST_TIMEOUT:
                raise AssertionError(f"{name}: no effect within {REQUEST_TIMEOUT:g} s")
        return 1000 * (time.monotonic() - began)


def _worker(name: str) -> bytes:
    """A review of a worker pod in this namespace."""
    return bodies.encoded(hour.placed(bodies.recorded(bodies.WORKER), name))


def _patched(asking: httpx.Client, body: bytes) -> bool:
    response = asking.post("/mutate", content=body, headers=contenders.JSON)
    return "patch" in parse_response(response.content)
