from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import jsonpatch
import jsonpointer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.mutators.patch import (
    END,
    Operation,
    UnpatchableError,
    append,
    combine,
    escape,
    put,
)

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

SCALARS = st.none() | st.booleans() | st.integers() | st.text()
KEYS = st.text(alphabet="ab/~01", max_size=3)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


def applied(document: Unstructured, *operations: Operation) -> Unstructured:
    """Return `document` after the operations, applied by an independent library."""
    return jsonpatch.apply_patch(document, [operation.as_json() for operation in operations])


@pytest.mark.parametrize("key", ["plain", "nvidia.com/gpu", "a~b", "a~1b", "~0", "/", ""])
def test_escaped_key_is_read_by_another_implementation(key: str) -> None:
    """An independent library reads an escaped token as the original key."""
    assert jsonpointer.JsonPointer(f"/{escape(key)}").parts == [key]


@pytest.mark.parametrize(
    ("spec", "op", "path"),
    [
        ({}, "add", "/spec/a"),
        ({"a": None}, "add", "/spec/a"),
        ({"a": {}}, "add", "/spec/a/b"),
        ({"a": {"b": None}}, "add", "/spec/a/b"),
        ({"a": {"b": 1}}, "replace", "/spec/a/b"),
        ({"a": {"b": False}}, "replace", "/spec/a/b"),
    ],
)
def test_missing_and_null_parents_are_added(spec: Unstructured, op: str, path: str) -> None:
    """The operation adds the first missing or null parent, and replaces only existing values."""
    operation = put(spec, "/spec", ("a", "b"), 2)
    assert (operation.op, operation.path) == (op, path)
    assert applied({"spec": spec}, operation)["spec"]["a"]["b"] == 2


@pytest.mark.parametrize("spec", [{}, {"a": None}, {"a": []}, {"a": [1, 2]}])
def test_end_appends(spec: Unstructured) -> None:
    """`END` appends to a list, and adds the list if it is missing or null."""
    before = spec.get("a") or []
    assert applied({"spec": copy.deepcopy(spec)}, put(spec, "/spec", ("a", END), 9))["spec"]["a"] == [*before, 9]


@pytest.mark.parametrize(
    ("spec", "paths"),
    [
        ({}, ["/spec/a"]),
        ({"a": None}, ["/spec/a"]),
        ({"a": {}}, ["/spec/a/b"]),
        ({"a": {"b": None}}, ["/spec/a/b"]),
        ({"a": {"b": []}}, ["/spec/a/b/-"] * 2),
        ({"a": {"b": [1]}}, ["/spec/a/b/-"] * 2),
    ],
)
def test_items_are_appended_in_order(spec: Unstructured, paths: list[str]) -> None:
    """Items are appended in order, as one operation to a missing list, and existing items are kept."""
    before = (spec.get("a") or {}).get("b") or []
    operations = append(spec, "/spec", ("a", "b"), (8, 9))
    assert [operation.path for operation in operations] == paths
    assert applied({"spec": copy.deepcopy(spec)}, *operations)["spec"]["a"]["b"] == [*before, 8, 9]


@pytest.mark.parametrize("spec", [{"a": "text"}, {"a": {"b": "text"}}, {"a": {"b": {}}}])
def test_appending_to_another_type_is_refused(spec: Unstructured) -> None:
    """A parent or a list of the wrong type raises UnpatchableError."""
    with pytest.raises(UnpatchableError):
        append(spec, "/spec", ("a", "b"), (8, 9))


@pytest.mark.parametrize(
    ("spec", "tokens", "path"),
    [
        ({"a": "text"}, ("a", "b"), "/spec/a"),
        ({"a": 7}, ("a", "b", "c"), "/spec/a"),
        ({"a": {"b": "text"}}, ("a", "b", END), "/spec/a/b"),
        ({"a": {}}, ("a", END), "/spec/a"),
        ({"a": [1]}, ("a", "3"), "/spec/a"),
        ({"a": [1]}, ("a", "x"), "/spec/a"),
    ],
)
def test_parent_of_another_type_is_refused(spec: Unstructured, tokens: tuple[str, ...], path: str) -> None:
    """A parent of the wrong type is named in the error and not overwritten."""
    with pytest.raises(UnpatchableError) as caught:
        put(spec, "/spec", tokens, 1)
    assert caught.value.path == path
    assert path in str(caught.value)


@given(JSON, st.lists(KEYS, min_size=1, max_size=4), JSON.filter(lambda value: value is not None))
def test_put_sets_the_value_or_raises(document: Unstructured, tokens: list[str], value: Unstructured) -> None:
    """In any document, `put` sets the value or raises, and does not modify the document."""
    before = copy.deepcopy(document)
    try:
        operation = put(document, "", tokens, value)
    except UnpatchableError:
        return
    assert document == before
    result = applied({"root": document}, Operation(operation.op, f"/root{operation.path}", operation.value))["root"]
    for token in tokens:
        result = result[int(token)] if isinstance(result, list) else result[token]
    assert result == value


def test_two_rules_share_a_parent_that_was_missing() -> None:
    """Two additions of one missing parent become one operation with the contents of both."""
    first = put({}, "", ("affinity", "podAffinity", "preferred", END), 1)
    second = put({}, "", ("affinity", "podAntiAffinity", "preferred", END), 2)
    third = put({}, "", ("affinity", "podAffinity", "preferred", END), 3)
    patch = combine((first, second, third))
    assert len(patch) == 1
    wanted = {"affinity": {"podAffinity": {"preferred": [1, 3]}, "podAntiAffinity": {"preferred": [2]}}}
    assert applied({}, *patch) == wanted


def test_appends_to_an_existing_list_are_not_merged() -> None:
    """Appends to an existing list stay separate operations in their order."""
    document = {"a": [0]}
    patch = combine(put(document, "", ("a", END), value) for value in ([1], [2]))
    assert applied(document, *patch) == {"a": [0, [1], [2]]}


def test_replacements_are_not_combined() -> None:
    """Only additions are combined."""
    operations = (Operation("replace", "/a", 1), Operation("replace", "/b", 2), Operation("add", "/c", 3))
    assert combine(operations) == operations
