"""(e) Ten thousand namespaces: start to ready, memory at rest and after changes, time from annotation to effect."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.load import bodies, contenders, installed
from tests.bench.load.contenders import OURS
from tests.bench.load.scrape import resident_mib
from tests.bench.load.spread import Spread, spread
from tests.bench.must import Must
from tests.bench.room import rest
from webhook.admission import answered

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx

    from tests.bench.load.contenders import Contender
    from tests.e2e.bed.bed import Bed

NAMESPACES, CHANGES = 10_000, 2_000
WRITERS = 8  # threads that write to the API server: enough to keep it busy
PATIENCE = 5.0  # seconds for an annotation to take effect
STARTS, SAMPLES = 3, 20
_PATH = "/api/v1/namespaces"


@dataclass(frozen=True, kw_only=True)
class Churn:
    """One process among many namespaces.

    Attributes:
        namespaces: How many.
        ready: Seconds from the process's start to `/readyz`, over some starts.
        at_rest: MiB resident, ready for 2 s.
        halfway: The same after half of the changes.
        after: The same after all.
        changes: Annotations that were changed.
        changed_in: Seconds that took.
        effect: Milliseconds from the API server's answer to the change to the first review answered by it.
    """

    namespaces: int
    ready: Spread
    at_rest: float
    halfway: float
    after: float
    changes: int
    changed_in: float
    effect: Spread


def measured(bed: Bed, count: int = NAMESPACES, changes: int = CHANGES) -> Churn:
    """Fill the control plane, start the webhook some times, and change annotations under the last."""
    rest(bed)  # the controllers would write two more objects into each namespace
    names = [f"team-{number:05}" for number in range(count)]
    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(lambda name: bed.api.create(_PATH, {"metadata": {"name": name}}), names))
        starts = [_start(bed) for _ in range(STARTS - 1)]
        began = time.monotonic()
        with installed.served(bed, OURS) as server:
            starts.append(time.monotonic() - began)
            time.sleep(2)
            at_rest = resident_mib(server.pid)
            began = time.monotonic()
            _change(bed, writers, names, range(changes // 2))
            halfway = resident_mib(server.pid)
            _change(bed, writers, names, range(changes // 2, changes))
            took = time.monotonic() - began
            time.sleep(1)  # the last of them arrive
            after = resident_mib(server.pid)
            effects = [_effect(bed, server, name) for name in names[-SAMPLES:]]
    return Churn(
        namespaces=count,
        ready=spread(starts),
        at_rest=round(at_rest, 1),
        halfway=round(halfway, 1),
        after=round(after, 1),
        changes=changes,
        changed_in=round(took, 1),
        effect=spread(effects),
    )


def musts(found: Churn) -> list[Must]:
    """What must hold. Growth is what the second half of the changes adds: the first also fills caches."""
    return [
        Must(what="10,000 namespaces: start to ready, s", found=found.ready.median, relation="<", bound=2.5),
        Must(what="10,000 namespaces: MiB resident", found=found.after, relation="<", bound=80),
        # 0.5 MiB is 128 pages: what an allocator takes and gives back. 1,000 changes that leaked 1 kB each are 1 MiB.
        Must(what="growth over the second half, MiB", found=found.after - found.halfway, relation="<", bound=0.5),
        Must(what="annotation to effect, slowest, ms", found=found.effect.most, relation="<", bound=500),
    ]


def _start(bed: Bed) -> float:
    began = time.monotonic()
    with installed.served(bed, OURS):
        return time.monotonic() - began


def _change(bed: Bed, writers: ThreadPoolExecutor, names: list[str], numbers: Iterable[int]) -> None:
    """Each one another value: no two changes are the same."""

    def write(number: int) -> None:
        given = {"colocate.dask.org/enabled": "true", "colocate.dask.org/apart": str(number % 101)}
        bed.api.merge(f"{_PATH}/{names[number % len(names)]}", {"metadata": {"annotations": given}})

    list(writers.map(write, numbers))


def _effect(bed: Bed, server: Contender, name: str) -> float:
    document = bodies.recorded(bodies.WORKER)
    document["request"]["namespace"] = name
    body = bodies.encoded(document)
    with contenders.client(server.url, bed.plane.ca) as asking:
        if _patched(asking, body):
            raise AssertionError(f"{name} is enabled before its time")
        bed.api.merge(f"{_PATH}/{name}", {"metadata": {"annotations": bodies.ENABLED}})
        began = time.monotonic()
        while not _patched(asking, body):
            if time.monotonic() - began > PATIENCE:
                raise AssertionError(f"{name}: no effect within {PATIENCE:g} s")
        return 1000 * (time.monotonic() - began)


def _patched(asking: httpx.Client, body: bytes) -> bool:
    response = asking.post("/mutate", content=body, headers={"Content-Type": "application/json"})
    return "patch" in answered(response.content)
