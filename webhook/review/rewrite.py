"""YAML output of `review`: the files with the changes of the webhook, their comments and the order of their keys."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from webhook.kube.manifests import Manifest, dump
from webhook.review import Reviewed
from webhook.review.yaml_edit import edit
from webhook.workloads.unstructured import Unstructured

# YAML 1.2.2, production c-forbidden: a line that starts with `---` is always the start of a document.
_DOCUMENT = re.compile(r"^(?=---(?:\s|\Z))", re.MULTILINE)


def as_yaml(objects: Sequence[Manifest], reviewed: Sequence[Reviewed]) -> str:
    """Return the files as one YAML stream. Documents that the webhook does not change are returned as they are.

    Args:
        objects: Objects of the files or of a cluster, with Namespaces.
        reviewed: Reviewed objects among them.
    """
    by_object = {id(each.manifest): each for each in reviewed}
    parts = [
        part
        for _, group in groupby(objects, key=lambda each: (each.source, id(each.text)))
        for part in _rewrite_file([*group], by_object)
    ]
    stream = "".join(part if part.startswith("---") else f"---\n{part}" for part in parts)
    return stream.removeprefix("---\n")


def _rewrite_file(objects: Sequence[Manifest], reviewed: dict[int, Reviewed]) -> Iterator[str]:
    text = objects[0].text
    if not text:
        yield from (dump(reviewed[id(each)].result if id(each) in reviewed else each.item) for each in objects)
        return
    line = 1
    for document in _DOCUMENT.split(text):
        end = line + document.count("\n")
        found = [reviewed[id(each)] for each in objects if line <= each.line <= end and id(each) in reviewed]
        line = end
        if document.strip():
            document = document if document.endswith("\n") else f"{document}\n"  # noqa: PLW2901
            yield _rewrite_document(document, found)


def _rewrite_document(text: str, reviewed: Sequence[Reviewed]) -> str:
    if any(each.manifest.item is not each.request.item for each in reviewed):  # an AdmissionReview
        return "---\n".join(dump(each.result) for each in reviewed)
    patch = [operation for each in reviewed for operation in _operations(each)]
    return edit(text, patch) if patch else text


def _operations(reviewed: Reviewed) -> Iterator[Unstructured]:
    for operation in reviewed.response.operations:
        yield {**operation.as_json(), "path": reviewed.manifest.pointer + operation.path}
