"""(c) Through a real API server: `POST pods?dryRun=All`, which runs admission and stores nothing."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.load import direct, installed, programs
from tests.bench.load.contenders import GO, OURS
from tests.bench.load.direct import Shot
from tests.bench.load.installed import NAMES, NOTHING, POLICY, Room
from tests.bench.load.scrape import cpu_seconds, resident_mib
from tests.bench.load.spread import Spread, ratio, spread
from tests.bench.must import Must

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.e2e.bed.bed import Bed

CLIENTS = (1, 16)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One contender with so many clients.

    Attributes:
        name: Its name.
        clients: At once.
        added: Median time that it adds to the round's median without a webhook, ms.
        p50: Of the API call, ms.
        p99: The same.
        rate: API calls a second.
        cpu: Processor time of the webhook for each admission, ms.
        server_cpu: The same of the API server, which is where the policy runs.
        resident: MiB of the webhook after the load.
        failed: API calls that were refused.
        over: Ratios of rates to the others', by name; for our webhook alone.
        cpu_over_go: Ratio of `cpu` to the Go webhook's; for our webhook alone.
    """

    name: str
    clients: int
    added: Spread
    p50: Spread
    p99: Spread
    rate: Spread
    cpu: Spread
    server_cpu: Spread
    resident: float
    failed: int
    over: dict[str, Spread]
    cpu_over_go: Spread | None


@dataclass(frozen=True, kw_only=True)
class Call:
    """How pods are created: `dry` ones are not stored."""

    clients: int
    count: int = 0
    seconds: float = 0
    dry: bool = True


def measured(bed: Bed, rounds: int, seconds: float) -> list[Figure]:
    """Everyone in turns, each round begun by another one."""
    with installed.rooms(bed) as rooms:
        for room in rooms:
            call(bed, room, Call(clients=16, seconds=direct.LEAST))
        taken: dict[tuple[str, int], list[tuple[Shot, float]]] = {}
        for number in range(rounds):
            for clients in CLIENTS:
                for room in turned(rooms, number):
                    shot = call(bed, room, Call(clients=clients, seconds=seconds))
                    taken.setdefault((room.name, clients), []).append(shot)
        memory = {room.name: resident_mib(room.contender.pid) for room in rooms if room.contender}
    return [_figure(name, clients, taken, memory.get(name, 0)) for clients in CLIENTS for name in NAMES]


def turned(rooms: Sequence[Room], number: int) -> list[Room]:
    """The same, begun by another one."""
    begin = number % len(rooms)
    return [*rooms[begin:], *rooms[:begin]]


def call(bed: Bed, room: Room, how: Call) -> tuple[Shot, float]:
    """Create pods in a room; also the API server's processor time for each, ms."""
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "pod.json"
        body.write_text(json.dumps(installed.worker()))
        return create(bed, room.pods, body, how, room.contender.pid if room.contender else None)


def create(bed: Bed, path: str, body: Path, how: Call, pid: int | None) -> tuple[Shot, float]:
    """Send `body` again and again; `pid` is the process whose time counts as the shot's."""
    argv = [str(programs.load_generator()), "--fasthttp", "--insecure", "--latencies", "-m", "POST", "-f", str(body)]
    argv += ["-H", "Content-Type: application/json", "-H", f"Authorization: Bearer {bed.plane.token}", "-t", "30s"]
    argv += ["-c", str(how.clients), *(["-n", str(how.count)] if how.count else ["-d", f"{how.seconds:g}s"])]
    argv += ["-p", "r", "-o", "json", f"{bed.plane.url}{path}{'?dryRun=All' if how.dry else ''}"]
    (server,) = (each.child.pid for each in bed.plane.processes if each.name == "kube-apiserver")
    before = cpu_seconds(server), cpu_seconds(pid) if pid else 0
    done = subprocess.run(argv, capture_output=True, text=True, timeout=how.seconds + 120, check=True)
    shot = direct.taken_from(done.stdout, (cpu_seconds(pid) if pid else 0) - before[1])
    return shot, 1000 * (cpu_seconds(server) - before[0]) / max(1, json.loads(done.stdout)["result"]["req2xx"])


def _figure(name: str, clients: int, taken: dict[tuple[str, int], list[tuple[Shot, float]]], resident: float) -> Figure:
    shots = {each: [shot for shot, _ in taken[each, clients]] for each in NAMES}
    mine = shots[name]
    rates = {each: [shot.rate for shot in found] for each, found in shots.items()}
    ours = name == OURS
    return Figure(
        name=name,
        clients=clients,
        added=spread([shot.p50 - bare.p50 for shot, bare in zip(mine, shots[NOTHING], strict=True)]),
        p50=spread([shot.p50 for shot in mine]),
        p99=spread([shot.p99 for shot in mine]),
        rate=spread(rates[name]),
        cpu=spread([shot.cpu for shot in mine]),
        server_cpu=spread([cpu for _, cpu in taken[name, clients]]),
        resident=round(resident, 1),
        failed=sum(shot.failed for shot in mine),
        over={each: ratio(rates[OURS], rates[each]) for each in (POLICY, GO) if ours},
        cpu_over_go=ratio([shot.cpu for shot in mine], [shot.cpu for shot in shots[GO]]) if ours else None,
    )


def musts(found: Sequence[Figure]) -> list[Must]:
    """What must hold."""
    at = {(each.name, each.clients): each for each in found}
    few, many = at[OURS, 1], at[OURS, 16]
    return [
        Must(
            what="API server, 1 client: added median over the policy's, ms",
            found=few.added.median - at[POLICY, 1].added.median,
            relation="<=",
            bound=0,
        ),
        Must(
            what="API server, 16 clients: calls/s over the policy's",
            found=many.over[POLICY].median,
            relation=">=",
            bound=1.1,
        ),
        *(_processor(each) for each in (few, many)),
    ]


def _processor(ours: Figure) -> Must:
    found = ours.cpu_over_go.median if ours.cpu_over_go else float("nan")
    return Must(what=f"API server, clients {ours.clients}: CPU each over Go's", found=found, relation="<=", bound=0.5)
