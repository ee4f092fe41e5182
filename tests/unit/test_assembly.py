"""How parts that don't know each other are put together."""

from __future__ import annotations

from typing import cast

import pytest

from webhook.cli.wiring import HintedNamespaces
from webhook.kube.namespaces.watched import WatchedNamespaces
from webhook.policy import ENABLED, PREFIX, Annotations, Policy

HINT = f"{PREFIX}capacity-hint"


class Known(dict[str, Annotations]):
    """Namespaces that are known."""

    ready = True

    def cached(self, name: str) -> Annotations | None:
        """Its annotations."""
        return self.get(name)


@pytest.mark.parametrize(
    ("annotations", "hints"),
    [({ENABLED: "true", HINT: "true"}, True), ({ENABLED: "true"}, False), ({HINT: "true"}, False)],
)
def test_namespaces_with_hints(annotations: dict[str, str], hints: bool) -> None:
    """A namespace has hints where it is enabled and asks for them; one that is not known has none."""
    hinted = HintedNamespaces(cast("WatchedNamespaces", Known(rapids=frozenset(annotations.items()))), Policy())
    assert hinted.ready
    assert ("rapids" in hinted) is hints
    assert "unknown" not in hinted
