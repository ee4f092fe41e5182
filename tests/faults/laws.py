"""What must hold for every answer, checked on bytes alone: nothing here asks the webhook what it meant."""

from __future__ import annotations

import base64
import difflib
import json
import re
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import jsonpatch
import orjson

from webhook.admission.request import MAX_UID_LENGTH, MalformedReviewError
from webhook.admission.response import Status
from webhook.placement.model import MARKER, Hints, PreferredNodes

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence

    from webhook.http.app import Webhook
    from webhook.placement.model import Questions
    from webhook.workloads.unstructured import Unstructured

Answer = TypeVar("Answer")

ENVELOPE = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
LONGEST_WARNING = 256  # characters; the API server cuts what is longer
_TEMPLATE = r"/spec|/spec/(worker|scheduler)/spec|/spec/cluster/spec/(worker|scheduler)/spec"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
OWNED = re.compile(
    rf"({_TEMPLATE})(/affinity/(pod(Anti)?|node)Affinity/{_PREFERRED}/|/topologySpreadConstraints/"
    r"|/containers/\d+/(resources/limits/[^/]+~1[^/]+$|command(/|$)|args(/|$)))"
)
"""What the rules together may touch; of limits those of extended resources alone, whose names have a domain."""
CONTAINER = re.compile(rf"(?P<template>{_TEMPLATE})/containers/(?P<place>\d+)/")
_READ = 8  # containers of a pod whose commands count
_MOST_WORDS, _LONGEST_WORDS = 512, 32 * 1024  # of a command that is read
COMMAND = re.compile(rf"({_TEMPLATE})/containers/\d+/(command|args)")
TERM = re.compile(rf"({_TEMPLATE})/affinity/podAffinity/{_PREFERRED}/\d+")
HINT = re.compile(rf"({_TEMPLATE})/affinity/nodeAffinity/{_PREFERRED}/\d+")
GUIDE = {"matchExpressions": [{"key": "dask.org/component", "operator": "In", "values": ["worker"]}]}
CONVERTED = re.compile(r"dask|cuda|worker|scheduler|python|-m|-c")
"""In each word that a conversion may write or take away, but for options that are dropped, and their values."""


class Plenty:
    """Source of capacity with the same hosts for every object."""

    def hints(self, questions: Questions) -> Hints:  # noqa: ARG002 - the port's signature
        """Return two hosts for the workers and one for the Dask scheduler."""
        return Hints(
            PreferredNodes(("node-a", "node-b"), 4, "node-a, node-b"), PreferredNodes(("node-c",), 1, "node-c")
        )


class BrokenLawError(AssertionError):
    """An answer that must never be given; the text says which law it breaks."""


def hold(law: bool, text: object) -> None:
    """Insist on a law."""
    if not law:
        raise BrokenLawError(str(text))


def answer(webhook: Webhook, body: bytes) -> bytes | None:
    """The answer to a body; None where it is refused as no review. Whatever else is raised gets out.

    The namespaces must be there already: no event loop runs.
    """
    try:
        return driven(webhook.answer(body))
    except MalformedReviewError as error:
        hold("\n" not in str(error) and len(str(error)) < 1000, f"the reason is one short line: {error}")
        return None


def driven(steps: Coroutine[Any, Any, Answer]) -> Answer:
    """Return the result of a coroutine that waits for nothing; an event loop for each of millions takes too long.

    A large body yields once to other requests (`asyncio.sleep(0)`), which waits for nothing.
    """
    try:
        while steps.send(None) is None:
            pass
    except StopIteration as done:
        result: Answer = done.value
        return result
    raise BrokenLawError("the answer waited for something")


def check(body: bytes, given: bytes | None, webhook: Webhook) -> bool:
    """Check everything about the answer `given` to `body`, also what is answered then; whether there was a patch.

    Raises:
        BrokenLawError: With the law.
    """
    if given is None:
        hold(not is_review(body), "a review is answered")
        return False
    review = orjson.loads(body)
    response = _response(review, given)
    operations = _operations(response)
    if not operations:
        return False
    item = review["request"]["object"]
    for operation in operations:
        check_operation(item, operation)
    check_containers(item, operations)
    # Operations may build on each other, so the library applies to the whole.
    review["request"]["object"] = jsonpatch.apply_patch(item, operations, in_place=True)
    again = answer(webhook, _written(review))
    hold(again is not None and not _operations(_response(review, again)), "deciding again changes something")
    return True


def is_review(body: bytes) -> bool:
    """Whether a body is an AdmissionReview v1 with a request that can be answered."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(document, dict) or any(document.get(key) != value for key, value in ENVELOPE.items()):
        return False
    request = document.get("request")
    uid = request.get("uid") if isinstance(request, dict) else None
    return isinstance(uid, str) and 0 < len(uid) <= MAX_UID_LENGTH


def _written(review: Unstructured) -> bytes:
    try:
        return orjson.dumps(review)
    except orjson.JSONEncodeError:  # it writes 254 levels and reads 1,024
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(4 * limit)
        try:
            return json.dumps(review).encode()
        finally:
            sys.setrecursionlimit(limit)


def _response(review: Unstructured, given: bytes) -> Unstructured:
    document = json.loads(given.decode())
    hold(document.keys() == {*ENVELOPE, "response"}, "an AdmissionReview has three fields")
    hold({key: document[key] for key in ENVELOPE} == ENVELOPE, "it is of version v1")
    response = document["response"]
    optional = {"patch", "patchType", "warnings", "auditAnnotations"}
    hold({"uid", "allowed"} <= response.keys() <= {"uid", "allowed"} | optional, sorted(response))
    hold(response["uid"] == review["request"]["uid"], "the uid is that of the request")
    hold(response["allowed"] is True, "everything is allowed")
    hold(("patch" in response) == (response.get("patchType") == "JSONPatch"), "a patch has its type")
    _check_texts(response)
    return response


def _check_texts(response: Unstructured) -> None:
    for line in response.get("warnings", []):
        hold(isinstance(line, str) and len(line) <= LONGEST_WARNING and line.isprintable(), line)
    for key, text in response.get("auditAnnotations", {}).items():
        hold(re.fullmatch(r"[a-z]+", key) and isinstance(text, str), f"audit annotation {key}")
    status = response.get("auditAnnotations", {}).get("status")
    hold(status != Status.INTERNAL_ERROR, "an exception of our own")


def _operations(response: Unstructured) -> list[Unstructured]:
    operations = json.loads(base64.b64decode(response.get("patch", "W10="), validate=True))
    hold(("patch" in response) == bool(operations), "no operations, no patch")
    return list(operations)


# ---- one operation --------------------------------------------------------------------------------


def check_operation(item: Unstructured, operation: Unstructured) -> None:
    """It touches only what is ours, and replaces nothing of the user's but what it may."""
    path, value = operation["path"], operation["value"]
    hold(operation.keys() == {"op", "path", "value"} and operation["op"] in {"add", "replace"}, operation)
    for leaf in _leaves(path, value):
        hold(OWNED.match(leaf), f"{leaf} is not ours")
    there = _at(item, path)
    if there is not None:
        hold(operation["op"] == "replace" and may_replace(path, there, value), f"{path} was there: {there!a:.100}")
        hold(type(there) is type(value), f"{path} changes its type")


def check_containers(item: Unstructured, operations: Sequence[Unstructured]) -> None:
    """In each pod template one container at most changes, and it is the right one: every other is a sidecar."""
    touched: dict[str, set[int]] = {}
    for operation in operations:
        if found := CONTAINER.match(operation["path"]):
            touched.setdefault(found["template"], set()).add(int(found["place"]))
    for template, places in touched.items():
        hold(len(places) == 1, f"containers {sorted(places)} of {template} change")
        _check_container(item, template, *places)


def _check_container(item: Unstructured, template: str, place: int) -> None:
    role = template.split("/")[-2] or item["metadata"]["labels"]["dask.org/component"]
    containers = _at(item, f"{template}/containers")
    starting = [at for at, container in enumerate(containers[:_READ]) if _starts(container, role)]
    hold(set(starting) <= {place}, f"container {place} of {template} changes beside the {role} in {starting}")
    chosen = containers[place]
    alone = sum(isinstance(container, dict) for container in containers) == 1
    named = chosen.get("name") == role or role in " ".join(_words(chosen))
    hold(alone or named, f"container {place} of {template} changes without a reason")


def _starts(container: Unstructured, role: str) -> bool:
    """Whether a container's first words are a plain start of the role; what is too long is not read."""
    words = _words(container)
    program = [word.rpartition("/")[2] for word in words[:2]]
    scripts = {f"dask-{role}"} | ({"dask-cuda-worker"} if role == "worker" else set())
    plain = bool(words) and not words[0].startswith("-") and (program[0] in scripts or program == ["dask", role])
    return plain and len(words) <= _MOST_WORDS and sum(map(len, words)) <= _LONGEST_WORDS


def _words(container: Unstructured) -> list[str]:
    lists = [container.get(key) for key in ("command", "args")] if isinstance(container, dict) else []
    words = [word for each in lists if isinstance(each, list) for word in each]
    return words if all(isinstance(word, str) for word in words) else []


def may_replace(path: str, there: Unstructured, value: Unstructured) -> bool:
    """Whether what stands at a path may go: a command that is converted, the guide's own term, an earlier hint."""
    if COMMAND.fullmatch(path):
        return survives(there, value)
    if TERM.fullmatch(path):
        return there["podAffinityTerm"]["labelSelector"] == GUIDE
    # Whatever else is written into the expression: by its key and operator the item is the webhook's own.
    return bool(HINT.fullmatch(path)) and any(
        isinstance(each, dict) and each.get("key") == MARKER and each.get("operator") in {"NotIn", "DoesNotExist"}
        for each in there["preference"]["matchExpressions"]
    )


def survives(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether all words of a command are there still and in order, but for what a conversion writes and drops."""
    match = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for _, gone, to, new, until in match.get_opcodes():
        if not all(CONVERTED.search(word) for word in after[new:until] if word not in before[gone:to]):
            return False
        lost = [word for word in before[gone:to] if word not in after[new:until] and not CONVERTED.search(word)]
        first = gone if until > new else _slid(before, gone, to)
        if lost and not any(word.startswith("--") for word in before[max(0, first - 1) : to]):
            return False
    return True


def _slid(words: Sequence[str], first: int, last: int) -> int:
    """How far forward the same words could be missing: of `--nthreads 0 0` either 0 is, to who compares."""
    while first > 0 and words[first - 1] == words[last - 1]:
        first, last = first - 1, last - 1
    return first


def _leaves(path: str, value: Unstructured) -> Iterator[str]:
    """The pointers of all that an operation writes, down to where the rules' own values begin."""
    entries = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if _is_list(value) else []
    if OWNED.match(path) or not entries:
        yield path
        return
    for key, inner in entries:
        token = str(key).replace("~", "~0").replace("/", "~1")
        yield from _leaves(f"{path}/{token}", inner)


def _is_list(value: Unstructured) -> bool:
    return isinstance(value, list)


def _at(node: Unstructured, path: str) -> Unstructured:
    """What stands at a pointer; None for nothing, for null, and behind a list's end."""
    for token in path.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict):
            node = node.get(key)
        elif isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        else:
            return None
    return node
