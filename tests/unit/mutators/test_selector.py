from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.objects import HOSTNAME, expression, target, term
from webhook.mutators.selector import takes_in

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

COMPONENT, CLUSTER = "dask.org/component", "dask.org/cluster-name"
OWN: Unstructured = {"matchLabels": {COMPONENT: "worker"}}

TAKES_IN = {
    "everything": term(),
    "the guide's": term(matchExpressions=[expression(COMPONENT, "In", "worker")]),
    "by label": term(matchLabels={CLUSTER: "demo"}),
    "both ways": term(matchLabels={CLUSTER: "demo"}, matchExpressions=[expression(COMPONENT, "Exists")]),
    "among others": term(matchExpressions=[expression(CLUSTER, "In", "other", "demo")]),
    "not another": term(matchExpressions=[expression(CLUSTER, "NotIn", "other")]),
    "a label it has not": term(matchExpressions=[expression("app", "DoesNotExist")]),
    "not a value of a label it has not": term(matchExpressions=[expression("app", "NotIn", "cache")]),
    "its namespace": term(namespaces=["other", "rapids"], **OWN),
    "no namespaces, which is its own": term(namespaces=[], **OWN),
    "some namespaces, not known here": {**term(namespaces=["other"], **OWN), "namespaceSelector": {}},
    "its own values": {**term(**OWN), "matchLabelKeys": [CLUSTER]},
}
LEAVES_OUT = {
    "no selector": {"topologyKey": HOSTNAME},
    "a selector of null": {"topologyKey": HOSTNAME, "labelSelector": None},
    "another component": term(matchLabels={COMPONENT: "scheduler"}),
    "another cluster": term(matchExpressions=[expression(CLUSTER, "In", "other")]),
    "other clusters": term(matchExpressions=[expression(CLUSTER, "NotIn", "demo")]),
    "one of two": term(matchLabels={COMPONENT: "worker", "app": "cache"}),
    "a label it has not": term(matchExpressions=[expression("app", "Exists")]),
    "no value at all": term(matchExpressions=[expression(COMPONENT, "In")]),
    "a label it has": term(matchExpressions=[expression(COMPONENT, "DoesNotExist")]),
    "another namespace": term(namespaces=["other"], **OWN),
    "an operator that is none": term(matchExpressions=[expression(COMPONENT, "Gt", "worker")]),
    "an expression that is none": term(matchExpressions=["worker"]),
    "an expression without a key": term(matchExpressions=[{"operator": "Exists"}]),
    "the pods of its own ReplicaSet": {**term(**OWN), "matchLabelKeys": ["pod-template-hash"]},
    "other values than its own": {**term(**OWN), "mismatchLabelKeys": [CLUSTER]},
}


@pytest.mark.parametrize("item", TAKES_IN.values(), ids=TAKES_IN)
def test_term_takes_in_the_workers(item: Unstructured) -> None:
    """The scheduler would find the cluster's workers by this term."""
    assert takes_in(item, target())


@pytest.mark.parametrize("item", LEAVES_OUT.values(), ids=LEAVES_OUT)
def test_term_leaves_out_the_workers(item: Unstructured) -> None:
    """The scheduler would not find the cluster's workers by this term."""
    assert not takes_in(item, target())
