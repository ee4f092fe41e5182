"""Sources of key pairs: a Secret that the replicas renew, or files that another program renews."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from certs.rotation.clock import Clock
from certs.rotation.events import Observer, PartRenewed
from certs.rotation.files import MountedFiles
from certs.rotation.ports import BackendError, SecretStore, StaleVersionError, StoredMaterial
from certs.x509.check import pair_problems, parse_certificates
from certs.x509.issue import Entropy, KeyPair
from certs.x509.plan import CertificateSpec, DueRenewal, RenewalInputs, due_renewal, renew

_MAX_CONFLICTS = 5
"""Consecutive conflicts before the pass fails. The replica that wrote first has most likely done the renewal."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """Key pair to serve, and the CA bundle for clients; None if unknown."""

    pair: KeyPair
    bundle: bytes | None


class InvalidCandidateError(ValueError):
    """Clients reject the candidate, now or soon. Serve it only if there is no better key pair."""

    def __init__(self, candidate: Candidate, text: str) -> None:
        """Attach the candidate to the error."""
        super().__init__(text)
        self.candidate = candidate


@dataclass(frozen=True, kw_only=True)
class SecretSource:
    """Secret that the replicas share. Each replica renews what is due."""

    store: SecretStore
    spec: CertificateSpec
    jitter: float
    observe: Observer

    def candidate(self, trusted: Sequence[bytes], clock: Clock) -> Candidate:
        """Return the key pair in the Secret, after any renewal that is due.

        Args:
            trusted: PEM bundles that clients trust; a renewal keeps their authorities.
            clock: Clock to read after the Secret was read: the response of the API server adjusts it.

        Raises:
            InvalidCandidateError: A renewal is due but cannot be stored.
            BackendError: The Secret cannot be read, or has no readable key pair.
        """
        for _ in range(_MAX_CONFLICTS):
            stored, at = self.store.read(), clock()
            due = due_renewal(stored.material, self.spec, at, self.jitter)
            try:
                if due:
                    stored = self._renew(stored, due, trusted, at)
            except StaleVersionError:
                continue  # another replica wrote first: read its result
            except BackendError as error:
                raise _with_stored_pair(stored, error) from error
            return Candidate(stored.material.leaf, stored.material.bundle)
        raise StaleVersionError(f"{self.store.title}: other clients changed it {_MAX_CONFLICTS} times in a row")

    def _renew(self, stored: StoredMaterial, due: DueRenewal, trusted: Sequence[bytes], at: datetime) -> StoredMaterial:
        inputs = RenewalInputs(at=at, trusted=trusted, entropy=(Entropy.fresh(), Entropy.fresh()))
        renewed = self.store.write(renew(stored.material, due.part, self.spec, inputs), stored.version)
        logger.info("renewed the %s: %s", due.part, "; ".join(due.reasons))
        self.observe(PartRenewed(due.part, due.reasons))
        return renewed


@dataclass(frozen=True, kw_only=True)
class FileSource:
    """Files that another program renews, such as cert-manager."""

    files: MountedFiles
    names: tuple[str, ...] = ()

    def candidate(self, trusted: Sequence[bytes], clock: Clock) -> Candidate:  # noqa: ARG002 - renews nothing
        """Return the key pair in the files.

        Raises:
            InvalidCandidateError: Clients reject the key pair.
            OSError: A file is not readable.
        """
        pair, bundle = self.files.read()
        # cert-manager leaves ca.crt empty if the issuer has no CA certificate
        problems = pair_problems(pair, bundle or None, self.names, clock())
        if blocking := [problem.text for problem in problems if problem.blocking]:
            raise InvalidCandidateError(Candidate(pair, bundle), "; ".join(blocking))
        return Candidate(pair, bundle)


Source = SecretSource | FileSource


def _with_stored_pair(stored: StoredMaterial, error: BackendError) -> Exception:
    material = stored.material
    if not parse_certificates(material.leaf.certificate):
        return error
    bundle = material.bundle if parse_certificates(material.bundle) else None  # never publish an invalid bundle
    return InvalidCandidateError(Candidate(material.leaf, bundle), str(error))
