"""Node selectors, node affinity and tolerations, compared to kube-scheduler's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from webhook.placement.constraints import Taint, constraints, taints

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

LABELS = {"team": "a", "size": "8", "kubernetes.io/hostname": "n"}
GPU = Taint("nvidia.com/gpu", "present", "NoSchedule")


def required(*terms: Unstructured) -> Unstructured:
    """Return a pod spec with a required node affinity."""
    affinity = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"affinity": {"nodeAffinity": affinity}}


def term(key: str, operator: str, *values: str) -> Unstructured:
    """Return a node selector term with one expression."""
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("spec", "admitted"),
    [
        ({}, True),
        ({"nodeSelector": {"team": "a"}}, True),
        ({"nodeSelector": {"team": "b"}}, False),
        ({"nodeSelector": None, "affinity": None}, True),
        (required(term("team", "In", "a", "b")), True),
        (required(term("team", "NotIn", "a")), False),
        (required(term("absent", "NotIn", "a")), True),
        (required(term("team", "Exists")), True),
        (required(term("team", "DoesNotExist")), False),
        (required(term("size", "Gt", "7")), True),
        (required(term("size", "Lt", "8")), False),
        (required(term("team", "Gt", "7")), False),
        (required(term("absent", "Gt", "7")), False),
        (required(term("team", "Like", "a")), False),
        (required(term("team", "In", "b"), term("size", "In", "8")), True),
        (required(), False),
        (required({}), False),
        (required({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}), True),
        (required({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["node-1"]}]}), False),
    ],
)
def test_selectors_and_affinity(spec: Unstructured, admitted: bool) -> None:
    """A node admits a pod exactly if it passes kube-scheduler's filter."""
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
    """A taint excludes a worker unless one of its tolerations matches."""
    assert constraints({"tolerations": [toleration]}).admit("node-1", LABELS, (GPU,)) is admitted


def test_preferred_taints_exclude_no_pod() -> None:
    """Taints with the effect PreferNoSchedule exclude no pod."""
    item = {"spec": {"taints": [{"key": "a", "effect": "PreferNoSchedule"}, {"key": "b", "effect": "NoExecute"}]}}
    assert taints(item) == (Taint("b", "", "NoExecute"),)


def test_equal_constraints_share_a_pool() -> None:
    """Two specs with the same constraints in different order share a pool."""
    assert constraints({"nodeSelector": {"a": "1", "b": "2"}}) == constraints({"nodeSelector": {"b": "2", "a": "1"}})
    assert constraints({"nodeSelector": {"a": "1"}}) != constraints({})
