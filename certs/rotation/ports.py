"""Ports of the rotation: the interfaces to a Kubernetes cluster.

Each method that sends a request raises `BackendError` if the cluster rejects it or is unreachable.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from certs.x509.material import Material


class BackendError(Exception):
    """Failed request to the cluster. The text contains no key material."""


class StaleVersionError(BackendError):
    """Rejected change: another client changed the object after it was read. Read it again."""


@dataclass(frozen=True)
class StoredMaterial:
    """Material in a Secret, and the resource version to send with a change; None if there is no Secret."""

    material: Material
    version: str | None


@dataclass(frozen=True)
class PublishedBundles:
    """PEM CA bundle of each webhook of a configuration, and the resource version to send with a change."""

    webhooks: tuple[str, ...] = ()
    bundles: tuple[bytes, ...] = ()
    version: str = field(default="", compare=False)


class ChangeWatch(Protocol):
    """Watch on one object, in a thread of its own."""

    def start(self, changed: Callable[[], None], failed: Callable[[str], None]) -> None:
        """Start to watch. Call `changed` after each change, and `failed` with the error when the watch breaks."""

    def stop(self) -> None:
        """Stop the watch and wait for it."""


class ClusterObject(Protocol):
    """Object that can be watched. It need not exist."""

    @property
    def title(self) -> str:
        """Kind, name and namespace, for messages."""

    def watch(self) -> ChangeWatch:
        """Return a watch on the object."""


class SecretStore(ClusterObject, Protocol):
    """Secret that the replicas share."""

    def read(self) -> StoredMaterial:
        """Read the Secret. Invalid data is returned as missing parts."""

    def write(self, material: Material, version: str | None) -> StoredMaterial:
        """Create the Secret (no version), or update its data and keep all other fields."""


class BundlePublisher(ClusterObject, Protocol):
    """Webhook configuration whose `caBundle` fields say which authorities the API server trusts."""

    def read(self) -> PublishedBundles:
        """Read the published bundles; none if the configuration does not exist."""

    def publish(self, bundle: bytes, published: PublishedBundles) -> PublishedBundles:
        """Write the bundle to every webhook that has another one; change no other field.

        The change carries the version of `published`. So a replica that read an older bundle cannot overwrite the
        newer bundle of another replica.
        """
