from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.objects import HOSTNAME, expression, target, term
from webhook.mutators.selector import selects

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

COMPONENT, CLUSTER = "dask.org/component", "dask.org/cluster-name"
OWN: Unstructured = {"matchLabels": {COMPONENT: "worker"}}

SELECTED = {
    "everything": term(),
    "the RAPIDS guide's term": term(matchExpressions=[expression(COMPONENT, "In", "worker")]),
    "by label": term(matchLabels={CLUSTER: "demo"}),
    "by label and expression": term(matchLabels={CLUSTER: "demo"}, matchExpressions=[expression(COMPONENT, "Exists")]),
    "one of several clusters": term(matchExpressions=[expression(CLUSTER, "In", "other", "demo")]),
    "not another": term(matchExpressions=[expression(CLUSTER, "NotIn", "other")]),
    "a missing label": term(matchExpressions=[expression("app", "DoesNotExist")]),
    "not a value of a missing label": term(matchExpressions=[expression("app", "NotIn", "cache")]),
    "its namespace": term(namespaces=["other", "rapids"], **OWN),
    "an empty list of namespaces": term(namespaces=[], **OWN),
    "a namespace selector": {**term(namespaces=["other"], **OWN), "namespaceSelector": {}},
    "its own values": {**term(**OWN), "matchLabelKeys": [CLUSTER]},
}
NOT_SELECTED = {
    "no selector": {"topologyKey": HOSTNAME},
    "a selector of null": {"topologyKey": HOSTNAME, "labelSelector": None},
    "another component": term(matchLabels={COMPONENT: "scheduler"}),
    "another cluster": term(matchExpressions=[expression(CLUSTER, "In", "other")]),
    "other clusters": term(matchExpressions=[expression(CLUSTER, "NotIn", "demo")]),
    "one of two labels": term(matchLabels={COMPONENT: "worker", "app": "cache"}),
    "a missing label": term(matchExpressions=[expression("app", "Exists")]),
    "no value at all": term(matchExpressions=[expression(COMPONENT, "In")]),
    "an existing label": term(matchExpressions=[expression(COMPONENT, "DoesNotExist")]),
    "another namespace": term(namespaces=["other"], **OWN),
    "an unknown operator": term(matchExpressions=[expression(COMPONENT, "Gt", "worker")]),
    "an expression of the wrong type": term(matchExpressions=["worker"]),
    "an expression without a key": term(matchExpressions=[{"operator": "Exists"}]),
    "the pods of its own ReplicaSet": {**term(**OWN), "matchLabelKeys": ["pod-template-hash"]},
    "other values than its own": {**term(**OWN), "mismatchLabelKeys": [CLUSTER]},
}


@pytest.mark.parametrize("item", SELECTED.values(), ids=SELECTED)
def test_term_selects_the_workers(item: Unstructured) -> None:
    """kube-scheduler would select the cluster's workers by this term."""
    assert selects(item, target())


@pytest.mark.parametrize("item", NOT_SELECTED.values(), ids=NOT_SELECTED)
def test_term_does_not_select_the_workers(item: Unstructured) -> None:
    """kube-scheduler would not select the cluster's workers by this term."""
    assert not selects(item, target())
