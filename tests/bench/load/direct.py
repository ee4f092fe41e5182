"""(b) HTTPS, straight to each server: connections, new TLS connections, sizes of body."""

from __future__ import annotations

import itertools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.load import bodies, contenders, programs, varied
from tests.bench.load.contenders import GO, NOOP, OURS, Contender
from tests.bench.load.scrape import cpu_seconds
from tests.bench.load.spread import Spread, ratio, spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LEAST = 1.0  # seconds: bombardier takes no shorter duration
NEW = "new TLS"  # a connection for each request, 8 at once


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a server is asked.

    Attributes:
        connections: At once.
        kilobytes: Size of each review.
        fresh: Whether each request has a TLS connection of its own.
        workers: Of each cluster, one after the other: one review in so many is of a cluster's first worker, which
            nothing kept answers. 0 where every review is the same one.
    """

    connections: int
    kilobytes: int = 4
    fresh: bool = False
    workers: int = 0

    @property
    def title(self) -> str:
        """For a table."""
        of_each = {0: f"{self.kilobytes} kB", 1: "first workers"}
        return f"{NEW if self.fresh else self.connections}, {of_each.get(self.workers, f'clusters of {self.workers}')}"


FRESH = Load(connections=8, fresh=True)
MUST = (Load(connections=1), Load(connections=32))
SMALL = (*(Load(connections=count) for count in (1, 8, 32)), FRESH)
# First workers alone are the worst that there is; clusters of 16 are what a burst looks like.
VARIED = tuple(Load(connections=count, workers=workers) for workers in (1, 16) for count in (1, 32))
CLUSTERS = 1024  # of each load in each round, then once more: twice what the webhook keeps
QUICK = (*MUST, FRESH, Load(connections=32, kilobytes=100))
LOADS = (*SMALL, *(Load(connections=count, kilobytes=size) for size in bodies.SIZES[1:] for count in (1, 32)), *VARIED)


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One server under one load for one round.

    Attributes:
        rate: Requests a second.
        p50: Of the answers, ms.
        p99: The same.
        cpu: Processor time of the server for each request, ms.
        failed: Requests without a 2xx answer.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    failed: int


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One server under one load, over all rounds. `over` are ratios of rates to the other servers', by name."""

    load: Load
    server: str
    rate: Spread
    p50: Spread
    p99: Spread
    cpu: Spread
    failed: int
    over: dict[str, Spread]


def measured(loads: Sequence[Load], rounds: int, seconds: float) -> list[Figure]:
    """Every load on every server, the servers in turns within each round, each round begun by another one."""
    with contenders.without_kubernetes() as servers, tempfile.TemporaryDirectory() as folder:
        contenders.agree(servers)
        begins = itertools.count(0, CLUSTERS)  # no cluster is met twice: one may still be kept from the load before
        for server in servers:
            shoot(server, loads[0], _file(loads[0], Path(folder), next(begins)), LEAST)  # imports, caches, Go's heap
        taken: dict[tuple[Load, str], list[Shot]] = {}
        for number in range(rounds):
            for load in loads:
                file = _file(load, Path(folder), next(begins))
                for server in turned(servers, number):
                    shot = shoot(server, load, file, seconds)
                    taken.setdefault((load, server.name), []).append(shot)
    return [_figure(load, name, taken) for load in loads for name in contenders.NAMES]


def turned(servers: Sequence[Contender], number: int) -> list[Contender]:
    """The same, begun by another one."""
    begin = number % len(servers)
    return [*servers[begin:], *servers[:begin]]


def shoot(server: Contender, load: Load, file: Path, seconds: float) -> Shot:
    """Ask for so many seconds."""
    before = cpu_seconds(server.pid)
    fire, read = (_varied, taken_from_vegeta) if load.workers else (_same, taken_from)
    printed = fire(f"{server.url}/mutate", load, file, seconds)
    return read(printed, cpu_seconds(server.pid) - before)


def reviews(load: Load, begin: int) -> Iterator[bytes]:
    """Of the workers of so many clusters, the first of which is the `begin`th."""
    worker = bodies.recorded(bodies.WORKER)
    for number in range(begin * load.workers, (begin + CLUSTERS) * load.workers):
        yield bodies.numbered(worker, number, cluster=number // load.workers)


def _file(load: Load, folder: Path, begin: int) -> Path:
    """What is sent: one review, or a request for each of many."""
    file = folder / f"{load.title}.json"
    if load.workers:
        varied.write(file, reviews(load, begin))
    else:
        file.write_bytes(bodies.encoded(bodies.of_size(load.kilobytes)))
    return file


def _same(url: str, load: Load, file: Path, seconds: float) -> str:
    argv = [str(programs.load_generator()), "--fasthttp", "--insecure", "--latencies", "-m", "POST", "-f", str(file)]
    argv += ["-H", "Content-Type: application/json", "-c", str(load.connections), "-d", f"{round(seconds * 1000)}ms"]
    argv += ["-t", varied.PATIENCE, *(["-H", "Connection: close"] if load.fresh else [])]
    return varied.run([*argv, "-p", "r", "-o", "json", url], seconds)


def _varied(url: str, load: Load, file: Path, seconds: float) -> str:
    """Closed loop, as bombardier's: as many workers as connections, and no rate."""
    return varied.fired(url, file, varied.Attack(connections=load.connections, seconds=seconds))


def taken_from_vegeta(printed: str, cpu: float) -> Shot:
    """As `taken_from`, in what `vegeta report` printed; its times are in nanoseconds."""
    result = json.loads(printed)
    answered = result["status_codes"].get("200", 0)
    return Shot(
        rate=result["throughput"],
        p50=result["latencies"]["50th"] / 1e6,
        p99=result["latencies"]["99th"] / 1e6,
        cpu=1000 * cpu / max(1, answered),
        failed=result["requests"] - answered,
    )


def taken_from(printed: str, cpu: float) -> Shot:
    """The shot in what bombardier printed; its latencies are in microseconds.

    Args:
        printed: JSON.
        cpu: What the server used meanwhile, s.
    """
    result = json.loads(printed)["result"]
    answered = result["req2xx"]
    failed = sum(result[name] for name in ("req1xx", "req3xx", "req4xx", "req5xx", "others"))
    percentiles = result["latency"]["percentiles"]
    return Shot(
        rate=answered / result["timeTakenSeconds"],
        p50=percentiles["50"] / 1000,
        p99=percentiles["99"] / 1000,
        cpu=1000 * cpu / max(1, answered),
        failed=failed,
    )


def _figure(load: Load, name: str, taken: dict[tuple[Load, str], list[Shot]]) -> Figure:
    shots = taken[load, name]
    rates = {each: [shot.rate for shot in taken[load, each]] for each in contenders.NAMES}
    return Figure(
        load=load,
        server=name,
        rate=spread(rates[name]),
        p50=spread([shot.p50 for shot in shots]),
        p99=spread([shot.p99 for shot in shots]),
        cpu=spread([shot.cpu for shot in shots]),
        failed=sum(shot.failed for shot in shots),
        over={each: ratio(rates[name], rates[each]) for each in (NOOP, GO) if name == OURS},
    )
