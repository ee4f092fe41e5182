from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.unit.objects import cluster, container, group, pod, review, spec
from webhook.admission import handler
from webhook.admission.handler import AdmissionResponse, MalformedReviewError, Status
from webhook.mutators.decision import Outcome
from webhook.mutators.patch import Operation
from webhook.mutators.selector import PREFERRED
from webhook.mutators.terms import GUIDE_TERM
from webhook.policy import PREFIX, GuideAffinity, Mode, Policy, Problem, TargetGroup
from webhook.workloads.pod_templates import DaskObject

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

SERVED = Policy(enabled=True)


def verdict(document: Unstructured, policy: Policy | None = SERVED) -> AdmissionResponse:
    """What is decided on an AdmissionReview."""
    found = handler.consider(handler.review_of(document))
    return handler.decide(found, policy) if isinstance(found, DaskObject) else found


# ---- bytes to Review ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"apiVersion": "admission.k8s.io/v1",', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"null", "expected an AdmissionReview"),
        (b"[]", "expected an AdmissionReview"),
        (b'"AdmissionReview"', "expected an AdmissionReview"),
        (b"{}", "expected an AdmissionReview"),
        (b'{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview"}', "admission.k8s.io/v1beta1"),
        (b'{"apiVersion": "admission.k8s.io/v1", "kind": "DaskCluster"}', "DaskCluster"),
        (b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}', "no request with a uid"),
        (b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": []}', "no request with a uid"),
        (b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": 5}}', "with a uid"),
        (b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "x"}}', "with a uid"),
        (json.dumps(review(cluster(), uid="u" * 254)).encode(), "more than 253 characters"),
    ],
)
def test_body_that_is_no_review_is_refused(body: bytes, complaint: str) -> None:
    """The complaint says what is wrong with a body that is no AdmissionReview v1."""
    with pytest.raises(MalformedReviewError, match=complaint):
        handler.parse(body)


def test_complaint_is_one_line_of_ascii() -> None:
    """What a stranger sends does not come back, or into a log, as anything but text."""
    with pytest.raises(MalformedReviewError) as caught:
        handler.parse(json.dumps({"apiVersion": "a\nb\x1b[31m", "kind": "ü"}).encode())
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


def test_review_is_read() -> None:
    """All that is used of a request is found, and the object is the one that was sent."""
    item = cluster()
    found = handler.parse(json.dumps(review(item, "UPDATE", oldObject=group(), name="demo")).encode())
    assert (found.uid, found.kind, found.operation) == ("0c5d", "DaskCluster", "UPDATE")
    assert (found.subresource, found.namespace, found.name) == ("", "rapids", "demo")
    assert (found.item, found.old_item) == (item, group())


def test_name_is_the_objects_where_the_request_has_none() -> None:
    """A request's name may be missing; under generateName there is none at all."""
    assert handler.review_of(review(cluster())).name == "demo"
    assert handler.review_of(review(pod())).name == ""


# ---- Review to Verdict ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "status"),
    [
        (review(cluster()), Status.DECIDED),
        (review(cluster(), "UPDATE", oldObject=cluster(spec(container("other")))), Status.DECIDED),
        (review(cluster(), "UPDATE"), Status.DECIDED),
        (review(pod()), Status.DECIDED),
        (review(cluster(), "UPDATE", oldObject=cluster(labels={"a": "b"})), Status.SPEC_UNCHANGED),
        (review(pod(), "UPDATE"), Status.NO_TARGET),
        (review(cluster(), "DELETE", object=None, oldObject=cluster()), Status.NO_TARGET),
        (review(cluster(), "CONNECT"), Status.NO_TARGET),
        (review(cluster(), subResource="scale"), Status.NO_TARGET),
        (review(pod(), subResource="binding"), Status.NO_TARGET),
        (review({"apiVersion": "v1", "kind": "Pod"}), Status.NO_TARGET),
        (review(cluster(), object="DaskCluster"), Status.NO_TARGET),
        (review(cluster(deletionTimestamp="2026-11-24T00:00:00Z"), "UPDATE"), Status.BEING_DELETED),
        (review(cluster(annotations={f"{PREFIX}enabled": "false"})), Status.OPTED_OUT),
    ],
)
def test_status(document: Unstructured, status: Status) -> None:
    """How far a review gets before its namespace is asked for."""
    assert verdict(document).status is status


def test_unchanged_and_undecided_reviews_have_no_patch() -> None:
    """Only a decided review changes anything."""
    for policy in (None, Policy(), Policy(enabled=True, targets=frozenset({TargetGroup.PODS}))):
        found = verdict(review(cluster()), policy)
        assert found.status is not Status.DECIDED
        assert (found.operations, found.decisions) == ((), ())


def test_namespace_that_is_unknown_warns_nobody() -> None:
    """The user can do nothing about it: only the audit log is told."""
    found = verdict(review(cluster()), None)
    assert (found.status, found.warnings, dict(found.audit)) == (
        Status.NAMESPACE_UNKNOWN,
        (),
        {"status": "namespace-unknown"},
    )


def test_targets_leave_a_kind_out() -> None:
    """`targets` names pods and custom resources apart."""
    for item, group_of_it in ((cluster(), TargetGroup.RESOURCES), (pod(), TargetGroup.PODS)):
        for targets in TargetGroup:
            found = verdict(review(item), Policy(enabled=True, targets=frozenset({targets})))
            assert (found.status is Status.DECIDED) is (targets is group_of_it)


def test_problems_are_told_before_the_rules_warnings() -> None:
    """What is wrong with annotations comes first, in the namespace then on the object."""
    policy = Policy(enabled=True, problems=(Problem("k", "the namespace's"),))
    item = cluster(spec(container("sh", "-c", "dask-worker | tee log")), annotations={f"{PREFIX}mode": "warn"})
    first, second, third = verdict(review(item), policy).warnings
    assert first == "the namespace's"
    assert f"{PREFIX}mode has no effect" in second
    assert "not understood" in third


def test_warnings_survive_the_way_to_the_user() -> None:
    """No warning is longer than the API server takes, or holds a control character, for which it is dropped."""
    item = cluster(spec(container("sh", "-c", "dask-worker | tee", name="x\n\x1b" + "y" * 500)))
    warnings = verdict(review(item)).warnings
    assert warnings
    assert all(len(warning) <= 256 and warning.isprintable() for warning in warnings)


def test_audit_annotations_say_what_was_decided() -> None:
    """The audit log has each decision that is not skipped, with role, outcome and reason, and the mode."""
    audit = dict(verdict(review(cluster())).audit)
    assert audit["mode"] == "enforce"
    assert audit["decisions"].split() == [
        "worker/affinity=applied:affinity-added",
        "worker/emptier=applied:emptier-added",
        "worker/gpu=applied:gpu-limit-added",
        "worker/command=applied:command-converted",
    ]


def test_one_rule_that_refuses_stops_no_other() -> None:
    """A malformed field keeps its own rule from acting, and no other."""
    found = verdict(review(cluster(spec(affinity="strict"))))
    outcomes = {decision.rule: decision.outcome for decision in found.decisions}
    assert outcomes["affinity"] is Outcome.REFUSED
    assert outcomes["gpu"] is outcomes["command"] is Outcome.APPLIED


def test_mode_warn_tells_nothing_as_done() -> None:
    """In mode `warn` each change is told as not done, and no rule says beside it what it did."""
    guides = {"podAffinity": {PREFERRED: [GUIDE_TERM]}}
    item = cluster(spec(container("dask-worker", "--nworkers", "2"), affinity=guides))
    policy = replace(SERVED, mode=Mode.WARN, guide_affinity=GuideAffinity.UPGRADE)
    assert len(verdict(review(item), replace(policy, mode=Mode.ENFORCE)).warnings) == 2
    told = verdict(review(item), policy).warnings
    assert len(told) == 4
    assert all(line.startswith("mode is warn, not done: ") for line in told)


# ---- Verdict to bytes -----------------------------------------------------------------------------


def test_answer_without_changes_has_no_patch() -> None:
    """No operations: neither patch nor patchType, nor any other key without a value."""
    answer = json.loads(handler.render("u", AdmissionResponse(Status.NO_TARGET)))
    assert answer == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "u", "allowed": True},
    }


def test_answer_echoes_the_uid_and_carries_everything() -> None:
    """Patch, warnings and audit annotations come out as the API server reads them."""
    found = AdmissionResponse(
        Status.DECIDED, operations=(Operation("add", "/a~1b", {"ü": None}),), warnings=("w",), audit=(("k", "v"),)
    )
    response = handler.answered(handler.render("u-1", found))
    assert response == {
        "uid": "u-1",
        "allowed": True,
        "patchType": "JSONPatch",
        "patch": [{"op": "add", "path": "/a~1b", "value": {"ü": None}}],
        "warnings": ["w"],
        "auditAnnotations": {"k": "v"},
    }


def test_our_own_failure_is_allowed_and_audited() -> None:
    """After an exception of our own the object is as it was sent, and the audit log says so."""
    response = handler.answered(handler.render("u", handler.failed()))
    assert response == {"uid": "u", "allowed": True, "auditAnnotations": {"status": "internal-error"}}
