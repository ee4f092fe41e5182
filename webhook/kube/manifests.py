"""Parser of Kubernetes manifests: YAML streams, JSON, Lists and AdmissionReviews, as unstructured objects."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import yaml

from webhook.policy.errors import InputError
from webhook.workloads import unstructured
from webhook.workloads.unstructured import Unstructured, sequence

# go-yaml, which kubectl parses with, restricts aliases from 400,000 decoded nodes on (`alias_ratio_range_low`).
MAX_EXPANDED_NODES = 400_000


class ManifestError(InputError):
    """Invalid manifest; the message starts with `SOURCE:LINE:`."""

    def __init__(self, source: str, line: int, problem: str) -> None:
        """Build the message; `line` starts at 1."""
        super().__init__(f"{source}:{line}: {problem}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """Kubernetes object and its position in a file.

    Attributes:
        source: File name as the user typed it.
        line: First line of the YAML document, from 1; 0 if the object was read from a cluster.
        item: Unstructured object.
        node: YAML node with line numbers; None if the object was read from a cluster.
        text: Whole text of the file; empty if the object was read from a cluster.
        pointer: JSON pointer of the object within its YAML document; not empty for an item of a List.
    """

    source: str
    line: int
    item: Unstructured
    node: yaml.Node | None = field(default=None, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)
    pointer: str = ""

    @property
    def where(self) -> str:
        """Return the file and line, as in messages."""
        return f"{self.source}:{self.line}" if self.line else self.source

    def line_of(self, pointer: str) -> int:
        """Return the line of a JSON pointer, or of its nearest existing parent."""
        node, line = self.node, int(self.node.start_mark.line) + 1 if self.node else self.line
        for token in pointer.split("/")[1:]:
            key, node = _child(node, token.replace("~1", "/").replace("~0", "~"))
            if key is None:
                return line
            line = int(key.start_mark.line) + 1
        return line


def _child(node: yaml.Node | None, token: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """Return the key node and the value node of a child."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, child) for key, child in reversed(node.value) if key.value == token), (None, None))
    if isinstance(node, yaml.SequenceNode) and token.isdigit() and int(token) < len(node.value):
        return node.value[int(token)], node.value[int(token)]
    return None, None


def read(text: str, source: str, *, skip_others: bool = False) -> tuple[Manifest, ...]:
    """Parse all objects of a text and expand Lists.

    Args:
        text: YAML with any number of documents, or JSON.
        source: File name.
        skip_others: Skip documents without a kind, such as Helm's Chart.yaml, and texts that do not mention a kind,
            also if they are not valid YAML. By default they are errors.

    Raises:
        ManifestError: The text is not valid YAML, or a document is not a Kubernetes object.
    """
    if skip_others and not _KIND.search(text):
        return ()
    return tuple(
        manifest
        for document in _documents(text, source, skip_others=skip_others)
        for manifest in _expand_list(document)
    )


def _documents(text: str, source: str, *, skip_others: bool) -> Iterator[Manifest]:
    try:
        loader = _Loader(_without_tabs(text))
        while loader.check_node():
            if (node := loader.get_node()) is None:
                return
            if skip_others and _child(node, "kind")[0] is None:
                continue
            aliased = _check_aliases(node)
            item = loader.construct_document(node)
            line = node.start_mark.line + 1
            if item is None:  # an empty document, such as after a trailing `---`
                continue
            if not (unstructured.text(item, "apiVersion") and unstructured.text(item, "kind")):
                raise ManifestError(source, line, "expected a Kubernetes object with apiVersion and kind")
            yield Manifest(source, line, _copy_aliases(item) if aliased else item, node, text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ManifestError(source, mark.line + 1 if mark else 1, error.problem or str(error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ManifestError(source, line, f"character #x{error.character:04x} is not allowed") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ManifestError):
            raise
        raise ManifestError(source, 1, str(error).splitlines()[0]) from None


def parse(text: str) -> Unstructured:
    """Parse one YAML document, which may be a List.

    Raises:
        ManifestError: The text is not exactly one Kubernetes object.
    """
    found = tuple(_documents(text, "document", skip_others=False))
    if len(found) != 1:
        raise ManifestError("document", 1, "expected one object")
    return found[0].item


_KIND = re.compile(r"\bkind\b[\"']?\s*:")


def _check_aliases(root: yaml.Node) -> bool:
    """Return whether a document has aliases.

    Raises:
        ConstructorError: An alias is inside its own anchor, or the aliases expand to too many nodes.
    """
    sizes: dict[int, int] = {}

    def measure(node: yaml.Node) -> int:
        if (size := sizes.get(id(node))) is None:
            sizes[id(node)] = 0  # until the children are measured
            sizes[id(node)] = size = 1 + sum(map(measure, _children(node)))
        if size == 0:
            raise yaml.constructor.ConstructorError(None, None, "an alias refers to its own parent", node.start_mark)
        return size

    expanded = measure(root)
    if len(sizes) < expanded > MAX_EXPANDED_NODES:
        problem = f"aliases expand to more than {MAX_EXPANDED_NODES} nodes"
        raise yaml.constructor.ConstructorError(None, None, problem, root.start_mark)
    return len(sizes) < expanded


def _children(node: yaml.Node) -> Sequence[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else ()


def _copy_aliases(item: Unstructured) -> Unstructured:
    """Return an object without shared parts, so that a patch of one part leaves all others unchanged."""
    if isinstance(item, dict):
        return {key: _copy_aliases(value) for key, value in item.items()}
    return [_copy_aliases(value) for value in item] if isinstance(item, list) else item


def _without_tabs(text: str) -> str:
    """Replace tabs in JSON, which YAML forbids. A JSON string cannot contain a literal tab."""
    if "\t" not in text or not text.lstrip().startswith("{"):
        return text
    try:
        json.loads(text)
    except ValueError:
        return text
    return text.replace("\t", " ")


def _expand_list(manifest: Manifest) -> Iterator[Manifest]:
    if not str(manifest.item["kind"]).endswith("List"):
        yield manifest
        return
    _, items = _child(manifest.node, "items")
    for index, item in enumerate(sequence(manifest.item, "items")):
        node = _child(items, str(index))[1]
        yield replace(manifest, item=item, node=node, pointer=f"/items/{index}")


class _Loader(yaml.SafeLoader):
    """YAML loader that rejects duplicate keys, as kubectl does, and reports the line of an invalid value."""

    def __init__(self, stream: str) -> None:
        """Prepare to load `stream`."""
        super().__init__(stream)
        self._checked: set[yaml.MappingNode] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        # After the merge of `<<`, a mapping's own keys may override merged keys: check for duplicates before it.
        if node not in self._checked:
            self._checked.add(node)
            self._reject_duplicates([key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"])
        super().flatten_mapping(node)

    def _reject_duplicates(self, nodes: Sequence[yaml.Node]) -> None:
        keys = [self.construct_object(node, deep=True) for node in nodes]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                mark = nodes[index].start_mark
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Unstructured:  # noqa: FBT001, FBT002 - PyYAML's signature
        try:
            return super().construct_object(node, deep=deep)
        except ValueError as error:  # `!!int abc`
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None


# Keep dates as strings, as in JSON; YAML 1.1 would parse them.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def dump(item: Unstructured, *, indentless: bool = False) -> str:
    """Serialize an object as YAML and keep the order of its keys.

    Args:
        item: Object, or a part of one.
        indentless: Write the items of a list in the column of its key.
    """
    dumper = _IndentlessDumper if indentless else _Dumper
    return yaml.dump(item, Dumper=dumper, sort_keys=False, allow_unicode=True, width=10_000)


class _IndentlessDumper(yaml.SafeDumper):
    """YAML dumper without anchors."""

    def ignore_aliases(self, data: Unstructured) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


class _Dumper(_IndentlessDumper):
    """YAML dumper with indented lists, as in Kubernetes manifests, and without anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's signature
        super().increase_indent(flow, indentless=False)
