"""What breaks in a cluster, broken on purpose under constant admissions; each test prints its figures."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.bed import history, waiting
from tests.e2e.examples import manifest
from tests.e2e.status_process import document
from tests.faults.admissions import Admissions, Became
from tests.faults.conftest import HOSTS
from webhook.http.limits import REQUEST_TIMEOUT
from webhook.kube.namespaces.watched import WATCH_READ_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.bed.bed import Bed
    from tests.e2e.bed.process import Process
    from tests.faults.conftest import Replicas

UNREACHABLE = 60.0  # seconds
STEPPED = 5.0  # seconds under each clock: 50 calls


def flawless(load: Admissions) -> None:
    """No call failed, none was missed, none was mutated by halves."""
    assert load.failures == []
    assert {became for _, became in load.calls} == {Became.MUTATED}


def called(load: Admissions, replicas: Replicas, number: int) -> None:
    """Let one replica be called, and count from then on: connections are kept, and all may be the other one's."""
    name = 'dask_colocate_admissions_total{kind="DaskCluster",status="decided"}'
    for _ in range(20):
        replicas.service.cut()
        time.sleep(1)  # calls that were cut have ended
        before = replicas.metric(number, name)
        time.sleep(1)
        if replicas.metric(number, name) > before + 5:
            load.forget()
            return
    pytest.fail(f"replica {number} was called by nobody")


# ---- the webhook ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_replica_is_ended(
    bed: Bed, replicas: Replicas, enabled: str, note: Callable[[str], None], how: signal.Signals
) -> None:
    """A replica that ends, asked or not, fails no API call; told to stop it misses no worker either."""
    with Admissions(bed=bed, namespace=enabled) as load:
        called(load, replicas, 0)
        began = time.monotonic()
        replicas.processes[0].child.send_signal(how)
        replicas.processes[0].child.wait(20)
        time.sleep(3)
        replicas.start(0)
        time.sleep(1)
    note(load.told(began))
    assert load.count(Became.FAILED) == load.count(Became.WRONG) == 0
    assert load.count(Became.MISSED) <= (2 if how is signal.SIGKILL else 0)  # what it was answering at that moment


def test_both_replicas_are_restarted_in_turn(
    bed: Bed, replicas: Replicas, enabled: str, note: Callable[[str], None]
) -> None:
    """A rolling restart fails no call and misses no worker."""
    with Admissions(bed=bed, namespace=enabled) as load:
        began = time.monotonic()
        for number in range(2):
            replicas.processes[number].child.terminate()
            replicas.processes[number].child.wait(20)
            replicas.start(number)
    note(load.told(began))
    flawless(load)


@pytest.mark.usefixtures("gpu_nodes")
def test_no_replica_is_left(bed: Bed, replicas: Replicas, enabled: str, note: Callable[[str], None]) -> None:
    """While none can answer, workers are missed and no call fails; afterwards `status` lists exactly those."""
    with Admissions(bed=bed, namespace=enabled) as load:
        workers(bed, enabled, "before")
        began = time.monotonic()
        for process in replicas.processes:
            process.child.kill()
            process.child.wait(20)
        missed = workers(bed, enabled, "meanwhile")
        for number in range(2):
            replicas.start(number)
        back = time.monotonic()
        time.sleep(3)
        workers(bed, enabled, "afterwards")
    listed = {each["pod"]: each["cause"] for each in document(bed, "--namespace", enabled)["missed"]}
    note(f"{load.told(began)}; of workers that stayed {len(missed)} missed, listed {len(listed)}")
    assert load.count(Became.FAILED) == load.count(Became.WRONG) == 0
    assert load.count(Became.MISSED) > 0
    assert load.last_bad(back) < 1
    assert listed == dict.fromkeys(missed, "webhook-down")


def workers(bed: Bed, namespace: str, name: str) -> list[str]:
    """The pods of a new cluster that its operator has made; the bed's nodes have GPUs for three of them."""
    bed.kubectl(
        "apply", "-n", namespace, "-f", "-", stdin=manifest("cluster", workers=2, scheduler_gpu=False, name=name)
    )
    return [pod["metadata"]["name"] for pod in bed.wait_for_workers(namespace, name, 2)]


def test_certificate_is_swapped(bed: Bed, replicas: Replicas, enabled: str, note: Callable[[str], None]) -> None:
    """New files are served within seconds, and no call notices."""
    before = ssl.get_server_certificate(("127.0.0.1", replicas.ports[0]))
    with Admissions(bed=bed, namespace=enabled) as load:
        called(load, replicas, 0)
        began = time.monotonic()
        bed.plane.authority.issue("faults", HOSTS)
        waiting.until(
            lambda: ssl.get_server_certificate(("127.0.0.1", replicas.ports[0])) != before, 60, "served", lambda: ""
        )
        took = time.monotonic() - began
        time.sleep(1)
        flawless(load)
        called(load, replicas, 0)  # on a new connection, with the new certificate
        time.sleep(1)
    note(f"served after {took:.1f} s; {load.told(began)}")
    flawless(load)


def test_disk_is_full(bed: Bed, replicas: Replicas, enabled: str, note: Callable[[str], None]) -> None:
    """A log that nobody can write stops no answer."""
    replicas.processes[0].stop()
    replicas.start(0, stderr="2>/dev/full")
    with Admissions(bed=bed, namespace=enabled) as load:
        called(load, replicas, 0)
        began = time.monotonic()
        time.sleep(4)
    note(load.told(began))
    replicas.processes[0].stop()
    replicas.start(0)
    flawless(load)


def test_clock_is_stepped(
    bed: Bed, replicas: Replicas, enabled: str, note: Callable[[str], None], tmp_path: Path
) -> None:
    """An hour forth and two back change nothing: the namespaces are no older for it, and no call notices."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip("NOT RUN: there is no libfaketime in /usr/lib: apt-get install libfaketime")
    offset = tmp_path / "offset"
    offset.write_text("+0")
    replicas.processes[0].stop()
    given = f"LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={offset} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1"
    replicas.start(0, environment=given)
    good_for = replicas.metric(0, "certs_expiry_seconds")
    with Admissions(bed=bed, namespace=enabled) as load:
        called(load, replicas, 0)
        began = time.monotonic()
        seen = []
        for hours in (1, -1):
            offset.write_text(f"{3600 * hours:+}")
            time.sleep(STEPPED)
            seen.append(
                [round((good_for - replicas.metric(0, "certs_expiry_seconds")) / 3600), replicas.get(0, "/readyz")]
            )
            seen[-1].append(replicas.metric(0, "dask_colocate_namespace_cache_age_seconds"))
    note(load.told(began))
    replicas.processes[0].stop()
    replicas.start(0)
    flawless(load)
    assert [hours for hours, _, _ in seen] == [1, -1]
    assert {ready for _, ready, _ in seen} == {"ok\n"}
    assert all(0 <= age < WATCH_READ_TIMEOUT for _, _, age in seen)


def test_crowds_of_clients(bed: Bed, replicas: Replicas, enabled: str, note: Callable[[str], None]) -> None:
    """499 idle connections and one that sends a byte a second keep nobody out, and are closed."""
    before = replicas.metric(0, "process_resident_memory_bytes")
    with ExitStack() as stack, Admissions(bed=bed, namespace=enabled) as load:
        called(load, replicas, 0)
        began = time.monotonic()
        idle = [stack.enter_context(shaken(bed, replicas.ports[0])) for _ in range(499)]
        slow = trickled(stack.enter_context(shaken(bed, replicas.ports[0])))
        left = sum(not closed(each) for each in idle)
    time.sleep(3)  # what is over is looked after once a second
    after = replicas.metric(0, "process_resident_memory_bytes")
    memory = f"{before / 1e6:.0f} MB, then {after / 1e6:.0f} MB"
    note(f"closed after {slow:.1f} s, {len(idle)} idle, {left} left; {load.told(began)}; memory {memory}")
    flawless(load)
    assert slow < 3 * REQUEST_TIMEOUT
    assert left == 0
    assert after < 1.2 * before


def shaken(bed: Bed, port: int) -> ssl.SSLSocket:
    """A connection to a replica that has shaken hands and asked nothing."""
    context = ssl.create_default_context(cafile=str(bed.plane.ca))
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=30), server_hostname="127.0.0.1")


def closed(connection: ssl.SSLSocket) -> bool:
    """Whether the server ends a connection."""
    connection.settimeout(3 * REQUEST_TIMEOUT)
    try:
        while connection.recv(99):
            continue
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def trickled(slow: socket.socket) -> float:
    """Send a byte a second until the server has had enough; the seconds, infinite where it never had."""
    began = time.monotonic()
    slow.settimeout(1)
    slow.sendall(b"POST /mutate HTTP/1.1\r\nhost: ")
    while time.monotonic() - began < 30:
        try:
            slow.sendall(b"x")
            slow.recv(99)
        except TimeoutError:
            continue
        except OSError:
            pass
        return time.monotonic() - began
    return float("inf")


# ---- the API server -------------------------------------------------------------------------------


def test_api_server_is_unreachable(bed: Bed, replicas: Replicas, enabled: str, note: Callable[[str], None]) -> None:
    """For 60 s the replicas cannot reach the API server, which calls them: what is known serves on, its age shows."""
    with Admissions(bed=bed, namespace=enabled, rate=4) as load:
        began = time.monotonic()
        replicas.api.state = "refused"
        replicas.api.cut()
        time.sleep(UNREACHABLE)
        age = replicas.metric(0, "dask_colocate_namespace_cache_age_seconds")
        replicas.api.state = "open"
        healed = time.monotonic()
        recovered(bed, replicas, enabled)
        took = time.monotonic() - healed
    note(f"age shown {age:.0f} s, followed again after {took:.1f} s; {load.told(began)}")
    assert age > UNREACHABLE * 0.9
    flawless(load)


def recovered(bed: Bed, replicas: Replicas, name: str) -> None:
    """Wait until both replicas have heard of the API server since; a change of the namespace makes it speak."""
    bed.api.merge(f"/api/v1/namespaces/{name}", {"metadata": {"annotations": {"touched": str(time.monotonic())}}})
    ages = "dask_colocate_namespace_cache_age_seconds"
    waiting.until(lambda: all(replicas.metric(each, ages) < 5 for each in range(2)), 60, "heard again", lambda: "")


def test_watch_is_stuck(bed: Bed, replicas: Replicas, enabled: str, note: Callable[[str], None]) -> None:
    """A half-open connection, on which nothing comes and nothing ends, changes nothing for what is known."""
    with Admissions(bed=bed, namespace=enabled) as load:
        began = time.monotonic()
        replicas.api.state = "stuck"
        time.sleep(5)
        replicas.api.cut()
        replicas.api.state = "open"
        recovered(bed, replicas, enabled)
    note(load.told(began))
    flawless(load)


def test_history_is_compacted(bed: Bed, replicas: Replicas, enabled: str, note: Callable[[str], None]) -> None:
    """What changed while the watch was cut and the history lost is known when it is back: by a new list."""
    before = [anew(each) for each in replicas.processes]
    replicas.api.state = "refused"
    replicas.api.cut()
    path = f"/api/v1/namespaces/{enabled}"
    bed.api.merge(path, {"metadata": {"annotations": {"colocate.dask.org/gpu-limit": "2"}}})
    history.compacted(bed.plane)
    history.restarted(bed.plane)  # its memory of what happened would do for the watch
    with Admissions(bed=bed, namespace=enabled, limits=("1", "2")) as load:
        began = time.monotonic()
        replicas.api.state = "open"
        waiting.until(
            lambda: all(anew(each) > listed for each, listed in zip(replicas.processes, before, strict=True)),
            60,
            "listed anew",
            lambda: "",
        )
        took = time.monotonic() - began
        for number in range(2):
            called(load, replicas, number)
            load.limits = ("2",)
            load.forget()
            time.sleep(1)
            flawless(load)
    note(f"listed anew after {took:.1f} s; {load.told(began)}")
    flawless(load)


def anew(replica: Process) -> int:
    """How often a replica has listed because the history it knew was lost."""
    return replica.log.read_text().count("namespaces: watch expired, relisting")


def test_etcd_is_paused(bed: Bed, replicas: Replicas, enabled: str, note: Callable[[str], None]) -> None:
    """For 5 s the store stands still: calls wait, and none is mutated otherwise."""
    etcd = history.newest(bed.plane, "etcd").child.pid
    with Admissions(bed=bed, namespace=enabled) as load:
        time.sleep(2)  # else the namespace itself is too new for the watch
        began = time.monotonic()
        os.kill(etcd, signal.SIGSTOP)
        try:
            time.sleep(5)
        finally:
            os.kill(etcd, signal.SIGCONT)
        time.sleep(3)
    note(load.told(began))
    assert replicas.get(0, "/readyz") == "ok\n"
    flawless(load)


def test_api_server_is_killed(bed: Bed, replicas: Replicas, enabled: str, note: Callable[[str], None]) -> None:
    """The API server dies and comes back: calls fail while it is gone, none is missed, and it is watched again."""
    with Admissions(bed=bed, namespace=enabled) as load:
        began = time.monotonic()
        back = history.restarted(bed.plane)
        recovered(bed, replicas, enabled)
        took = time.monotonic() - back
        time.sleep(2)
    note(f"gone for {back - began:.1f} s, watched again {took:.1f} s later; {load.told(began)}")
    assert load.count(Became.MISSED) == load.count(Became.WRONG) == 0
    assert load.last_bad(back) < 10
