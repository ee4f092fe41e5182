from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.objects import cluster, pod
from webhook.kube.manifests import ManifestError, dump, read

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

TWO = """\
# a comment

apiVersion: v1
kind: Namespace
metadata: {name: rapids}
---
---
# nothing in the one before
apiVersion: v1
kind: ConfigMap
data: {since: 2026-11-24, octal: 010, yes: "no"}
---
"""


def test_documents_are_found_with_their_lines() -> None:
    """Each document is an object with file and line; empty documents are skipped."""
    first, second = read(TWO, "two.yaml")
    assert (first.item["kind"], first.source, first.line) == ("Namespace", "two.yaml", 3)
    assert (second.item["kind"], second.line) == ("ConfigMap", 9)


def test_date_stays_a_string() -> None:
    """A date stays a string, as in JSON."""
    assert read(TWO, "x")[1].item["data"]["since"] == "2026-11-24"


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json_is_yaml(indent: int | str | None) -> None:
    """JSON is accepted with any indentation, including tabs."""
    (manifest,) = read(json.dumps(cluster(), indent=indent), "x")
    assert manifest.item == cluster()


def test_lists_are_expanded() -> None:
    """Each item of a List, as written by `kubectl get -o yaml`, is an object."""
    listed = {"apiVersion": "v1", "kind": "List", "items": [cluster(), pod()]}
    assert [manifest.item["kind"] for manifest in read(json.dumps(listed), "x")] == ["DaskCluster", "Pod"]
    listed = {"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskClusterList", "items": [cluster()]}
    assert [manifest.item["kind"] for manifest in read(json.dumps(listed), "x")] == ["DaskCluster"]


def test_empty_text_has_no_objects() -> None:
    """An empty text is not an error."""
    assert read("", "x") == read("# only words\n", "x") == read("---\n---\n", "x") == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: b", 1),
        ("# words\n\n- a\n", 3),
        ("just words", 1),
        ("apiVersion: v1\nkind: Pod\n---\nkind: Pod\n", 4),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: [}\n", 3),
        ("apiVersion: v1\nkind: Pod\n  name: x\n", 3),
        ("apiVersion: v1\nkind: Pod\nkind: Job\n", 3),
        ("apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n  name: y\n", 5),
        ("apiVersion: v1\nkind: Pod\nmetadata: *nowhere\n", 3),
        ("apiVersion: v1\nkind: Pod\nmetadata: !!python/object:os.system {}\n", 3),
        ("apiVersion: v1\nkind: Pod\n? [a]\n: b\n", 3),
        ('{"apiVersion": "v1",\n "kind": }', 1),
        ("apiVersion: v1\nkind: \x07\n", 2),
        ("apiVersion: v1\nkind: Pod\nspec: !!int abc\n", 3),
    ],
)
def test_invalid_text_is_reported_with_its_line(text: str, line: int) -> None:
    """The error of an invalid manifest starts with file and line."""
    with pytest.raises(ManifestError) as caught:
        read(text, "bad.yaml")
    assert str(caught.value).startswith(f"bad.yaml:{line}: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("item", [cluster(), pod(), {"a": ["x", {"b": None}], "long": "w " * 300, "n": "010"}])
def test_dump_round_trip(item: Unstructured) -> None:
    """A dumped object parses to the same object."""
    document = {"apiVersion": "v1", "kind": "Thing", "body": item, "again": item}
    (manifest,) = read(dump(document), "x")
    assert manifest.item == document
    assert "&id" not in dump(document)


def test_merged_keys_may_be_overridden() -> None:
    """A mapping's own keys override merged keys and are not duplicates of them."""
    text = "base: &base {x: 1, y: 1}\napiVersion: v1\nkind: A\nmine: {<<: *base, x: 2}\nyours: {<<: *base, x: 3}\n"
    (found,) = read(text, "f")
    assert (found.item["mine"], found.item["yours"]) == ({"x": 2, "y": 1}, {"x": 3, "y": 1})


def test_line_of_a_json_pointer() -> None:
    """The line of a pointer is that of its key or item, else of its nearest existing parent, also within a List."""
    text = "# one\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  spec:\n    a/b: [1,\n      2]\n"
    (manifest,) = read(text, "x")
    lines = {
        pointer: manifest.line_of(pointer) for pointer in ("", "/spec", "/spec/a~1b/1", "/spec/none/0", "/spec/a~1b/-")
    }
    assert lines == {"": 5, "/spec": 7, "/spec/a~1b/1": 9, "/spec/none/0": 7, "/spec/a~1b/-": 8}
