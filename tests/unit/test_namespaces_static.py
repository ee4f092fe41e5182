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
    """Only our annotations are kept, and only those with text."""
    item = namespace(apart="5")
    item["metadata"]["annotations"] |= {"example.com/huge": "x" * 1000, f"{PREFIX}mode": None}
    assert policy_annotations(item) == {(ENABLED, "true"), (f"{PREFIX}apart", "5")}


@pytest.mark.parametrize("item", [None, {}, {"metadata": None}, {"metadata": {"annotations": None}}])
def test_namespace_without_annotations_has_none(item: Unstructured) -> None:
    """Nothing there is nothing, whatever stands in its place."""
    assert policy_annotations(item) is NO_ANNOTATIONS


def test_namespace_is_found() -> None:
    """A Namespace among the manifests is known by its name; everything else among them is passed over."""
    known = StaticNamespaces(
        [cluster(), namespace("a"), namespace("b", mode="warn"), {"kind": "Namespace", "metadata": {}}]
    )
    assert known.ready
    assert known.names == ("a", "b")
    assert asyncio.run(known.annotations("b")) == {(ENABLED, "true"), (f"{PREFIX}mode", "warn")}


def test_namespace_that_is_not_there_is_unknown() -> None:
    """A name that no manifest has is an error, not an empty set: nothing is known of it."""
    with pytest.raises(NamespaceUnknownError, match="'c'"):
        asyncio.run(StaticNamespaces([namespace("a")]).annotations("c"))


def test_later_manifest_counts() -> None:
    """Of two Namespaces with one name the later one is what `kubectl apply` would leave."""
    assert (f"{PREFIX}apart", "2") in asyncio.run(
        StaticNamespaces([namespace(apart="1"), namespace(apart="2")]).annotations("rapids")
    )
