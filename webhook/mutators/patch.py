"""JSON patch operations (RFC 6902) on JSON pointers (RFC 6901), said one by one and never found by a diff."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from webhook.workloads.unstructured import Unstructured

END = "-"
"""The pointer token for the place behind a list's last item."""


class Operation(NamedTuple):
    """One operation of a patch.

    Attributes:
        op: `add` or `replace`; nothing here ever removes.
        path: A JSON pointer from the root of the object.
        value: What stands there afterwards.
    """

    op: Literal["add", "replace"]
    path: str
    value: Unstructured

    def as_json(self) -> dict[str, Unstructured]:
        """The operation as it goes into a patch document."""
        return {"op": self.op, "path": self.path, "value": self.value}


class UnpatchableError(Exception):
    """A field on the way holds something of another type than Kubernetes gives it.

    Attributes:
        path: JSON pointer of that field.
    """

    def __init__(self, path: str) -> None:
        """The field at `path` cannot be patched."""
        super().__init__(f"{path} is not of the type that Kubernetes gives it; left alone")
        self.path = path


def put(spec: Unstructured, base: str, tokens: Sequence[str], value: Unstructured) -> Operation:
    """The operation that puts `value` at `tokens` below `spec`, making whatever parents are missing or null.

    Args:
        spec: The raw pod spec.
        base: Its JSON pointer.
        tokens: Unescaped keys, list indices, or `END`.
        value: What to put.

    Raises:
        UnpatchableError: A parent is neither missing, null, nor of the right type.
    """
    path, below = _way(spec, base, tokens)
    return Operation("replace", path, value) if below is None else Operation("add", path, _nested(below, value))


def append(
    spec: Unstructured, base: str, tokens: Sequence[str], items: Sequence[Unstructured]
) -> tuple[Operation, ...]:
    """The operations that put `items` at the end of the list at `tokens`; one where the list is missing or null.

    Raises like `put`.
    """
    path, below = _way(spec, base, (*tokens, END))
    if below:  # down to the list's end
        return (Operation("add", path, _nested(below[:-1], list(items))),)
    return tuple(Operation("add", path, item) for item in items)


def _way(spec: Unstructured, base: str, tokens: Sequence[str]) -> tuple[str, Sequence[str] | None]:
    """The pointer of the first of `tokens` that is missing or null and the tokens below it; None where all are there.

    Raises like `put`.
    """
    node, path = spec, base
    for depth, token in enumerate(tokens, 1):
        path = f"{path}/{escape(token)}"
        node = _child(node, token, path)
        if node is None:
            return path, tokens[depth:]
    return path, None


def combine(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """The operations of several rules as one patch.

    Two rules that both found a parent missing each add it whole; such a pair becomes one addition of both
    contents, where the second would otherwise have replaced the first.
    """
    said = tuple(operations)
    if len({operation.path for operation in said}) == len(said):  # no two meet
        return said
    combined: dict[str | int, Operation] = {}
    for operation in said:
        # Appending to an existing list is never a pair: each append is an item of its own.
        appends = operation.path.endswith(f"/{END}")
        key = len(combined) if appends or operation.op != "add" else operation.path
        if before := combined.get(key):
            combined[key] = Operation(operation.op, operation.path, _merged(before.value, operation.value))
        else:
            combined[key] = operation
    return tuple(combined.values())


def escape(token: str) -> str:
    """A key as a token of a JSON pointer: `~` and `/` are escaped, in this order."""
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
        both = {key: _merged(first[key], second[key]) for key in first if key in second}
        return {**first, **second, **both}
    return second
