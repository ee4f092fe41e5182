"""JSON Patch operations (RFC 6902) with JSON pointers (RFC 6901), built directly instead of computed as a diff."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from webhook.workloads.unstructured import Unstructured

END = "-"
"""The pointer token for the position after a list's last item."""


class Operation(NamedTuple):
    """One operation of a patch.

    Attributes:
        op: `add` or `replace`; the webhook removes nothing.
        path: JSON pointer from the root of the object.
        value: The new value.
    """

    op: Literal["add", "replace"]
    path: str
    value: Unstructured

    def as_json(self) -> dict[str, Unstructured]:
        """Return the operation as an item of a patch document."""
        return {"op": self.op, "path": self.path, "value": self.value}


class UnpatchableError(Exception):
    """A parent field has a type that differs from the Kubernetes API.

    Attributes:
        path: JSON pointer of the parent field.
    """

    def __init__(self, path: str) -> None:
        """Name the field that has the wrong type."""
        super().__init__(f"{path} has the wrong type; not modified")
        self.path = path


def put(spec: Unstructured, base: str, tokens: Sequence[str], value: Unstructured) -> Operation:
    """Return the operation that sets `value`, together with all parents that are missing or null.

    Args:
        spec: The pod spec.
        base: JSON pointer of the pod spec.
        tokens: Path below the pod spec: unescaped keys, list indices, or `END`.
        value: The new value.

    Raises:
        UnpatchableError: A parent is neither missing, null, nor of the right type.
    """
    path, below = _first_missing(spec, base, tokens)
    return Operation("replace", path, value) if below is None else Operation("add", path, _nested(below, value))


def append(
    spec: Unstructured, base: str, tokens: Sequence[str], items: Sequence[Unstructured]
) -> tuple[Operation, ...]:
    """Return the operations that append `items` to a list; a single operation if the list is missing or null.

    Takes the arguments of `put` and raises its exception.
    """
    path, below = _first_missing(spec, base, (*tokens, END))
    if below:
        return (Operation("add", path, _nested(below[:-1], list(items))),)
    return tuple(Operation("add", path, item) for item in items)


def _first_missing(spec: Unstructured, base: str, tokens: Sequence[str]) -> tuple[str, Sequence[str] | None]:
    """Return the pointer of the first missing or null field on a path, and the tokens below it.

    If all fields exist, return the pointer of the last one, and None.
    """
    node, path = spec, base
    for depth, token in enumerate(tokens, 1):
        path = f"{path}/{escape(token)}"
        node = _child(node, token, path)
        if node is None:
            return path, tokens[depth:]
    return path, None


def combine(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """Return the operations of several rules as one patch.

    If two rules add the same missing parent, the second operation would replace the first. Such a pair becomes one
    operation with the contents of both.
    """
    combined: dict[str | int, Operation] = {}
    for operation in operations:
        # Each append to an existing list is an item of its own.
        appends = operation.path.endswith(f"/{END}")
        key = len(combined) if appends or operation.op != "add" else operation.path
        if before := combined.get(key):
            combined[key] = Operation(operation.op, operation.path, _merged(before.value, operation.value))
        else:
            combined[key] = operation
    return tuple(combined.values())


def escape(token: str) -> str:
    """Return a key as a token of a JSON pointer; `~` is escaped before `/`."""
    return token.replace("~", "~0").replace("/", "~1")


def _child(node: Unstructured, token: str, path: str) -> Unstructured:
    if isinstance(node, dict) and token != END:
        return node.get(token)
    if isinstance(node, list) and token == END:
        return None
    if isinstance(node, list) and token.isdigit() and int(token) < len(node):
        return node[int(token)]
    raise UnpatchableError(path.rpartition("/")[0])


def _nested(tokens: Sequence[str], value: Unstructured) -> Unstructured:
    for token in reversed(tokens):
        value = [value] if token == END else {token: value}
    return value


def _merged(first: Unstructured, second: Unstructured) -> Unstructured:
    if isinstance(first, list) and isinstance(second, list):
        return [*first, *second]
    if isinstance(first, dict) and isinstance(second, dict):
        shared = {key: _merged(first[key], second[key]) for key in first if key in second}
        return {**first, **second, **shared}
    return second
