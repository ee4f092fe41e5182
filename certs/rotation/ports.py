"""Ports of the rotation: the interfaces to a Kubernetes cluster."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from certs.x509.material import Material


class BackendError(Exception):
    """The cluster rejected an operation or is unreachable. The text contains no key material."""


class StaleVersionError(BackendError):
    """The object changed after it was read. Read it again."""


@dataclass(frozen=True)
class StoredMaterial:
    """Material in a Secret, and the resource version to send with a change; None if there is no Secret."""

    material: Material
    version: str | None


@dataclass(frozen=True)
class PublishedBundles:
    """CA bundles of a webhook configuration: PEM, one for each webhook; none if the configuration does not exist."""

    webhooks: tuple[str, ...] = ()
    bundles: tuple[bytes, ...] = ()
    version: str = field(default="", compare=False)
    """Resource version to send with a change."""


class ChangeWatch(Protocol):
    """Watch on one object of the cluster, in a thread of its own."""

    def start(self, changed: Callable[[], None], failed: Callable[[str], None]) -> None:
        """Start to watch. Call `changed` after each change, and `failed` with the error when the watch breaks."""

    def stop(self) -> None:
        """Stop the watch and wait for it."""


class SecretStore(Protocol):
    """Secret that the replicas share."""

    @property
    def title(self) -> str:
        """Kind, name and namespace, for messages."""

    def read(self) -> StoredMaterial:
        """Read the Secret. Invalid data is returned as missing parts.

        Raises:
            BackendError: The Secret cannot be read.
        """

    def write(self, material: Material, version: str | None) -> StoredMaterial:
        """Create the Secret (no version), or update its data and keep all other fields.

        Raises:
            StaleVersionError: Another client changed the Secret first; nothing was written.
            BackendError: The Secret cannot be written.
        """

    def watch(self) -> ChangeWatch:
        """Return a watch on the Secret."""


class BundlePublisher(Protocol):
    """Webhook configuration whose `caBundle` fields say which authorities the API server trusts."""

    @property
    def title(self) -> str:
        """Kind and name, for messages."""

    def read(self) -> PublishedBundles:
        """Read the published bundles.

        Raises:
            BackendError: The configuration cannot be read.
        """

    def publish(self, bundle: bytes, published: PublishedBundles) -> PublishedBundles:
        """Write the bundle to every webhook that has another one; change no other field.

        The change carries the version of `published`. So a replica that read an older bundle cannot overwrite the
        newer bundle of another replica.

        Raises:
            StaleVersionError: The configuration changed after it was read; nothing was written.
            BackendError: The configuration cannot be patched.
        """

    def watch(self) -> ChangeWatch:
        """Return a watch on the configuration."""


class Backend(Protocol):
    """Cluster that stores certificates and calls the webhook."""

    def now(self) -> datetime:
        """Return the time of the API server, which validates the certificates."""

    def secret_store(self, namespace: str, name: str) -> SecretStore:
        """Return the store of a Secret. The Secret need not exist."""

    def bundle_publisher(self, name: str) -> BundlePublisher:
        """Return the publisher of a webhook configuration. The configuration need not exist."""
