"""Control loop of the rotation: get a key pair, publish its CA bundle, serve it.

Level-triggered: an event only starts a pass, and each pass reads the current state. So a pass may be repeated, skipped
or interrupted at any point.
"""

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime

from certs.rotation.clock import Clock
from certs.rotation.events import BundlePublished, CertificateServed, Observer, StepFailed
from certs.rotation.ports import BackendError, BundlePublisher, ChangeWatch, PublishedBundles, StaleVersionError
from certs.rotation.sources import Candidate, InvalidCandidateError, Source
from certs.serving import InvalidKeyPairError, ReloadableContext
from certs.x509.check import pair_problems, parse_certificates
from certs.x509.issue import KeyPair
from certs.x509.plan import should_serve

_MIN_INTERVAL = 0.1
"""Seconds between two passes: limits the loop if another client reverts each change at once."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Intervals of the loop, in seconds."""

    resync: float = 30
    """Between two passes without an event. Changes of files are found by resync alone."""
    retry: float = 1
    """After a failed pass; doubles up to `resync`."""
    propagation: float = 2
    """From a published bundle to a leaf that needs it: each API server receives the bundle by its own watch."""


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """Result of a pass: the expiry of the served certificate, and the problems that make calls fail."""

    expires: datetime
    problems: tuple[str, ...]


@dataclass(kw_only=True)
class Rotation:
    """Control loop that keeps the key pair of one `ReloadableContext` valid and trusted.

    Attributes:
        publisher: Webhook configuration with the published bundles; None without a cluster.
        publishes: True if the loop publishes the bundle of the source; False if another program does.
        watches: Watches; each change starts a pass.
    """

    context: ReloadableContext
    source: Source
    clock: Clock
    observe: Observer
    publisher: BundlePublisher | None = None
    publishes: bool = False
    watches: tuple[ChangeWatch, ...] = ()
    intervals: Intervals = field(default_factory=Intervals)
    _readiness: Readiness | None = None
    _seen_valid: KeyPair | None = None
    _bundle: bytes = b""
    _published: PublishedBundles | None = None
    _published_since: float = 0.0
    _errors: dict[str, str] = field(default_factory=dict)
    _wake: threading.Event = field(default_factory=threading.Event)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def ready(self) -> bool:
        """True if calls succeed: the served certificate is valid, and every published bundle trusts it."""
        readiness = self._readiness
        return readiness is not None and not readiness.problems and self.clock() <= readiness.expires

    @property
    def problems(self) -> tuple[str, ...]:
        """The reasons why the server is not ready, as sentences."""
        return ("no certificate is served yet",) if self._readiness is None else self._readiness.problems

    def start(self) -> None:
        """Start the watches and the loop, with a first pass at once."""
        for watch in self.watches:
            watch.start(self._wake.set, lambda text: self._fail("watch", text))
        self._thread = threading.Thread(target=self._run, name="certs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the loop and the watches, and wait for them. The served key pair stays."""
        self._stopped.set()
        self._wake.set()
        for watch in self.watches:
            watch.stop()
        if self._thread is not None:
            self._thread.join(timeout=2)

    def reconcile(self) -> float:
        """Run one pass. Return the seconds until the next one is due.

        Raises:
            BackendError, OSError, ValueError: The source has no key pair. The served one stays.
        """
        published = self._read_published()  # before the bundle that may replace it: see BundlePublisher.publish
        candidate = self._get_candidate(published)
        if self.publishes and published is not None and candidate.bundle is not None:
            published = self._publish(candidate.bundle, published)
        return self._serve(candidate, published, self.clock())

    def _run(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            self._wake.clear()
            try:
                pause = self.reconcile()
                failures = 0
            except Exception as error:  # noqa: BLE001 - the loop must survive any error
                self._fail("source", str(error) or type(error).__name__)
                pause = min(self.intervals.retry * 2**failures, self.intervals.resync)
                failures = min(failures + 1, 10)
            self._stopped.wait(_MIN_INTERVAL)
            self._wake.wait(pause)

    def _read_published(self) -> PublishedBundles | None:
        if self.publisher is None:
            return None
        try:
            published = self._track(self.publisher.read())
        except BackendError as error:
            self._fail("read-bundle", str(error))
            return None
        self._errors.pop("read-bundle", None)
        return published

    def _track(self, published: PublishedBundles) -> PublishedBundles:
        if published != self._published:
            self._published, self._published_since = published, time.monotonic()
        return published

    def _get_candidate(self, published: PublishedBundles | None) -> Candidate:
        """Return the candidate of the source, or the served key pair if that one is better."""
        known = published.bundles if published else ()
        try:
            candidate = self.source.candidate((*known, self._bundle), self.clock)
            self._errors.pop("source", None)
        except InvalidCandidateError as error:
            self._fail("source", str(error))
            served, candidate = self.context.pair, error.candidate
            if served and not any(problem.blocking for problem in pair_problems(served, None, (), self.clock())):
                candidate = Candidate(served, candidate.bundle)
        self._bundle = candidate.bundle or self._bundle
        return candidate

    def _publish(self, bundle: bytes, published: PublishedBundles) -> PublishedBundles:
        if self.publisher is None or all(other == bundle for other in published.bundles):
            return published
        try:
            published = self._track(self.publisher.publish(bundle, published))
        except StaleVersionError:
            self._wake.set()  # another client changed it, most likely to the same bundle: run another pass
            return published
        except BackendError as error:
            self._fail("publish-bundle", str(error))
            return published
        self._errors.pop("publish-bundle", None)
        logger.info("published the CA bundle in %s", self.publisher.title)
        self.observe(BundlePublished(self.publisher.title))
        return published

    def _serve(self, candidate: Candidate, published: PublishedBundles | None, at: datetime) -> float:
        bundles = self._known_bundles(published)
        remaining = self._published_since + self.intervals.propagation - time.monotonic() if self.publisher else 0.0
        served, pause = self.context.pair, self.intervals.resync
        if candidate.pair != served and should_serve(served, candidate.pair, bundles, at, propagated=remaining <= 0):
            self._load(candidate.pair)
        elif candidate.pair != served and remaining > 0:
            pause = remaining
        self._readiness = self._assess(bundles, at)
        return pause

    def _known_bundles(self, published: PublishedBundles | None) -> tuple[bytes, ...] | None:
        if self.publisher is None:
            return ()  # no bundle to wait for
        return None if published is None else published.bundles

    def _load(self, pair: KeyPair) -> None:
        try:
            self.context.load(pair)
        except InvalidKeyPairError as error:
            self._fail("load", str(error))
            return
        self._errors.pop("load", None)
        leaf = parse_certificates(pair.certificate)[0]
        logger.info("serving %s until %s", leaf.subject.rfc4514_string(), leaf.not_valid_after_utc)
        self.observe(CertificateServed(f"{leaf.serial_number:x}", leaf.not_valid_after_utc))

    def _assess(self, bundles: tuple[bytes, ...] | None, at: datetime) -> Readiness | None:
        pair = self.context.pair
        if pair is None:
            return None
        leaf = parse_certificates(pair.certificate)[0]
        # A clock can be set back: a certificate that was valid once does not become "not yet valid".
        if at >= leaf.not_valid_before_utc:
            self._seen_valid = pair
        elif pair == self._seen_valid:
            at = leaf.not_valid_before_utc
        if bundles is None:
            bundles = (self._bundle,) if self._bundle else ()
        problems = (problem for bundle in (bundles or (None,)) for problem in pair_problems(pair, bundle, (), at))
        texts = dict.fromkeys(problem.text for problem in problems if problem.blocking)
        return Readiness(expires=leaf.not_valid_after_utc, problems=tuple(texts))

    def _fail(self, step: str, text: str) -> None:
        if self._errors.get(step) != text:  # log an unchanged error once
            logger.warning("%s: %s", step, text)
        self._errors[step] = text
        self.observe(StepFailed(step, text))
