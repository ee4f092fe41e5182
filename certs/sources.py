"""Where a replica's pair comes from: a Secret it renews itself, or files that somebody else renews."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from certs.check import certificates, problems
from certs.issue import Entropy, Pair
from certs.kube import ApiError, Clock, ConflictError
from certs.observe import Observer, Rotated
from certs.plan import Part, Renewal, Subject, due, renew
from certs.store import Files, SecretStore, Stored

_CONFLICTS = 5
"""Lost races in a row before giving up until later; whoever won them has most likely done the work."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Offer:
    """A pair to serve and, where known, the bundle clients should trust."""

    pair: Pair
    bundle: bytes | None


class Source(Protocol):
    """What a rotation asks for a pair."""

    def offer(self, trusted: Sequence[bytes], clock: Clock) -> Offer:
        """The pair to serve now, renewed if due.

        Args:
            trusted: PEM bundles that clients trust by now, which a renewal keeps.
            clock: asked after the pair was read, because reading may set it right.

        Raises:
            BadOfferError: there is one, but it is not as it should be.
            OSError, ApiError, ValueError: there is none to be had now; the text says why.
        """


@dataclass(frozen=True, kw_only=True)
class SelfManaged:
    """A shared Secret that this replica, like any other, renews when it is due."""

    store: SecretStore
    subject: Subject
    jitter: float
    draw: Callable[[], Entropy]
    observe: Observer

    def offer(self, trusted: Sequence[bytes], clock: Clock) -> Offer:
        """What the Secret holds, after renewing what is due.

        Raises:
            BadOfferError: something is due that can't be stored; the pair at hand may do meanwhile.
            ApiError: the same with no readable pair at hand, or the Secret can't be read.
        """
        for _ in range(_CONFLICTS):
            stored, at = self.store.read(), clock()
            needed = due(stored.material, self.subject, at, self.jitter)
            try:
                if needed:
                    stored = self.rotate(stored, needed.part, needed.reasons, (trusted, at))
            except ConflictError:
                continue  # another replica was faster: read what it made
            except ApiError as error:
                raise _at_hand(stored, error) from error
            return Offer(stored.material.leaf, stored.material.bundle)
        raise ConflictError(f"{self.store.resource.title} keeps being changed by others")

    def rotate(
        self, stored: Stored, part: Part, reasons: tuple[str, ...], when: tuple[Sequence[bytes], datetime]
    ) -> Stored:
        """Renew one part of what is stored, whether due or not.

        Raises:
            ConflictError: another replica was faster; nothing was written.
        """
        trusted, at = when
        renewal = Renewal(at=at, trusted=trusted, entropy=(self.draw(), self.draw()))
        renewed = self.store.write(renew(stored.material, part, self.subject, renewal), stored.version)
        logger.info("renewed the %s: %s", part, "; ".join(reasons))
        self.observe(Rotated(part, reasons))
        return renewed


@dataclass(frozen=True, kw_only=True)
class Mounted:
    """Files that somebody else renews: cert-manager, or a person."""

    files: Files
    names: tuple[str, ...] = ()

    def offer(self, trusted: Sequence[bytes], clock: Clock) -> Offer:  # noqa: ARG002 - nothing is renewed here
        """What the files hold.

        Raises:
            BadOfferError: a client would refuse the pair.
            OSError: a file can't be read.
        """
        pair, bundle = self.files.read()
        found = problems(
            pair, bundle or None, self.names, clock()
        )  # an issuer with no CA of its own leaves ca.crt empty
        if wrong := [problem.text for problem in found if problem.blocking]:
            raise BadOfferError(Offer(pair, bundle), "; ".join(wrong))
        return Offer(pair, bundle)


class BadOfferError(ValueError):
    """There is a pair, but a client would refuse it, now or soon: for whoever has nothing better."""

    def __init__(self, offer: Offer, text: str) -> None:
        """Keep the offer for whoever has nothing better."""
        super().__init__(text)
        self.offer = offer


def _at_hand(stored: Stored, error: ApiError) -> Exception:
    held = stored.material
    if not certificates(held.leaf.certificate):
        return error
    bundle = held.bundle if certificates(held.bundle) else None  # garbage is not to be put in force
    return BadOfferError(Offer(held.leaf, bundle), str(error))
