"""Whether a node takes a worker, requirement by requirement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from webhook.placement.constraints import Taint, constraints, taints

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

LABELS = {"team": "a", "size": "8", "kubernetes.io/hostname": "n"}
GPU = Taint("nvidia.com/gpu", "present", "NoSchedule")


def required(*terms: Unstructured) -> Unstructured:
    """A pod spec with a required node affinity."""
    affinity = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"affinity": {"nodeAffinity": affinity}}


def asks(key: str, operator: str, *values: str) -> Unstructured:
    """A term with one expression."""
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("spec", "admitted"),
    [
        ({}, True),
        ({"nodeSelector": {"team": "a"}}, True),
        ({"nodeSelector": {"team": "b"}}, False),
        ({"nodeSelector": None, "affinity": None}, True),
        (required(asks("team", "In", "a", "b")), True),
        (required(asks("team", "NotIn", "a")), False),
        (required(asks("absent", "NotIn", "a")), True),
        (required(asks("team", "Exists")), True),
        (required(asks("team", "DoesNotExist")), False),
        (required(asks("size", "Gt", "7")), True),
        (required(asks("size", "Lt", "8")), False),
        (required(asks("team", "Gt", "7")), False),
        (required(asks("absent", "Gt", "7")), False),
        (required(asks("team", "Like", "a")), False),
        (required(asks("team", "In", "b"), asks("size", "In", "8")), True),
        (required(), False),
        (required({}), False),
        (required({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}), True),
        (required({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["node-1"]}]}), False),
    ],
)
def test_selectors_and_affinity(spec: Unstructured, admitted: bool) -> None:
    """A node is taken exactly where kube-scheduler would take it."""
    assert constraints(spec).admit("node-1", LABELS, ()) is admitted


@pytest.mark.parametrize(
    ("toleration", "admitted"),
    [
        ({}, False),
        ({"operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Equal", "value": "present"}, True),
        ({"key": "nvidia.com/gpu", "value": "other"}, False),
        ({"key": "amd.com/gpu", "operator": "Exists"}, False),
    ],
)
def test_tolerations(toleration: Unstructured, admitted: bool) -> None:
    """A taint keeps a worker away unless one of its tolerations takes it."""
    assert constraints({"tolerations": [toleration]}).admit("node-1", LABELS, (GPU,)) is admitted


def test_wishes_keep_nobody_away() -> None:
    """PreferNoSchedule is left out."""
    item = {"spec": {"taints": [{"key": "a", "effect": "PreferNoSchedule"}, {"key": "b", "effect": "NoExecute"}]}}
    assert taints(item) == (Taint("b", "", "NoExecute"),)


def test_same_words_are_the_same_kind() -> None:
    """Two specs that ask for the same in another order share a pool."""
    assert constraints({"nodeSelector": {"a": "1", "b": "2"}}) == constraints({"nodeSelector": {"b": "2", "a": "1"}})
    assert constraints({"nodeSelector": {"a": "1"}}) != constraints({})
