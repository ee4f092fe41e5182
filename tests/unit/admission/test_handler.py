from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.unit.objects import cluster, container, group, pod, review, spec
from webhook.admission import handler
from webhook.admission.request import MalformedReviewError, parse, parse_document
from webhook.admission.response import AdmissionResponse, Status, parse_response, render
from webhook.mutators.decision import Outcome
from webhook.mutators.patch import Operation
from webhook.mutators.selector import PREFERRED
from webhook.mutators.terms import GUIDE_TERM
from webhook.policy import PREFIX, GuideAffinity, Mode, Policy, Problem, TargetGroup
from webhook.workloads.pod_templates import DaskObject

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

SERVED = Policy(enabled=True)


def respond(document: Unstructured, policy: Policy | None = SERVED) -> AdmissionResponse:
    """Return the response for an AdmissionReview."""
    found = handler.match(parse_document(document))
    return handler.decide(found, policy) if isinstance(found, DaskObject) else found


# ---- parsing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "error"),
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
def test_malformed_body_is_rejected(body: bytes, error: str) -> None:
    """The error names what is wrong with a body that is not an AdmissionReview v1."""
    with pytest.raises(MalformedReviewError, match=error):
        parse(body)


def test_error_is_printable_ascii() -> None:
    """An error message has printable ASCII only, whatever a client sends."""
    with pytest.raises(MalformedReviewError) as caught:
        parse(json.dumps({"apiVersion": "a\nb\x1b[31m", "kind": "ü"}).encode())
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


def test_request_is_parsed() -> None:
    """All fields of a request are parsed, and the object is the one that was sent."""
    item = cluster()
    found = parse(json.dumps(review(item, "UPDATE", oldObject=group(), name="demo")).encode())
    assert (found.uid, found.kind, found.operation) == ("0c5d", "DaskCluster", "UPDATE")
    assert (found.subresource, found.namespace, found.name) == ("", "rapids", "demo")
    assert (found.item, found.old_item) == (item, group())


def test_name_falls_back_to_the_object() -> None:
    """The name comes from the object if the request has none; under generateName it is empty."""
    assert parse_document(review(cluster())).name == "demo"
    assert parse_document(review(pod())).name == ""


# ---- decisions -----------------------------------------------------------------------------------


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
    """Each kind of request reaches the expected status."""
    assert respond(document).status is status


def test_undecided_requests_have_no_patch() -> None:
    """Only a request with the status `decided` gets a patch."""
    for policy in (None, Policy(), Policy(enabled=True, targets=frozenset({TargetGroup.PODS}))):
        found = respond(review(cluster()), policy)
        assert found.status is not Status.DECIDED
        assert (found.operations, found.decisions) == ((), ())


def test_unknown_namespace_is_audited_without_warning() -> None:
    """An unknown namespace produces an audit annotation and no warning, as the user cannot fix it."""
    found = respond(review(cluster()), None)
    assert (found.status, found.warnings, dict(found.audit)) == (
        Status.NAMESPACE_UNKNOWN,
        (),
        {"status": "namespace-unknown"},
    )


def test_targets_exclude_a_kind() -> None:
    """`targets` selects pods and custom resources separately."""
    for item, group_of_it in ((cluster(), TargetGroup.RESOURCES), (pod(), TargetGroup.PODS)):
        for targets in TargetGroup:
            found = respond(review(item), Policy(enabled=True, targets=frozenset({targets})))
            assert (found.status is Status.DECIDED) is (targets is group_of_it)


def test_problems_precede_warnings_of_rules() -> None:
    """Problems of annotations precede other warnings, those of the namespace first."""
    policy = Policy(enabled=True, problems=(Problem("k", "the namespace's"),))
    item = cluster(spec(container("sh", "-c", "dask-worker | tee log")), annotations={f"{PREFIX}mode": "warn"})
    first, second, third = respond(review(item), policy).warnings
    assert first == "the namespace's"
    assert f"{PREFIX}mode has no effect" in second
    assert "cannot parse" in third


def test_warnings_reach_the_user() -> None:
    """Every warning starts with the webhook's name, has at most 256 characters and no control character."""
    item = cluster(spec(container("sh", "-c", "dask-worker | tee", name="x\n\x1b" + "y" * 500)))
    policy = replace(SERVED, problems=(Problem("k", "x" * 500),))
    warnings = parse_response(render(respond(review(item), policy)).to("u"))["warnings"]
    assert len(warnings) == 2
    assert all(warning.startswith("dask-colocate: ") for warning in warnings)
    assert all(len(warning) <= 256 and warning.isprintable() for warning in warnings)


def test_audit_annotations_list_decisions() -> None:
    """Audit annotations have the mode, and role, outcome and reason of each decision that is not skipped."""
    audit = dict(respond(review(cluster())).audit)
    assert audit["mode"] == "enforce"
    assert audit["decisions"].split() == [
        "worker/affinity=applied:affinity-added",
        "worker/emptier=applied:emptier-added",
        "worker/gpu=applied:gpu-limit-added",
        "worker/command=applied:command-converted",
    ]


def test_refused_rule_stops_no_other_rule() -> None:
    """A malformed field stops the rule that reads it, and no other rule."""
    found = respond(review(cluster(spec(affinity="strict"))))
    outcomes = {decision.rule: decision.outcome for decision in found.decisions}
    assert outcomes["affinity"] is Outcome.REFUSED
    assert outcomes["gpu"] is outcomes["command"] is Outcome.APPLIED


def test_mode_warn_reports_changes_as_not_applied() -> None:
    """In mode `warn` each change is reported as not applied, and no rule reports it as applied."""
    guides = {"podAffinity": {PREFERRED: [GUIDE_TERM]}}
    item = cluster(spec(container("dask-worker", "--nworkers", "2"), affinity=guides))
    policy = replace(SERVED, mode=Mode.WARN, guide_affinity=GuideAffinity.UPGRADE)
    assert len(respond(review(item), replace(policy, mode=Mode.ENFORCE)).warnings) == 2
    warnings = respond(review(item), policy).warnings
    assert len(warnings) == 4
    assert all(line.startswith("not applied (mode is warn): would ") for line in warnings)


# ---- rendering ------------------------------------------------------------------------------------


def test_response_without_changes_has_no_patch() -> None:
    """A response without operations has neither patch nor patchType, nor any other empty key."""
    document = json.loads(render(AdmissionResponse(Status.NO_TARGET)).to("u"))
    assert document == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "u", "allowed": True},
    }


def test_response_has_the_uid_and_all_fields() -> None:
    """Patch, warnings and audit annotations are rendered as the API server expects."""
    found = AdmissionResponse(
        Status.DECIDED, operations=(Operation("add", "/a~1b", {"ü": None}),), warnings=("w",), audit=(("k", "v"),)
    )
    response = parse_response(render(found).to("u-1"))
    assert response == {
        "uid": "u-1",
        "allowed": True,
        "patchType": "JSONPatch",
        "patch": [{"op": "add", "path": "/a~1b", "value": {"ü": None}}],
        "warnings": ["dask-colocate: w"],
        "auditAnnotations": {"k": "v"},
    }


def test_internal_error_is_allowed_and_audited() -> None:
    """After an internal error the object is unmodified, and an audit annotation has the status."""
    response = parse_response(render(handler.failed()).to("u"))
    assert response == {"uid": "u", "allowed": True, "auditAnnotations": {"status": "internal-error"}}
