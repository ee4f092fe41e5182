"""(b) HTTPS, straight to each server: connections, new TLS connections, sizes of body."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.load import bodies, contenders, programs
from tests.bench.load.contenders import GO, NOOP, OURS, Contender
from tests.bench.load.scrape import cpu_seconds
from tests.bench.load.spread import Spread, ratio, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST = 1.0  # seconds: bombardier takes no shorter duration
PATIENCE = "5s"  # that of the API server: what comes later has failed
ADDRESS = "https://address.invalid"  # until the server's is known
NEW = "new TLS"  # a connection for each request, 8 at once


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a server is asked.

    Attributes:
        connections: At once.
        kilobytes: Size of each review.
        fresh: Whether each request has a TLS connection of its own.
        first: Whether each review is of the first worker of another cluster, so that nothing kept answers it.
    """

    connections: int
    kilobytes: int = 4
    fresh: bool = False
    first: bool = False

    @property
    def title(self) -> str:
        """For a table."""
        return f"{NEW if self.fresh else self.connections}, {'first workers' if self.first else f'{self.kilobytes} kB'}"


FRESH = Load(connections=8, fresh=True)
MUST = (Load(connections=1), Load(connections=32))
SMALL = (*(Load(connections=count) for count in (1, 8, 32)), FRESH)
FIRSTS = tuple(Load(connections=count, first=True) for count in (1, 32))
CLUSTERS = 4096  # of them, then once more: more than anyone would keep, and seconds of load
QUICK = (*MUST, FRESH, Load(connections=32, kilobytes=100))
LOADS = (*SMALL, *(Load(connections=count, kilobytes=size) for size in bodies.SIZES[1:] for count in (1, 32)), *FIRSTS)


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
        files = {load: _file(load, Path(folder)) for load in loads}
        for server in servers:
            shoot(server, loads[0], files[loads[0]], LEAST)  # imports, caches, Go's heap
        taken: dict[tuple[Load, str], list[Shot]] = {}
        for number in range(rounds):
            for load in loads:
                for server in turned(servers, number):
                    shot = shoot(server, load, files[load], seconds)
                    taken.setdefault((load, server.name), []).append(shot)
    return [_figure(load, name, taken) for load in loads for name in contenders.NAMES]


def turned(servers: Sequence[Contender], number: int) -> list[Contender]:
    """The same, begun by another one."""
    begin = number % len(servers)
    return [*servers[begin:], *servers[:begin]]


def shoot(server: Contender, load: Load, file: Path, seconds: float) -> Shot:
    """Ask for so many seconds."""
    before = cpu_seconds(server.pid)
    fire, read = (_varied, taken_from_vegeta) if load.first else (_same, taken_from)
    printed = fire(f"{server.url}/mutate", load, file, seconds)
    return read(printed, cpu_seconds(server.pid) - before)


def _file(load: Load, folder: Path) -> Path:
    """What is sent: one review, or a request for each of many."""
    file = folder / f"{load.title}.json"
    if load.first:
        worker = bodies.recorded(bodies.WORKER)
        file.write_text("\n".join(_request(bodies.numbered(worker, each, first=True)) for each in range(CLUSTERS)))
    else:
        file.write_bytes(bodies.encoded(bodies.of_size(load.kilobytes)))
    return file


def _request(body: bytes) -> str:
    """As vegeta's JSON format has it, with a place for the address."""
    asked = {"method": "POST", "url": ADDRESS, "header": {"Content-Type": ["application/json"]}}
    return json.dumps({**asked, "body": base64.b64encode(body).decode()})


def _same(url: str, load: Load, file: Path, seconds: float) -> str:
    argv = [str(programs.load_generator()), "--fasthttp", "--insecure", "--latencies", "-m", "POST", "-f", str(file)]
    argv += ["-H", "Content-Type: application/json", "-c", str(load.connections), "-d", f"{round(seconds * 1000)}ms"]
    argv += ["-t", PATIENCE, *(["-H", "Connection: close"] if load.fresh else [])]
    return _run([*argv, "-p", "r", "-o", "json", url], seconds)


def _varied(url: str, load: Load, file: Path, seconds: float) -> str:
    """Closed loop, as bombardier's: as many workers as connections, and no rate."""
    vegeta, results, targets = str(programs.varied_load_generator()), file.with_suffix(".bin"), file.with_suffix(".at")
    targets.write_text(file.read_text().replace(ADDRESS, url))
    workers = str(load.connections)
    argv = [vegeta, "attack", "-format=json", "-insecure", "-http2=false", "-rate=0", f"-duration={seconds:g}s"]
    argv += [
        f"-timeout={PATIENCE}",
        f"-workers={workers}",
        f"-max-workers={workers}",
        f"-connections={workers}",
        f"-targets={targets}",
    ]
    _run([*argv, f"-output={results}"], seconds)
    return _run([vegeta, "report", "-type=json", str(results)], seconds)


def _run(argv: list[str], seconds: float) -> str:
    return subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 30, check=True).stdout


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
