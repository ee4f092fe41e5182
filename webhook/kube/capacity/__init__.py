"""Sources of free capacity: manifests (`StaticCapacity`) and an API server (`WatchedCapacity`)."""

from dataclasses import dataclass
from typing import Protocol

from webhook.placement.model import UNWATCHED, Hints, Questions


class Capacity(Protocol):
    """Source of capacity hints."""

    def hints(self, questions: Questions) -> Hints:
        """Return the nodes to prefer, or the reason for a missing hint. Does no I/O: runs on the request path."""


@dataclass(frozen=True, slots=True)
class NotWatched:
    """Capacity source of an installation without capacity hints."""

    def hints(self, questions: Questions) -> Hints:  # noqa: ARG002 - the protocol's signature
        """Return no hint for any question."""
        return UNWATCHED


NOT_WATCHED = NotWatched()
