"""Arbitrary reviews by the thousand a second: the fixture cases, bent in random places.

Hypothesis finds small counterexamples (`tests/unit/admission/test_properties.py`); this finds rare ones.
"""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING

import orjson

from tests.unit.case import every
from webhook.policy import ANNOTATIONS, PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.workloads.unstructured import Unstructured

NAMESPACES = 256
_HOSTNAME = "kubernetes.io/hostname"
_GUIDE = {
    "weight": 100,
    "podAffinityTerm": {
        "labelSelector": {"matchExpressions": [{"key": "dask.org/component", "operator": "In", "values": ["worker"]}]},
        "topologyKey": _HOSTNAME,
    },
}
_TEXTS = [
    *(
        "",
        " ",
        "\0",
        "\n",
        "\x7f",
        "é",
        "名",
        "💥",
        "\u2028",
        "a" * 64,
        "/" * 300,
        "~0~1",
        "-",
        "0",
        "-1",
        "1k",
        "1e999",
    ),
    *("worker", "scheduler", "Pod", "DaskJob", "DaskCluster", "DaskWorkerGroup", "v1", "kubernetes.dask.org/v1"),
    *("CREATE", "UPDATE", "dask.org/component", "dask.org/cluster-name", _HOSTNAME, "In", "NotIn", "Exists"),
    *("dask-worker", "dask", "cuda", "dask-cuda-worker", "python", "-m", "distributed.cli.dask_worker", "dask worker"),
    *("dask-scheduler", "dask scheduler | tee x", "uv", "run", "nsys", "profile", "ddtrace-run"),
    *(
        "sh",
        "bash",
        "-c",
        "-lc",
        "exec dask-worker --nthreads 0 | tee x",
        "cd /tmp && dask worker $X",
        "a; 'dask-worker",
        "--path=/var/log/dask-worker",
        "if x; then y; fi; exec dask-worker $(X)",
        "$(OPTS)",
    ),
    *(
        "--name",
        "--name=x",
        "--nthreads",
        "--nworkers=2",
        "--preload",
        "--",
        "--version",
        "tini",
        "env",
        "A=b",
        "timeout",
    ),
    *("nvidia.com/gpu", "amd.com/gpu", "nvidia.com/mig-1g.5gb", "x/y", "true", "false", f"{PREFIX}enabled"),
]
_VALUES = [
    *(None, True, False, 0, 1, -1, 2**63, 1.5, 1e308, [], {}, [None], [[]], {"": {}}, {"a": None}),
    *({"nvidia.com/gpu": 1}, {"nvidia.com/gpu": None}, {"nvidia.com/gpu": "0"}, {"nvidia.com/gpu": []}),
    *(
        [_GUIDE],
        _GUIDE,
        {"podAffinity": None},
        {"podAffinity": {}},
        {"podAntiAffinity": []},
        {"topologyKey": _HOSTNAME},
    ),
    *([{"name": "worker"}], [{"args": ["dask-worker"]}], [{"command": ["sh", "-c"], "args": ["dask-worker"]}]),
    *({"limits": None}, {"requests": {"nvidia.com/gpu": 2}}, {"claims": [{"name": "gpu"}]}, {"cpu": "1"}),
]


@cache
def seeds() -> list[bytes]:
    """The fixture cases' reviews."""
    return [orjson.dumps(case.review) for case in every()]


def namespaces(chance: random.Random) -> list[Unstructured]:
    """Namespaces `n0`, `n1`, ... each enabled, with random annotations, most of them well-formed."""
    return [_namespace(f"n{number}", chance) for number in range(NAMESPACES)]


def _namespace(name: str, chance: random.Random) -> Unstructured:
    keys = chance.sample([annotation.key for annotation in ANNOTATIONS], chance.randrange(5))
    found = {key: chance.choice(_annotation_values()) for key in keys}
    if chance.random() < 0.1:
        found[PREFIX + chance.choice(_TEXTS)] = chance.choice(_TEXTS)
    enabled = {f"{PREFIX}enabled": "true"} if chance.random() < 0.9 else {}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": {**found, **enabled}}}


@cache
def _annotation_values() -> list[str]:
    metadata = [case.namespace["metadata"].get("annotations") or {} for case in every()]
    written = {text for each in metadata for key, text in each.items() if key.startswith(PREFIX)}
    return [*sorted(map(str, written)), *_TEXTS]


def body(chance: random.Random) -> bytes:
    """One request body: usually a review, bent in up to eight places; sometimes broken as bytes."""
    made = orjson.dumps(review(chance))
    return made if chance.random() < 0.95 else _broken(made, chance)


def review(chance: random.Random) -> Unstructured:
    """A fixture's review, bent, in one of the random namespaces."""
    document = orjson.loads(chance.choice(seeds()))
    if chance.random() < 0.9:
        document["request"]["namespace"] = f"n{chance.randrange(NAMESPACES)}"
    if chance.random() < 0.1:
        _add_sidecars(document, chance)
    for _ in range(chance.randrange(9)):
        bend(document, chance)
    return document


def _add_sidecars(node: Unstructured, chance: random.Random) -> None:
    """Put up to four containers beside those of each pod spec, in any order."""
    children = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
    for child in children:
        _add_sidecars(child, chance)
    containers = node.get("containers") if isinstance(node, dict) else None
    if isinstance(containers, list):
        for _ in range(chance.randrange(5)):
            args = [chance.choice(_TEXTS) for _ in range(chance.randrange(4))]
            sidecar = {"name": chance.choice(["logs", "proxy", "worker", "scheduler"]), "args": args}
            containers.insert(chance.randrange(len(containers) + 1), sidecar)


def bend(document: Unstructured, chance: random.Random) -> None:
    """Change a document in one random place below its root."""
    request = document.get("request") if isinstance(document, dict) else None
    node = request.get("object") if isinstance(request, dict) and chance.random() < 0.98 else document
    while isinstance(node, (dict, list)) and node:
        key = chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
        inner = node[key]
        if not (isinstance(inner, (dict, list)) and inner) or chance.random() < 0.1:
            chance.choice(_BENDS)(node, key, chance)
            return
        node = inner


def _broken(made: bytes, chance: random.Random) -> bytes:
    at, to = sorted((chance.randrange(len(made)), chance.randrange(len(made))))
    return chance.choice(
        [made[:at], made[:at] + made[to:], made[:to] + made[at:], made[:at] + b"\xff" + made[at + 1 :]]
    )


def _text(node: Unstructured, key: Unstructured, chance: random.Random) -> None:
    node[key] = chance.choice(_TEXTS)


def _value(node: Unstructured, key: Unstructured, chance: random.Random) -> None:
    node[key] = orjson.loads(orjson.dumps(chance.choice(_VALUES)))


def _remove(node: Unstructured, key: Unstructured, chance: random.Random) -> None:
    del chance, node[key]


def _repeat(node: Unstructured, key: Unstructured, chance: random.Random) -> None:
    again = orjson.loads(orjson.dumps(node[key]))
    if isinstance(node, list):
        node.insert(chance.randrange(len(node) + 1), again)
    else:
        node[chance.choice(_TEXTS)] = again


def _wrap(node: Unstructured, key: Unstructured, chance: random.Random) -> None:
    node[key] = chance.choice([[node[key]], {"x": node[key]}, str(node[key])])


def _take_from_another(node: Unstructured, key: Unstructured, chance: random.Random) -> None:
    """The same key's value from somewhere in another fixture, so that whole parts meet that never did."""
    found: Unstructured = orjson.loads(chance.choice(seeds()))["request"].get("object")
    for _ in range(12):
        if isinstance(found, dict) and key in found and chance.random() < 0.7:
            node[key] = found[key]
            return
        children = list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else []
        if not children:
            return
        found = chance.choice(children)


_BENDS: tuple[Callable[[Unstructured, Unstructured, random.Random], None], ...] = (
    *(_text, _text, _value, _value, _value),
    *(_remove, _repeat, _wrap, _take_from_another, _take_from_another),
)
