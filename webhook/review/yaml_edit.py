"""Editor of YAML text: apply JSON patch operations and keep comments, order and style of all other lines.

Each operation changes only the lines of its own value. A round-trip parser such as ruamel.yaml is no alternative: it
attaches a comment to the value before it, so a key that is added there ends up behind the next section's comment.
"""

import json
import re
from collections.abc import Sequence

import jsonpatch
import yaml

from webhook.kube import manifests
from webhook.kube.manifests import dump
from webhook.policy.errors import InputError
from webhook.workloads.unstructured import Unstructured

_UNFOLDED_WIDTH = 10_000
# `key:` whose list items are not indented.
_INDENTLESS = re.compile(r"^( *)[^\s#-][^\n]*:[ \t]*\n\1- ", re.MULTILINE)


def edit(text: str, patch: Sequence[Unstructured]) -> str:
    """Return the text of one YAML document after a JSON patch of `add` and `replace` operations.

    If the edited text does not have the expected content, for example because an alias shares the changed value, the
    document is serialized again without comments.
    """
    expected = jsonpatch.apply_patch(manifests.parse(text), patch)
    try:
        edited = text
        for operation in patch:
            edited = _apply(edited, operation["path"].split("/")[1:], operation["value"])
        if manifests.parse(edited) == expected:
            return edited
    except (InputError, yaml.YAMLError, LookupError):
        pass
    return dump(expected)


def _apply(text: str, path: Sequence[str], value: Unstructured) -> str:
    *parents, token = (each.replace("~1", "/").replace("~0", "~") for each in path)
    parent = yaml.compose(text, yaml.SafeLoader)
    for each in parents:
        parent = _find(parent, each)[1]
    key, child = _find(parent, token)
    if child is None or key is None:
        return _add(text, parent, token, value)
    if isinstance(child, yaml.SequenceNode) and isinstance(value, list) and len(value) == len(child.value):
        return _replace_items(text, path, value, child)
    if key is child:  # an item of a list
        return _replace_inline(text, child, value)
    return _replace(text, parent, (key, child), value)


def _find(parent: yaml.Node | None, token: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """Return the key node and the value node of a child; for an item of a list, the item is both."""
    if isinstance(parent, yaml.MappingNode):
        return next(((key, child) for key, child in parent.value if key.value == token), (None, None))
    if isinstance(parent, yaml.SequenceNode) and token.isdigit() and int(token) < len(parent.value):
        return parent.value[int(token)], parent.value[int(token)]
    return None, None


def _replace_items(text: str, path: Sequence[str], items: Sequence[Unstructured], old: yaml.SequenceNode) -> str:
    """Replace the scalar items that differ, so that comments between the items stay."""
    for index, (item, node) in enumerate(zip(items, old.value, strict=True)):
        if not isinstance(node, yaml.ScalarNode) or node.value != item:
            text = _apply(text, (*path, str(index)), item)
    return text


def _replace(text: str, parent: yaml.Node | None, pair: tuple[yaml.Node, yaml.Node], value: Unstructured) -> str:
    """Replace the value of a key."""
    key, child = pair
    in_flow = isinstance(parent, yaml.MappingNode) and parent.flow_style
    is_block = isinstance(child, yaml.CollectionNode) and not child.flow_style
    becomes_block = isinstance(child, yaml.ScalarNode) and isinstance(value, dict | list)
    if in_flow or not (is_block or becomes_block):
        return _replace_inline(text, child, value)
    lines = _block(text, {key.value: value}, key.start_mark.column).strip()
    return text[: key.start_mark.index] + lines + text[_content_end(text, child) :]


def _replace_inline(text: str, child: yaml.Node, value: Unstructured) -> str:
    start = child.start_mark.index
    space = "" if text[start - 1].isspace() or text[start - 1] in "[{," else " "  # an empty value follows its colon
    return text[:start] + space + _flow(text, value) + text[_content_end(text, child) :]


def _add(text: str, parent: yaml.Node | None, token: str, value: Unstructured) -> str:
    """Add a key to a mapping, or append an item to a list."""
    if not isinstance(parent, yaml.CollectionNode) or (isinstance(parent, yaml.SequenceNode) and token.isdigit()):
        raise LookupError(token)
    end = _content_end(text, parent.value[-1] if parent.value else parent)
    if parent.flow_style:
        item = _flow(text, {token: value} if isinstance(parent, yaml.MappingNode) else [value])[1:-1]
        separator, position = (", ", end) if parent.value else ("", parent.start_mark.index + 1)
        return text[:position] + separator + item + text[position:]
    newline = text.index("\n", end) + 1
    if isinstance(parent, yaml.MappingNode):
        return text[:newline] + _block(text, {token: value}, parent.start_mark.column) + text[newline:]
    return text[:newline] + _block(text, [value], parent.start_mark.column) + text[newline:]


def _content_end(text: str, node: yaml.Node | tuple[yaml.Node, yaml.Node]) -> int:
    """Return the index after the last character of a node, before comments that follow it."""
    last = node[1] if isinstance(node, tuple) else node
    while isinstance(last, yaml.CollectionNode) and not last.flow_style and last.value:
        last = last.value[-1][1] if isinstance(last, yaml.MappingNode) else last.value[-1]
    end = int(last.end_mark.index)
    return len(text[:end].rstrip()) if isinstance(last, yaml.ScalarNode) and last.style in ("|", ">") else end


def _block(text: str, value: Unstructured, column: int) -> str:
    lines = dump(value, indentless=_INDENTLESS.search(text) is not None).splitlines(keepends=True)
    return "".join(" " * column + line for line in lines)


def _flow(text: str, value: Unstructured) -> str:
    """Return a value on one line: as JSON in a JSON document, else as YAML."""
    if text.lstrip().startswith("{"):
        return json.dumps(value, ensure_ascii=False)
    listed = yaml.safe_dump(
        [value], default_flow_style=True, width=_UNFOLDED_WIDTH, allow_unicode=True, sort_keys=False
    )
    return listed.strip()[1:-1]
