"""The loop: ask for a pair, put its bundle in force, serve it. Level-triggered, in a thread of its own.

Nothing is remembered of an event but that there was one; every pass reads what is there, so a pass can be
repeated, skipped or interrupted anywhere.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime

import urllib3

from certs.check import certificates, problems
from certs.issue import Pair
from certs.kube import ApiError, Clock, ConflictError
from certs.observe import Failed, Injected, Observer, Served
from certs.plan import adopts
from certs.serving import BadPairError, Serving
from certs.sources import BadOfferError, Offer, Source
from certs.trust import Configuration, Trust
from certs.watch import Watch

_BREATH = 0.1
"""Seconds between two passes at least: whoever undoes our work at once does not make us a busy loop."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often things happen, in seconds."""

    resync: float = 30
    """Between two passes with no event; for files, the longest a change goes unseen."""
    retry: float = 1
    """After a failed pass, doubling up to ``resync``."""
    settle: float = 2
    """From a bundle in force to a leaf that needs it: each API server hears of a bundle by a watch of its own."""


@dataclass(frozen=True, kw_only=True)
class State:
    """What the last pass came to: until when the served leaf lasts, and why calls fail meanwhile, if they do."""

    expires: datetime
    wrong: tuple[str, ...]


@dataclass(kw_only=True)
class Rotation:
    """Keeps one ``Serving`` supplied: ``start`` it, ask whether it is ``ready``, ``stop`` it."""

    serving: Serving
    source: Source
    clock: Clock
    observe: Observer
    configuration: Configuration | None = None
    """Where the bundle in force is read; ``None`` where nobody can know it."""
    injects: bool = False
    """Whether to put the source's bundle in force there; false when somebody else does."""
    watched: tuple[Callable[[], AbstractContextManager[urllib3.BaseHTTPResponse]], ...] = ()
    """Streams of changes, each of which brings the next pass forward."""
    pace: Pace = field(default_factory=Pace)
    _state: State | None = None
    _begun: Pair | None = None
    _bundle: bytes = b""
    _trust: Trust | None = None
    _trust_since: float = 0.0
    _said: dict[str, str] = field(default_factory=dict)
    _wake: threading.Event = field(default_factory=threading.Event)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _watches: list[Watch] = field(default_factory=list)
    _thread: threading.Thread | None = None

    @property
    def ready(self) -> bool:
        """Whether calls succeed: a leaf is served, in its time, that every bundle in force trusts."""
        state = self._state
        return state is not None and not state.wrong and self.clock() <= state.expires

    @property
    def wrong(self) -> tuple[str, ...]:
        """Why it is not ready, as sentences."""
        state = self._state
        return ("no certificate is served yet",) if state is None else state.wrong

    def start(self) -> None:
        """Begin, with a first pass at once, and return."""
        for changes in self.watched:
            watch = Watch(changes=changes, changed=self._wake.set, failed=lambda text: self._fail("watch", text))
            watch.start()
            self._watches.append(watch)
        self._thread = threading.Thread(target=self._run, name="certs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End within moments; what is served stays served."""
        self._stopped.set()
        self._wake.set()
        for watch in self._watches:
            watch.stop()
        if self._thread is not None:
            self._thread.join(timeout=2)

    def once(self) -> float:
        """One pass; seconds until the next is due.

        Raises:
            ApiError, OSError, ValueError: the source has nothing to offer; what is served stays served.
        """
        found = self._found()  # before the bundle that may replace it is read: see Configuration.inject
        offer = self._offer(found)
        if self.injects and found is not None and offer.bundle is not None:
            found = self._inject(offer.bundle, found)
        return self._serve(offer, found, self.clock())

    def _run(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            self._wake.clear()
            try:
                pause = self.once()
                failures = 0
            except Exception as error:  # noqa: BLE001 - whatever it is, the next pass may fare better
                self._fail("source", str(error) or type(error).__name__)
                pause = min(self.pace.retry * 2**failures, self.pace.resync)
                failures = min(failures + 1, 10)
            self._stopped.wait(_BREATH)
            self._wake.wait(pause)

    def _found(self) -> Trust | None:
        if self.configuration is None:
            return None
        try:
            found = self._noted(self.configuration.read())
        except ApiError as error:
            self._fail("trust", str(error))
            return None
        self._said.pop("trust", None)
        return found

    def _noted(self, trust: Trust) -> Trust:
        if trust != self._trust:
            self._trust, self._trust_since = trust, time.monotonic()
        return trust

    def _offer(self, found: Trust | None) -> Offer:
        """Ask the source; take what is refused only when there is nothing better."""
        known = found.bundles if found else ()
        try:
            offer = self.source.offer((*known, self._bundle), self.clock)
            self._said.pop("source", None)
        except BadOfferError as error:
            self._fail("source", str(error))
            served = self.serving.pair
            sound = served and not any(one.blocking for one in problems(served, None, (), self.clock()))
            offer = Offer(served, error.offer.bundle) if served and sound else error.offer
        self._bundle = offer.bundle or self._bundle
        return offer

    def _inject(self, bundle: bytes, found: Trust) -> Trust:
        if self.configuration is None or not found.differs(bundle):
            return found
        try:
            found = self._noted(self.configuration.inject(bundle, found))
        except ConflictError:
            self._wake.set()  # somebody changed it since we looked, most likely to the same: look again
            return found
        except ApiError as error:
            self._fail("inject", str(error))
            return found
        self._said.pop("inject", None)
        logger.info("put the bundle in force in %s", self.configuration.resource.title)
        self.observe(Injected(self.configuration.resource.name))
        return found

    def _serve(self, offer: Offer, found: Trust | None, at: datetime) -> float:
        in_force = self._in_force(found)
        settling = self.pace.settle - (time.monotonic() - self._trust_since) if self.configuration else 0.0
        served, pause = self.serving.pair, self.pace.resync
        if offer.pair != served and adopts(served, offer.pair, in_force, at, settled=settling <= 0):
            self._load(offer.pair)
        elif offer.pair != served and settling > 0:
            pause = settling
        self._state = self._judged(in_force, at)
        return pause

    def _in_force(self, found: Trust | None) -> tuple[bytes, ...] | None:
        if self.configuration is None:
            return ()  # nobody can know, so nothing is to be waited for
        return None if found is None else found.bundles

    def _load(self, pair: Pair) -> None:
        try:
            self.serving.use(pair)
        except BadPairError as error:
            self._fail("load", str(error))
            return
        self._said.pop("load", None)
        leaf = certificates(pair.certificate)[0]
        logger.info("serving %s until %s", leaf.subject.rfc4514_string(), leaf.not_valid_after_utc)
        self.observe(Served(f"{leaf.serial_number:x}", leaf.not_valid_after_utc))

    def _judged(self, in_force: tuple[bytes, ...] | None, at: datetime) -> State | None:
        pair = self.serving.pair
        if pair is None:
            return None
        leaf = certificates(pair.certificate)[0]
        # Time does not go back, clocks do: what has once been in its time is not too early afterwards.
        if at >= leaf.not_valid_before_utc:
            self._begun = pair
        elif pair == self._begun:
            at = leaf.not_valid_before_utc
        bundles = in_force if in_force is not None else ((self._bundle,) if self._bundle else ())
        found = [one for bundle in (bundles or (None,)) for one in problems(pair, bundle, (), at) if one.blocking]
        return State(expires=leaf.not_valid_after_utc, wrong=tuple(dict.fromkeys(one.text for one in found)))

    def _fail(self, step: str, text: str) -> None:
        if self._said.get(step) != text:  # once, not at every pass
            logger.warning("%s: %s", step, text)
        self._said[step] = text
        self.observe(Failed(step, text))
