"""The nastiest request bodies, as a table: what each one is, and how it is built.

Small oddities that have an expected answer are folders of `tests/cases`; here stand those that only have to be
survived, and those too large for a folder.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

from tests.unit.objects import (
    WORKER_LABELS,
    cluster,
    container,
    expression,
    group,
    job,
    pod,
    preferred,
    review,
    spec,
    term,
)
from webhook.policy import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.workloads.unstructured import Unstructured

MEGA = 1_000_000


def body(item: Unstructured, operation: str = "CREATE", **request: Unstructured) -> bytes:
    """The request body of one review."""
    return json.dumps(review(item, operation, **request), separators=(",", ":")).encode()


def _raw(item: Unstructured, written: bytes, operation: str = "CREATE", **request: Unstructured) -> bytes:
    """A review in which `written` stands for each `@`, as bytes that `json.dumps` would not write."""
    return body(item, operation, **request).replace(b'"@"', written)


def _args(*words: str) -> bytes:
    return body(cluster(spec(container(*words))))


def _many(count: int, **fields: Unstructured) -> Unstructured:
    return spec(*({"name": f"c{number}", "image": "x", **fields} for number in range(count)))


def _deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def _gpus(quantity: Unstructured, field: str = "limits") -> Unstructured:
    return cluster(spec(container(resources={field: {"nvidia.com/gpu": quantity}})))


def _attracted(*terms: Unstructured) -> Unstructured:
    return cluster(spec(affinity={"podAffinity": preferred(*terms)}))


def _scheduled(**fields: Unstructured) -> Unstructured:
    """A DaskCluster whose scheduler holds a GPU, with `fields` in its pod spec."""
    item = cluster()
    item["spec"]["scheduler"]["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    item["spec"]["scheduler"]["spec"] |= fields
    return item


def _nulls() -> bytes:
    nothing = dict.fromkeys(("command", "args", "resources", "name", "env"))
    template = {"metadata": None, "spec": {"containers": [nothing, None], "affinity": None}}
    return body({**cluster(), "metadata": None, "spec": {"worker": template, "scheduler": None}}, name=None)


def _two_keys() -> bytes:
    return body(cluster()).replace(b'"kind":"DaskCluster"', b'"kind":"Pod","kind":"DaskCluster"')


_GUIDE = term(matchExpressions=[expression("dask.org/component", "In", "worker")])
_NOT_WEB = expression("app", "NotIn", "web")
_OPTIONS = ["dask-worker", *["--name", "x"] * 250_000]
_DEEP_UPDATE = {"operation": "UPDATE", "oldObject": cluster(spec(x="@"))}
_ENV = [{"name": f"X{number}", "value": "v" * 50} for number in range(20_000)]
_OLD = cluster(spec(container(env=_ENV)))

BODIES: dict[str, Callable[[], bytes]] = {
    # ---- text --------------------------------------------------------------------------------------
    "a NUL in the cluster's name": lambda: body(cluster(name="a\0b")),
    "a NUL in the container's name": lambda: body(cluster(spec({"name": "\0", "args": ["dask-worker"]}))),
    "a name in Chinese": lambda: body(cluster(name="集群")),
    "a name that reads from right to left": lambda: body(cluster(name="\u202egnp.exe")),
    "a name of 3 MB": lambda: body(cluster(name="n" * 3 * MEGA)),
    "a kind of 3 MB": lambda: body({**cluster(), "kind": "K" * 3 * MEGA}),
    "a review of a kind of 3 MB": lambda: json.dumps({"kind": "K" * 3 * MEGA}).encode(),
    "a uid of 3 MB": lambda: body(cluster(), uid="u" * 3 * MEGA),
    "a uid with quotes and backslashes": lambda: body(cluster(), uid='"}\\"\n'),
    "a uid that is a number": lambda: body(cluster(), uid=7),
    "lone surrogates in a name": lambda: _raw(cluster(name="@"), b'"\\ud800"'),
    "bytes that are not UTF-8": lambda: _raw(cluster(name="@"), b'"\xff\xfe"'),
    "overlong UTF-8": lambda: _raw(cluster(name="@"), b'"\xc0\x80"'),
    "a byte order mark before the review": lambda: b"\xef\xbb\xbf" + body(cluster()),
    "UTF-16": lambda: json.dumps(review(cluster())).encode("utf-16"),
    "line separators and controls in a command": lambda: _args("dask-worker", "--name", "\u2028\x7f\x1b[2J"),
    "slashes and tildes in a resource's name": lambda: body(
        cluster(spec(container(resources={"limits": {"~1/~0/": "1"}})))
    ),
    # ---- JSON --------------------------------------------------------------------------------------
    "no body": lambda: b"",
    "half a review": lambda: body(cluster())[:500],
    "two reviews": lambda: body(cluster()) * 2,
    "three million brackets": lambda: b"[" * 3 * MEGA,
    "a depth of 100": lambda: _raw(cluster(spec(x="@")), _deep(100)),
    "a depth of 500": lambda: _raw(pod(spec(x="@", affinity="@")), _deep(500)),
    "a depth of 1,000": lambda: _raw(cluster(spec(x="@")), _deep(1000)),
    "a depth of 10,000": lambda: _raw(cluster(spec(x="@")), _deep(10_000)),
    "an update from a depth of 1,000 to the same": lambda: _raw(cluster(spec(x="@")), _deep(1000), **_DEEP_UPDATE),
    "a quantity with a depth of 1,000": lambda: _raw(_gpus("@"), _deep(1000)),
    "a topology key with a depth of 1,000": lambda: _raw(_attracted({**_GUIDE, "topologyKey": "@"}), _deep(1000)),
    "the same key twice": _two_keys,
    "nulls everywhere": _nulls,
    "a number of 5,000 digits": lambda: _raw(_gpus("@", "requests"), b"9" * 5000),
    "a number too large for a float": lambda: _raw(_gpus("@", "requests"), b"1e999"),
    "not a number": lambda: _raw(_gpus("@", "requests"), b"NaN"),
    "gzip, ten thousandfold": lambda: gzip.compress(b" " * 7 * MEGA),
    # ---- types -------------------------------------------------------------------------------------
    "a number as a string": lambda: body(_gpus("1")),
    "a string as a number": lambda: body(_gpus(1)),
    "a quantity that is an object": lambda: body(_gpus({"a": 1}, "requests")),
    "no containers": lambda: body(cluster({"containers": []})),
    "containers that are an object": lambda: body(cluster({"containers": {"0": container()}})),
    "containers that are strings": lambda: body(cluster({"containers": ["worker"]})),
    "a command that is a string": lambda: body(cluster(spec({"name": "worker", "command": "dask-worker"}))),
    "labels that are a list": lambda: body(pod(labels=["dask.org/component=worker"])),
    "a worker that is a list": lambda: body({**cluster(), "spec": {"worker": [], "scheduler": []}}),
    "an affinity that is a string": lambda: body(cluster(spec(affinity="close"))),
    "a job whose cluster is a group": lambda: body({**job(), "spec": {"cluster": group()}}),
    "a template that wears the worker's label and is none": lambda: body(
        pod({"containers": [{"name": "web", "image": "nginx", "command": ["nginx", "-g", "daemon off;"]}]})
    ),
    # ---- size --------------------------------------------------------------------------------------
    "10,000 containers": lambda: body(cluster(_many(10_000, args=["sh", "-c", "exec dask-worker | tee x"]))),
    "10,000 containers in a pod": lambda: body(pod(_many(10_000, args=["env", "A=b", "timeout", "1", "dask-worker"]))),
    "256 containers with long commands": lambda: body(cluster(_many(256, args=["timeout", "1"] * 256))),
    "256 containers with long texts": lambda: body(cluster(_many(256, args=["sh", "-c", "a;" * 5000]))),
    "256 containers that mention a worker": lambda: body(cluster(_many(256, args=["dask" + " " * 10_000]))),
    "one word of 3 MB": lambda: _args("a" * 3 * MEGA),
    "500,000 words": lambda: _args(*["env"] * 500_000),
    "500,000 options": lambda: _args(*_OPTIONS),
    "512 wrappers": lambda: _args(*["timeout", "1"] * 256),
    "a shell text of 3 MB": lambda: _args("sh", "-c", "/" * 3 * MEGA),
    "60,000 shell commands": lambda: _args("sh", "-c", "a;" * 60_000),
    "40,000 open expansions": lambda: _args("sh", "-c", '"${' * 40_000),
    "500 workers in a shell text": lambda: _args("sh", "-c", "dask-worker;" * 499 + "dask-worker"),
    "80,000 GPU resources": lambda: body(
        cluster(spec(container(resources={"limits": {f"nvidia.com/mig-{number}": "1" for number in range(80_000)}})))
    ),
    "20,000 affinity terms": lambda: body(_attracted(*[_GUIDE] * 15_000)),
    "one term of 60,000 expressions": lambda: body(
        _attracted(term(matchExpressions=[expression("a", "NotIn", "b")] * 40_000))
    ),
    "one expression of 500,000 values": lambda: body(
        _attracted(term(matchExpressions=[expression("dask.org/component", "NotIn", *["x"] * 500_000)]))
    ),
    "100,000 spread constraints": lambda: body(
        cluster(spec(topologySpreadConstraints=[{"topologyKey": "x"}] * 100_000))
    ),
    "a scheduler with one spread constraint of 500,000 values": lambda: body(
        _scheduled(
            topologySpreadConstraints=[
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchExpressions": [expression("app", "NotIn", *["x"] * 500_000)]},
                }
            ]
        )
    ),
    "a scheduler with 512 expressions for Dask pods": lambda: body(
        _scheduled(affinity={"podAntiAffinity": preferred(*[term(matchExpressions=[_NOT_WEB])] * 128)})
    ),
    "a scheduler with 10,000 init containers": lambda: body(_scheduled(initContainers=_many(10_000)["containers"])),
    "a scheduler of 256 containers with 256 resources each": lambda: body(
        _scheduled(containers=_many(256, resources={"limits": {f"a.b/{n}": 1 for n in range(256)}})["containers"])
    ),
    "100,000 labels": lambda: body(pod(labels={**WORKER_LABELS, **{f"l{number}": "" for number in range(100_000)}})),
    "60,000 annotations of ours": lambda: body(
        cluster(annotations={f"{PREFIX}x{number}": "y" for number in range(60_000)})
    ),
    "an annotation of 3 MB": lambda: body(cluster(annotations={f"{PREFIX}enabled": "y" * 3 * MEGA})),
    "an update from 1.5 MB to the same": lambda: body(_OLD, "UPDATE", oldObject=_OLD),
}

ANNOTATIONS: dict[str, dict[str, str]] = {
    "a topology of 250,000 commas": {"topology": "," * 250_000},
    "a topology of 120,000 keys": {"topology": "k," * 120_000},
    "a GPU resource of 120,000 domains": {"gpu_resource": "a." * 120_000 + "/x"},
    "a GPU limit of 250,000 digits": {"gpu_limit": "9" * 250_000},
    "targets of 250,000 blanks": {"targets": " " * 250_000},
    "8,000 unknown annotations": {f"unknown-{number}": "x" for number in range(8000)},
}
"""What an administrator may write on a namespace; Kubernetes takes 256 KiB of annotations."""
