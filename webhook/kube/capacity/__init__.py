"""Where free capacity is known from: a port with two sources, `Static` (manifests) and `Watched` (an API server)."""

from dataclasses import dataclass
from typing import Protocol

from webhook.placement.model import UNWATCHED, Hints, Questions


class Capacity(Protocol):
    """Source of capacity hints."""

    def hints(self, questions: Questions) -> Hints:
        """Return the hosts to prefer, or why there are none. Called on the request path: it does no I/O."""


@dataclass(frozen=True, slots=True)
class NotWatched:
    """An installation without capacity hints."""

    def hints(self, questions: Questions) -> Hints:  # noqa: ARG002 - the port's signature
        """Return no hint for any question."""
        return UNWATCHED


NOT_WATCHED = NotWatched()
