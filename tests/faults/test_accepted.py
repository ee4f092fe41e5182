"""The API server's own validation is the judge: what it takes as it is, it takes with the patch."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import jsonpatch
import orjson

from tests.e2e.bed.api import ApiError
from tests.faults import arbitrary
from tests.faults.laws import answer
from webhook.admission.response import parse_response
from webhook.http.app import Webhook
from webhook.kube.namespaces.static import StaticNamespaces
from webhook.policy import Policy
from webhook.telemetry.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import NamespaceFactory
    from webhook.workloads.unstructured import Unstructured

INPUTS = 600
DASK = "/apis/kubernetes.dask.org/v1/namespaces/{}/{}"
PATHS = {
    "DaskCluster": DASK.format("{}", "daskclusters"),
    "DaskWorkerGroup": DASK.format("{}", "daskworkergroups"),
    "DaskJob": DASK.format("{}", "daskjobs"),
    "Pod": "/api/v1/namespaces/{}/pods",
}


def test_patched_objects_are_accepted(bed: Bed, make_namespace: NamespaceFactory, note: Callable[[str], None]) -> None:
    """Of bent objects of each kind, each that a server-side dry run accepts is accepted with its patch too."""
    namespace, chance = make_namespace(), random.Random(7)  # noqa: S311 - to be repeated
    webhook = Webhook(StaticNamespaces(arbitrary.namespaces(chance)), Policy(), Recorder())
    accepted = patched = 0
    refused = []
    for _ in range(INPUTS):
        review = arbitrary.review(chance)
        item, kind = prepared(review, namespace)
        if kind is None or dry_run(bed, namespace, kind, item):
            continue
        accepted += 1
        given = answer(webhook, orjson.dumps({**review, "request": {**review["request"], "object": item}}))
        operations = parse_response(given or b"{}").get("patch", [])
        patched += bool(operations)
        if operations and (why := dry_run(bed, namespace, kind, jsonpatch.apply_patch(item, operations))):
            refused.append((why, operations))
    note(f"{INPUTS} objects, {accepted} accepted as they are, {patched} of them patched, {len(refused)} refused then")
    assert refused == []
    assert patched > 20


def prepared(review: Unstructured, namespace: str) -> tuple[Unstructured, str | None]:
    """The object as a user would send it to this namespace, and its kind; no kind where it is none of ours."""
    request = review.get("request")
    item = request.get("object") if isinstance(request, dict) else None
    if not isinstance(item, dict) or str(item.get("kind")) not in PATHS or not isinstance(item.get("metadata"), dict):
        return item, None
    about = {key: item["metadata"].get(key) for key in ("labels", "annotations", "name", "generateName")}
    about["name"] = about["name"] or "generated"
    request["operation"] = "CREATE"
    fresh = {key: value for key, value in item.items() if key != "status"}
    return {**fresh, "metadata": {**about, "namespace": namespace}}, item["kind"]


def dry_run(bed: Bed, namespace: str, kind: str, item: Unstructured) -> str:
    """Why a server-side dry run of creating the object is refused; nothing where it is accepted."""
    try:
        bed.api.create(f"{PATHS[kind].format(namespace)}?dryRun=All", item)
    except ApiError as error:
        return str(error)
    return ""
