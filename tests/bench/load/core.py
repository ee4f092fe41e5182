"""(a) The core alone: bytes in, bytes out, in this process; no HTTP, no TLS, no log."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from tests.bench.load import bodies
from tests.bench.load.spread import Spread, spread
from webhook import admission
from webhook.namespaces.static import Static
from webhook.observe import Recorder
from webhook.policy import Policy, resolve
from webhook.server import Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.bench.load.bodies import Document

DIFFERENT = 32  # reviews of a kind with a uid each: none is answered from a memory of the one before
ROUNDS, REPEATS = 15, 4  # 4 x 32 answers of 60 us take 8 ms: a thousand times what reading the clock takes


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
    """Each review in its namespace, by name, in turns."""
    asked = {name: [bodies.numbered(one, i) for i in range(DIFFERENT)] for name, (one, _) in reviews.items()}
    pure = {name: core(resolve(dict(place.annotations))) for name, (_, place) in reviews.items()}
    whole = {name: _webhook(one, place) for name, (one, place) in reviews.items()}
    loop = asyncio.new_event_loop()
    taken: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in reviews}
    for _ in range(rounds):
        for name, (alone, counted) in taken.items():
            alone.append(_microseconds(pure[name], asked[name]))
            counted.append(loop.run_until_complete(_awaited(whole[name], asked[name])))
    loop.close()
    return [
        Alone(kind=name, size=len(asked[name][0]), core=spread(alone), counted=spread(counted))
        for name, (alone, counted) in taken.items()
    ]


def core(policy: Policy) -> Callable[[bytes], bytes]:
    """The pure core where `policy` holds."""

    def answer(body: bytes) -> bytes:
        review = admission.parse(body)
        subject = admission.consider(review)
        verdict = subject if isinstance(subject, admission.Verdict) else admission.decide(subject, policy)
        return admission.render(review.uid, verdict)

    return answer


def _webhook(document: Document, place: Place) -> Webhook:
    others = [{"kind": "Namespace", "metadata": {"name": f"team-{number}"}} for number in range(place.among - 1)]
    own = yaml.safe_load(bodies.namespace(document, place.annotations))
    return Webhook(Static([*others, own]), resolve({}), Recorder())


def _microseconds(answer: Callable[[bytes], bytes], asked: list[bytes]) -> float:
    began = time.thread_time()
    for _ in range(REPEATS):
        for body in asked:
            answer(body)
    return (time.thread_time() - began) / (REPEATS * len(asked)) * 1e6


async def _awaited(webhook: Webhook, asked: list[bytes]) -> float:
    began = time.thread_time()
    for _ in range(REPEATS):
        for body in asked:
            await webhook.answer(body)
    return (time.thread_time() - began) / (REPEATS * len(asked)) * 1e6
