"""The reviews that are sent: recorded ones from `tests/cases`, and the same made longer."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any
from uuid import UUID

import jsonpatch
import orjson
import yaml

from tests.unit.case import CASES
from webhook.admission import handler
from webhook.admission.request import parse_document
from webhook.admission.response import AdmissionResponse, parse_response, render
from webhook.policy import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

Document = dict[str, Any]

ENABLED = {"colocate.dask.org/enabled": "true"}
# What the API server really sent, by kind; the worker pod is one that a ReplicaSet's controller created.
RECORDED = {
    "worker pod": "pod-made-by-the-replicaset-controller",
    "DaskCluster": "stripped-guide-cluster",
    "DaskWorkerGroup": "group-added-by-kubecluster",
    "DaskJob": "job",
}
FIRST, RIGHT, NOT_ENABLED = "first worker of a cluster", "pod already right", "namespace not enabled"
KINDS = ("worker pod", FIRST, "DaskCluster", "DaskWorkerGroup", "DaskJob", RIGHT, NOT_ENABLED)
WORKER = "worker pod"
SIZES = (4, 20, 100)  # kB
# In the recorded worker pod: what is each worker's own, and the cluster's name, which has as many letters as another's.
_OWN, _CLUSTER = (b"67ecd39266", b"54d88c7f4", b"l6t97"), b"rapids-dask-cluster"


def recorded(kind: str) -> Document:
    """A review of this kind as it was recorded; `pod already right` has the answer applied."""
    if kind not in RECORDED:
        return _right() if kind == RIGHT else recorded(WORKER)
    document: Document = orjson.loads((CASES / RECORDED[kind] / "review.json").read_bytes())
    return document


def given(kind: str) -> dict[str, str]:
    """What stands on the review's namespace."""
    return {} if kind == NOT_ENABLED else ENABLED


def of_size(kilobytes: int) -> Document:
    """A worker pod whose review takes about so much: longer by environment variables, as users' pods are.

    Each one is in `managedFields` once more, as it is when an API server sends it.
    """
    document = recorded(WORKER)
    each = len(encoded(_with_variables(document, 1))) - len(encoded(_with_variables(document, 0)))
    missing = kilobytes * 1000 - len(encoded(document))
    return _with_variables(document, max(0, missing // each))


def with_containers(count: int) -> Document:
    """A worker pod with `count` containers in all; the worker is the first."""
    document = copy.deepcopy(recorded(WORKER))
    containers = document["request"]["object"]["spec"]["containers"]
    side_car = {**containers[0], "name": "side-car", "image": "side-car", "args": ["serve"]}
    containers += [{**side_car, "name": f"side-car-{number}"} for number in range(count - 1)]
    return document


def numbered(document: Document, number: int, *, cluster: int | None = None) -> bytes:
    """The review as bytes, as the `number`th of its kind: no two reviews of an API server are the same bytes.

    Worker pods differ in what the operator and the controllers give each its own of: the names of its Deployment and
    its ReplicaSet, their hash, the token's volume.

    Args:
        document: A recorded review.
        number: From 0.
        cluster: The number of the cluster that it is of, so that what was decided for others does not hold for it;
            None for the recorded one.
    """
    body = encoded(document).replace(document["request"]["uid"].encode(), str(UUID(int=number, version=4)).encode())
    for own in _OWN:
        body = body.replace(own, f"{number:0{len(own)}x}".encode())
    return body if cluster is None else body.replace(_CLUSTER, f"cluster-{cluster:011}".encode())


def encoded(document: Document) -> bytes:
    """As the API server writes it: without blanks."""
    return orjson.dumps(document)


def namespace(document: Document, given: Mapping[str, str]) -> str:
    """The review's namespace as YAML, with these annotations."""
    about = {"name": document["request"]["namespace"], "annotations": dict(given)}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": about})


def _right() -> Document:
    document = recorded(WORKER)
    review = parse_document(document)
    subject = handler.match(review)
    if isinstance(subject, AdmissionResponse):
        raise TypeError(f"the recorded worker pod is none: {subject.status}")
    patch = parse_response(render(handler.decide(subject, resolve(ENABLED))).to(review.uid))["patch"]
    request = document["request"]
    return {**document, "request": {**request, "object": jsonpatch.apply_patch(request["object"], patch)}}


def _with_variables(document: Document, count: int) -> Document:
    longer = copy.deepcopy(document)
    pod = longer["request"]["object"]
    names = [f"DASK_SETTING_{number:04}" for number in range(count)]
    pod["spec"]["containers"][0]["env"] += [{"name": name, "value": f"value-of-{name}"} for name in names]
    fields = pod["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:containers"]
    kept = fields['k:{"name":"worker"}']["f:env"]
    kept |= {f'k:{{"name":"{name}"}}': {".": {}, "f:name": {}, "f:value": {}} for name in names}
    return longer
