"""The one thing asked of the outside during an admission: a namespace's annotations."""

from typing import Protocol

from webhook.policy import PREFIX, Annotations
from webhook.workloads.unstructured import Unstructured, texts

NONE: Annotations = frozenset()


class NamespaceUnknownError(Exception):
    """The namespace could not be read within the deadline; the message says why."""


class Namespaces(Protocol):
    """Where annotations come from."""

    @property
    def ready(self) -> bool:
        """Whether it can vouch for all namespaces that exist."""

    async def annotations(self, name: str) -> Annotations:
        """Our annotations on the namespace `name`.

        Raises:
            NamespaceUnknownError: It could not be read.
        """


def ours(namespace: Unstructured) -> Annotations:
    """Our annotations on a raw Namespace; everything else is left behind, so that a cache stays small."""
    found = texts(namespace, "metadata", "annotations")
    return frozenset((key, value) for key, value in found.items() if key.startswith(PREFIX)) or NONE
