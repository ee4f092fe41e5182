"""(a) The core alone: bytes in, bytes out, in this process; no HTTP, no TLS, no log."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from tests.bench.load import bodies
from tests.bench.load.spread import Spread, spread
from webhook.admission.decision_cache import DecisionCache
from webhook.admission.request import parse
from webhook.admission.response import AdmissionResponse, render
from webhook.cli.wiring import tune_garbage_collector
from webhook.http.app import Webhook
from webhook.kube.capacity import NOT_WATCHED
from webhook.kube.namespaces.static import StaticNamespaces
from webhook.policy import resolve
from webhook.telemetry.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.bench.load.bodies import Document

ROUNDS = 15
ASKED = 128  # reviews each round, no two of them the same; 8 ms at 60 us, a thousand times what reading the clock takes


@dataclass(frozen=True, kw_only=True)
class Alone:
    """One kind of review.

    Attributes:
        kind: Of the review.
        size: Of it, bytes.
        core: Microseconds from bytes to bytes in the pure core: processor time, which others on the machine
            do not add to.
        counted: The same with the namespace looked up and the metrics counted, as a request has it.
    """

    kind: str
    size: int
    core: Spread
    counted: Spread


@dataclass(frozen=True, kw_only=True)
class Place:
    """A review's namespace: what is annotated on it, and how many namespaces are known."""

    annotations: Mapping[str, str] = field(default_factory=lambda: bodies.ENABLED)
    among: int = 1


def measured(rounds: int = ROUNDS) -> list[Alone]:
    """Every kind, in turns."""
    kinds = {kind: (bodies.recorded(kind), Place(annotations=bodies.given(kind))) for kind in bodies.KINDS}
    return timed(kinds, rounds)


def timed(reviews: Mapping[str, tuple[Document, Place]], rounds: int) -> list[Alone]:
    """Each review in its namespace, by name, in turns, with the garbage collector as `serve` has it."""
    tune_garbage_collector()
    alone = {name: core(place) for name, (_, place) in reviews.items()}
    whole = {name: webhook(one, place) for name, (one, place) in reviews.items()}
    loop = asyncio.new_event_loop()
    taken: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in reviews}
    for number in range(-1, rounds):  # the first is for what is imported, compiled and kept
        for name, (one, _) in reviews.items():
            asked = _asked(one, number + 1, first=name == bodies.FIRST)
            times = _microseconds(alone[name], asked), loop.run_until_complete(_awaited(whole[name], asked))
            if number >= 0:
                for kept, each in zip(taken[name], times, strict=True):
                    kept.append(each)
    loop.close()
    return [
        Alone(kind=name, size=len(bodies.encoded(reviews[name][0])), core=spread(pure), counted=spread(counted))
        for name, (pure, counted) in taken.items()
    ]


def core(place: Place) -> Callable[[bytes], bytes]:
    """The pure core as the server uses it, with what it keeps of worker pods that share everything that counts."""
    verdicts = DecisionCache(resolve({}), NOT_WATCHED.hints)
    annotations = frozenset(place.annotations.items())

    def answer(body: bytes) -> bytes:
        review = parse(body)
        subject = verdicts.consider(review)
        if isinstance(subject, AdmissionResponse):
            return render(subject).to(review.uid)
        return verdicts.answer(review, subject, annotations).to(review.uid)

    return answer


def _asked(document: Document, round_: int, *, first: bool) -> list[bytes]:
    numbers = range(round_ * ASKED, (round_ + 1) * ASKED)
    return [bodies.numbered(document, number, cluster=number if first else None) for number in numbers]


def webhook(document: Document, place: Place) -> Webhook:
    """What a server asks, with the review's namespace among the known ones."""
    others = [{"kind": "Namespace", "metadata": {"name": f"team-{number}"}} for number in range(place.among - 1)]
    own = yaml.safe_load(bodies.namespace(document, place.annotations))
    return Webhook(StaticNamespaces([*others, own]), resolve({}), Recorder())


def _microseconds(answer: Callable[[bytes], bytes], asked: list[bytes]) -> float:
    began = time.thread_time()
    for body in asked:
        answer(body)
    return (time.thread_time() - began) / len(asked) * 1e6


async def _awaited(webhook: Webhook, asked: list[bytes]) -> float:
    began = time.thread_time()
    for body in asked:
        await webhook.answer(body)
    return (time.thread_time() - began) / len(asked) * 1e6
