"""`review --output yaml`: the changes of the webhook in the text of the files."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.unit.objects import cluster
from webhook.kube.manifests import read
from webhook.policy import Policy
from webhook.review import review
from webhook.review.rewrite import as_yaml
from webhook.review.yaml_edit import edit

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

COMMENTED = """\
# The team's cluster
---
# about the cluster
apiVersion: kubernetes.dask.org/v1   # group
kind: DaskCluster
metadata: {name: demo, namespace: rapids}

spec:
  # Workers
  worker:
    replicas: 2   # two
    spec:
      containers:
      - name: worker
        image: "rapidsai/base"
        args:
        - dask-worker   # becomes another
        # its name
        - --name
        - x   # last

  # The Dask scheduler comes second
  scheduler:
    spec:
      containers: [{name: scheduler, image: rapidsai/base, args: [dask-scheduler]}]  # one line
---
apiVersion: v1
kind: ConfigMap   # unchanged
metadata: {name:   spaced}
"""


def rewritten(text: str) -> str:
    """Return the YAML output for a text."""
    objects = read(text, "it.yaml")
    return as_yaml(objects, review(objects, (), Policy()))


def test_comments_order_and_unchanged_documents_stay() -> None:
    """Every line stays in place, except for the converted command; all other changes are added lines."""
    result = rewritten(COMMENTED)
    lines = [line for line in difflib.ndiff(COMMENTED.splitlines(), result.splitlines()) if line[0] in "-+"]
    assert [line for line in lines if line[0] == "-"] == ["-         - dask-worker   # becomes another"]
    assert "+         - dask-cuda-worker   # becomes another" in lines
    assert "        - x   # last\n        resources:\n          limits:\n" in result
    assert "            - demo\n\n  # The Dask scheduler comes second\n" in result


def test_result_is_the_mutated_object() -> None:
    """The parsed output equals the results of the review."""
    objects = read(COMMENTED, "it.yaml")
    results = [each.result for each in review(objects, (), Policy())]
    assert [each for each in yaml.safe_load_all(rewritten(COMMENTED)) if each] == results
    assert results[0] != objects[0].item


def test_namespaces_and_lists_stay() -> None:
    """The output is the whole input: a List stays one, and its Namespaces and other items are in it."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "rapids"}}
    space["metadata"]["annotations"] = {"colocate.dask.org/enabled": "true"}
    listed = {"apiVersion": "v1", "kind": "List", "items": [space, cluster()]}
    result = yaml.safe_load(rewritten(yaml.safe_dump(listed)))
    assert [each["kind"] for each in result["items"]] == ["Namespace", "DaskCluster"]
    assert "dask-cuda-worker" in str(result)


def test_json_stays_json() -> None:
    """A JSON document gives a JSON document."""
    result = rewritten(json.dumps(cluster(), indent=2))
    assert "dask-cuda-worker" in str(json.loads(result))


def test_shared_anchor_changes_the_worker_only() -> None:
    """If worker and Dask scheduler share an anchor, only the worker changes."""
    text = (
        "apiVersion: kubernetes.dask.org/v1\nkind: DaskCluster\nmetadata: {name: demo}\nspec:\n"
        "  worker:\n    spec: &spec\n      containers:\n      - {name: worker, args: [dask-worker]}\n"
        "  scheduler:\n    spec: *spec\n"
    )
    result = yaml.safe_load(rewritten(text))
    assert result["spec"]["worker"]["spec"]["containers"][0]["args"] == ["dask-cuda-worker"]
    assert result["spec"]["scheduler"]["spec"]["containers"][0]["args"] == ["dask-worker"]


HEAD = "apiVersion: v1\nkind: A\n"


@pytest.mark.parametrize(
    ("text", "path", "value", "expected"),
    [
        ("a: 1 # one\n# two\n", "/b", {"c": ["d"]}, "a: 1 # one\nb:\n  c:\n    - d\n# two\n"),
        ("a:\n- 1\n# two\n", "/a/-", 2, "a:\n- 1\n- 2\n# two\n"),
        ("a:\n  - 1 # one\n  # two\n", "/a/-", {"b": 2}, "a:\n  - 1 # one\n  - b: 2\n  # two\n"),
        ("a: [] # one\n", "/a/-", "yes", "a: ['yes'] # one\n"),
        ("a: {b: 1} # one\n", "/a/c", "1", "a: {b: 1, c: '1'} # one\n"),
        ("a: {b: 1, } # one\n", "/a/c", 2, "a: {b: 1, c: 2, } # one\n"),
        ("a: # one\nb: 2\n", "/a", {"c": 1}, "a:\n  c: 1 # one\nb: 2\n"),
        ("a: {} # one\n", "/a", {"c": 1}, "a: {c: 1} # one\n"),
        ("a:\n  - 1 # one\nb: 2 # two\n", "/a", ["x", "y"], "a:\n  - x\n  - y # one\nb: 2 # two\n"),
        ("a: {b: null, c: } # one\n", "/a/b", {"d": 1}, "a: {b: {d: 1}, c: } # one\n"),
        ("a: {b: 1, c: } # one\n", "/a/c", [1], "a: {b: 1, c: [1] } # one\n"),
        ("a:\nb: 1\n", "/a", "x", "a: x\nb: 1\n"),
        ("a: |\n  text\n\n# one\n", "/b", 1, "a: |\n  text\nb: 1\n\n# one\n"),
        ("a~/b: {c: 1}\n", "/a~0~1b/c", "x: y", "a~/b: {c: 'x: y'}\n"),
    ],
)
def test_edit_changes_only_its_lines(text: str, path: str, value: Unstructured, expected: str) -> None:
    """An operation changes the lines of its own value; comments stay where they are."""
    assert edit(HEAD + text, [{"op": "add", "path": path, "value": value}]) == HEAD + expected


def test_edit_that_text_cannot_express_gives_plain_yaml() -> None:
    """If an alias shares the changed value, the whole document is serialized without comments."""
    text = HEAD + "a: &a {x: 1}\nb: *a # shared\n"
    result = edit(text, [{"op": "add", "path": "/b/y", "value": 2}])
    assert yaml.safe_load(result) == {"apiVersion": "v1", "kind": "A", "a": {"x": 1}, "b": {"x": 1, "y": 2}}
