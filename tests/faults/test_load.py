"""More than can be answered: shed before the deadline, answered as ever afterwards, memory bounded."""

from __future__ import annotations

import asyncio
import collections
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.faults import nasty
from tests.unit.objects import cluster, container, spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.conftest import Replicas

SECONDS = 60.0
CLIENTS = 200  # what one API server has in flight of creations at most, by default
DEADLINE = 5.0  # the API server's patience
# Some milliseconds each: 200 in flight are a second of work.
HEAVY = cluster(spec(*(container(*["timeout", "1"] * 200) for _ in range(8))))
LOST = 0  # instead of a status: the connection ended before there was one
Exchanges = list[tuple[int, float]]


@pytest.mark.parametrize(
    ("known", "growth"),
    [
        (True, 1.2),
        # All parsed while they wait for one live read: what Python keeps of their pages is strewn with what lives on.
        (False, 1.4),
    ],
    ids=["namespace known", "namespace unknown"],
)
def test_overload_is_shed_and_leaves_nothing_behind(
    replicas: Replicas, enabled: str, note: Callable[[str], None], known: bool, growth: float
) -> None:
    """A minute of more than a replica can answer: nothing comes after the deadline, 5 s later answers are as before."""
    namespace = enabled if known else "not-there"
    heavy, light = (nasty.body(each, namespace=namespace) for each in (HEAVY, cluster()))
    quiet = asyncio.run(flood(replicas.ports[0], light, 1, 2))
    asyncio.run(flood(replicas.ports[0], heavy, 20, 3))  # caches and buffers are as large as they get
    before = replicas.metric(0, "process_resident_memory_bytes")
    found = asyncio.run(flood(replicas.ports[0], heavy, CLIENTS, SECONDS))
    over = time.monotonic()
    usual = median(quiet)
    while (took := median(asyncio.run(flood(replicas.ports[0], light, 1, 0.3)))) > 2 * usual + 0.005:
        assert time.monotonic() - over < DEADLINE, f"{took * 1000:.1f} ms, usually {usual * 1000:.1f} ms"
    recovered = time.monotonic() - over
    time.sleep(3)  # what is over is looked after once a second
    after = replicas.metric(0, "process_resident_memory_bytes")
    statuses = collections.Counter(status for status, _ in found)
    slowest = max(took for _, took in found)
    note(
        f"{len(found)} on {CLIENTS} connections in {SECONDS:.0f} s: {dict(statuses)}, slowest {slowest:.1f} s; "
        f"as before after {recovered:.1f} s; memory {before / 1e6:.0f} MB, then {after / 1e6:.0f} MB"
    )
    status = "decided" if known else "namespace-unknown"
    assert replicas.metric(0, f'dask_colocate_admissions_total{{kind="DaskCluster",status="{status}"}}') > statuses[200]
    assert statuses.keys() <= {200, 429}, f"{statuses[LOST]} connections were lost"
    assert statuses[429] > 0
    assert slowest < DEADLINE
    assert after < growth * before


def median(found: Exchanges) -> float:
    """Of the seconds that exchanges took."""
    return sorted(took for _, took in found)[len(found) // 2]


async def flood(port: int, body: bytes, clients: int, seconds: float) -> Exchanges:
    """Status and seconds of each exchange; every client sends again as soon as it is answered."""
    found: Exchanges = []
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_client(port, body, until, found))
    return found


async def _client(port: int, body: bytes, until: float, found: Exchanges) -> None:
    head = f"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            await _exchange(port, head + body, until, found)
        except (OSError, asyncio.IncompleteReadError):
            found.append((LOST, time.monotonic() - began))


async def _exchange(port: int, request: bytes, until: float, found: Exchanges) -> None:
    """On one connection, as long as both sides keep it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        kept = True
        while kept and time.monotonic() < until:
            began = time.monotonic()
            writer.write(request)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            found.append((int(answer[9:12]), time.monotonic() - began))
            kept = b"connection: close" not in answer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
