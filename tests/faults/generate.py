"""Millions of generated inputs, each answered and its answer checked: `python -m tests.faults.generate --count N`."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import random
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field

import orjson

from tests.faults import arbitrary
from tests.faults.laws import BrokenLawError, Plenty, answer, check
from webhook.http.app import Webhook
from webhook.kube.namespaces.static import StaticNamespaces
from webhook.policy import Policy
from webhook.telemetry.recorder import Recorder

BATCH = 5_000
"""Inputs of one seed: a batch is repeated by its number alone."""
SHOWN = 3
MOST = 0.050
"""Seconds of processor time for one answer, beside the parsing."""


@dataclass(kw_only=True)
class Tally:
    """What came of a number of inputs."""

    inputs: int = 0
    refused: int = 0
    patched: int = 0
    escaped: int = 0
    invalid: int = 0
    worst: float = 0.0  # seconds beside the parsing
    largest: int = 0  # bytes of that input
    cpu: float = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count the other's too."""
        for name in ("inputs", "refused", "patched", "escaped", "invalid", "cpu"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.worst, self.largest = max((self.worst, self.largest), (other.worst, other.largest))
        self.failures += other.failures

    def __str__(self) -> str:
        """The summary."""
        return (
            f"{self.inputs} inputs: {self.patched} patched, {self.refused} refused as no review; "
            f"{self.escaped} exceptions escaped, {self.invalid} invalid answers; "
            f"worst single answer {self.worst * 1000:.1f} ms of processor time beside the parsing, "
            f"to {self.largest} bytes"
        )


def batch(number: int, size: int) -> Tally:
    """Answer the inputs of one seed and check the answers."""
    logging.disable()
    chance = random.Random(number)  # noqa: S311 - to be repeated, not to be secret
    webhook = Webhook(
        StaticNamespaces(arbitrary.namespaces(chance)), Policy(capacity_hint=True), Recorder(), capacity=Plenty()
    )
    gc.collect()
    gc.freeze()  # as `serve` does
    tally = Tally()
    for place in range(size):
        try:
            _one(arbitrary.body(chance), webhook, tally)
        except BrokenLawError as error:
            tally.invalid += 1
            tally.failures.append(f"batch {number}, input {place}: {error}")
        except Exception:  # noqa: BLE001 - that none gets out is what is measured
            tally.escaped += 1
            tally.failures.append(f"batch {number}, input {place}: {traceback.format_exc(limit=-3)}")
    gc.unfreeze()
    return tally


def _one(body: bytes, webhook: Webhook, tally: Tally) -> None:
    tally.inputs += 1
    began = time.process_time()
    given = answer(webhook, body)
    took = time.process_time() - began
    tally.cpu += took
    if took > max(tally.worst, MOST / 2):
        took = min(took, *(_beside(body, webhook) for _ in range(3)))  # the machine has other things to do
    tally.worst, tally.largest = max((tally.worst, tally.largest), (took, len(body)))
    tally.refused += given is None
    tally.patched += check(body, given, webhook)


def _beside(body: bytes, webhook: Webhook) -> float:
    """Seconds of processor time for an answer, beside the parsing of its JSON."""
    began = time.process_time()
    with suppress(orjson.JSONDecodeError):
        orjson.loads(body)
    parsed = time.process_time()
    answer(webhook, body)
    return time.process_time() - parsed - (parsed - began)


def run(count: int, processes: int, seconds: float, first: int) -> Tally:
    """Batches in processes of their own, until all inputs are done or the time is over."""
    total, deadline = Tally(), time.monotonic() + seconds
    with ProcessPoolExecutor(processes) as pool:
        batches = [pool.submit(batch, first + number, BATCH) for number in range(-(-count // BATCH))]
        for done in as_completed(batches):
            total.add(done.result())
            if time.monotonic() > deadline:
                pool.shutdown(cancel_futures=True)
                break
    return total


def main() -> None:
    """Generate, and print a summary; status 1 where a law was broken, an answer slow or an input left out."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.generate", description=__doc__)
    parser.add_argument("--count", type=int, default=2_000_000, help="inputs")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no new batch after")
    parser.add_argument("--first", type=int, default=0, help="number of the first batch, which is its seed")
    given = parser.parse_args()
    began = time.monotonic()
    total = run(given.count, given.processes, given.seconds, given.first)
    sys.stdout.write("".join(f"{failure}\n" for failure in total.failures[:SHOWN]))
    sys.stdout.write(f"{total}, {total.cpu / max(1, total.inputs) * 1e6:.0f} us on average; ")
    sys.stdout.write(f"{time.monotonic() - began:.0f} s\n")
    sys.exit(bool(total.failures) or total.worst >= MOST or total.inputs < given.count)


if __name__ == "__main__":
    main()
