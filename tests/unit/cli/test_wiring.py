"""Wiring of the components."""

from __future__ import annotations

from typing import cast

import pytest

from webhook.cli.wiring import HintedNamespaces
from webhook.kube.namespaces.watched import WatchedNamespaces
from webhook.policy import ENABLED, PREFIX, Annotations, Policy

HINT = f"{PREFIX}capacity-hint"


class CachedNamespaces(dict[str, Annotations]):
    """Cached namespaces."""

    ready = True

    def cached(self, name: str) -> Annotations | None:
        """Return the annotations of a namespace."""
        return self.get(name)


@pytest.mark.parametrize(
    ("annotations", "hints"),
    [({ENABLED: "true", HINT: "true"}, True), ({ENABLED: "true"}, False), ({HINT: "true"}, False)],
)
def test_namespaces_with_hints(annotations: dict[str, str], hints: bool) -> None:
    """Capacity hints apply to cached namespaces that are enabled and have the annotation."""
    hinted = HintedNamespaces(
        cast("WatchedNamespaces", CachedNamespaces(rapids=frozenset(annotations.items()))), Policy()
    )
    assert hinted.ready
    assert ("rapids" in hinted) is hints
    assert "unknown" not in hinted
