"""Where free capacity is known from: a port with two sources, `Static` (manifests) and `Watched` (an API server)."""

from dataclasses import dataclass
from typing import Protocol

from webhook.placement.model import UNWATCHED, Hint, Question


class Capacity(Protocol):
    """Answers what rule `capacity-hint` asks."""

    def hint(self, question: Question) -> Hint:
        """The hosts to prefer, or why there are none. Called on the request path: it does no I/O."""


@dataclass(frozen=True, slots=True)
class NotWatched:
    """An installation without capacity hints."""

    def hint(self, question: Question) -> Hint:  # noqa: ARG002 - the port's signature
        """No hint, whatever is asked."""
        return UNWATCHED


NOT_WATCHED = NotWatched()
