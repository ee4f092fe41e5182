"""Sources of namespace annotations, the only I/O of an admission."""

from typing import Protocol

from webhook.policy import PREFIX, Annotations
from webhook.workloads.unstructured import Unstructured, texts

NO_ANNOTATIONS: Annotations = frozenset()


class NamespaceUnknownError(Exception):
    """Namespace that could not be read within the deadline; the message gives the reason."""


class Namespaces(Protocol):
    """Source of namespace annotations."""

    @property
    def ready(self) -> bool:
        """Return whether the source has listed all namespaces."""

    def cached(self, name: str) -> Annotations | None:
        """Return the policy annotations of namespace `name`, or None if `annotations` has to read them."""

    async def annotations(self, name: str) -> Annotations:
        """Return the policy annotations of namespace `name`.

        Raises:
            NamespaceUnknownError: The namespace could not be read.
        """


def policy_annotations(namespace: Unstructured) -> Annotations:
    """Return the policy annotations of a Namespace object. All others are dropped to keep caches small."""
    annotations = texts(namespace, "metadata", "annotations")
    return frozenset((key, value) for key, value in annotations.items() if key.startswith(PREFIX)) or NO_ANNOTATIONS
