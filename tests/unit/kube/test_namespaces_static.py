from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.unit.objects import cluster, namespace
from webhook.kube.namespaces import NO_ANNOTATIONS, NamespaceUnknownError, policy_annotations
from webhook.kube.namespaces.static import StaticNamespaces
from webhook.policy import ENABLED, PREFIX

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured


def test_annotations_are_those_of_the_prefix() -> None:
    """Only string annotations with the prefix are cached."""
    item = namespace(apart="5")
    item["metadata"]["annotations"] |= {"example.com/huge": "x" * 1000, f"{PREFIX}mode": None}
    assert policy_annotations(item) == {(ENABLED, "true"), (f"{PREFIX}apart", "5")}


@pytest.mark.parametrize("item", [None, {}, {"metadata": None}, {"metadata": {"annotations": None}}])
def test_namespace_without_annotations_has_none(item: Unstructured) -> None:
    """Missing and null fields give no annotations."""
    assert policy_annotations(item) is NO_ANNOTATIONS


def test_namespace_is_found() -> None:
    """Namespaces among the manifests are found by name; other objects are skipped."""
    known = StaticNamespaces(
        [cluster(), namespace("a"), namespace("b", mode="warn"), {"kind": "Namespace", "metadata": {}}]
    )
    assert known.ready
    assert known.names == ("a", "b")
    assert asyncio.run(known.annotations("b")) == {(ENABLED, "true"), (f"{PREFIX}mode", "warn")}


def test_namespace_that_is_not_there_is_unknown() -> None:
    """An unknown name is an error, not an empty set of annotations."""
    with pytest.raises(NamespaceUnknownError, match="'c'"):
        asyncio.run(StaticNamespaces([namespace("a")]).annotations("c"))


def test_last_manifest_wins() -> None:
    """Of two Namespaces with one name the last one wins, as with `kubectl apply`."""
    assert (f"{PREFIX}apart", "2") in asyncio.run(
        StaticNamespaces([namespace(apart="1"), namespace(apart="2")]).annotations("rapids")
    )
