"""What users have, as raw objects: YAML with several documents, JSON, Lists, AdmissionReviews."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import yaml

from webhook.policy.errors import InputError
from webhook.workloads import unstructured
from webhook.workloads.unstructured import Unstructured, sequence


class ManifestError(InputError):
    """A text that is no manifest; the message begins with `SOURCE:LINE:`."""

    def __init__(self, source: str, line: int, problem: str) -> None:
        """`line` counts from 1."""
        super().__init__(f"{source}:{line}: {problem}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object of a file.

    Attributes:
        source: The file's name, as the user gave it.
        line: Where its document begins, from 1; 0 where it comes from no file.
        item: The raw object.
        node: Where its parts stand in the text; None where it comes from no text.
    """

    source: str
    line: int
    item: Unstructured
    node: yaml.Node | None = field(default=None, compare=False, repr=False)

    def line_of(self, pointer: str) -> int:
        """The line of what stands at a JSON pointer, or of its nearest parent that is there."""
        node, line = self.node, int(self.node.start_mark.line) + 1 if self.node else self.line
        for token in pointer.split("/")[1:]:
            key, node = _child(node, token.replace("~1", "/").replace("~0", "~"))
            if key is None:
                return line
            line = int(key.start_mark.line) + 1
        return line


def _child(node: yaml.Node | None, token: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """What names a node's child, and the child."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, child) for key, child in reversed(node.value) if key.value == token), (None, None))
    if isinstance(node, yaml.SequenceNode) and token.isdigit() and int(token) < len(node.value):
        return node.value[int(token)], node.value[int(token)]
    return None, None


def read(text: str, source: str, *, others: bool = False) -> tuple[Manifest, ...]:
    """All objects of a text, those within Lists one by one. JSON is YAML.

    Args:
        text: YAML, any number of documents.
        source: The file's name.
        others: Whether what has neither apiVersion nor kind is left out: such a document, and such a text even where
            it is no YAML at all. Else they are errors.

    Raises:
        ManifestError: The text is no YAML, or a document is no Kubernetes object.
    """
    if others and not _KUBERNETES.search(text):
        return ()
    return tuple(manifest for found in _documents(text, source, others=others) for manifest in _unlisted(found))


def _documents(text: str, source: str, *, others: bool) -> Iterator[Manifest]:
    try:
        loader = _Loader(_untabbed(text))
        while loader.check_node():
            if (node := loader.get_node()) is None:
                return
            if others and not _says_what_it_is(node):
                continue
            item = loader.construct_document(node)
            line = node.start_mark.line + 1
            if item is None:  # as `---` at the end of a file makes
                continue
            if not (unstructured.text(item, "apiVersion") and unstructured.text(item, "kind")):
                raise ManifestError(source, line, "expected a Kubernetes object with apiVersion and kind")
            yield Manifest(source, line, item, node)
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


_KUBERNETES = re.compile(r"\b(apiVersion|kind)\b\"?\s*:")


def _says_what_it_is(node: yaml.Node) -> bool:
    return any(_child(node, key)[0] is not None for key in ("apiVersion", "kind"))


def _untabbed(text: str) -> str:
    """JSON may be indented by tabs, which YAML forbids; in valid JSON no tab stands within a value."""
    if "\t" not in text or not text.lstrip().startswith("{"):
        return text
    try:
        json.loads(text)
    except ValueError:
        return text
    return text.replace("\t", " ")


def _unlisted(manifest: Manifest) -> Iterator[Manifest]:
    if not str(manifest.item["kind"]).endswith("List"):
        yield manifest
        return
    _, items = _child(manifest.node, "items")
    for index, item in enumerate(sequence(manifest.item, "items")):
        yield Manifest(manifest.source, manifest.line, item, _child(items, str(index))[1])


class _Loader(yaml.SafeLoader):
    """Refuses what kubectl refuses too, a key that stands twice, and says where a value is none of its type."""

    def __init__(self, stream: str) -> None:
        """Read `stream`."""
        super().__init__(stream)
        self._looked_through: set[yaml.MappingNode] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        # What `<<` brings stands among a mapping's own keys afterwards, which may say otherwise.
        if node not in self._looked_through:
            self._looked_through.add(node)
            self._refuse_twice([key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"])
        super().flatten_mapping(node)

    def _refuse_twice(self, nodes: Sequence[yaml.Node]) -> None:
        keys = [self.construct_object(each, deep=True) for each in nodes]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                mark = nodes[index].start_mark
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Unstructured:  # noqa: FBT001, FBT002 - PyYAML's signature
        try:
            return super().construct_object(node, deep=deep)
        except ValueError as error:  # `!!int abc`
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None


# A date stays the text that it is in JSON; YAML 1.1 would make an object of it.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def dump(item: Unstructured) -> str:
    """An object as YAML, in the order it has."""
    return yaml.dump(item, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


class _Dumper(yaml.SafeDumper):
    """Writes lists the way Kubernetes manifests have them, indented, and no anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's signature
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Unstructured) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True
