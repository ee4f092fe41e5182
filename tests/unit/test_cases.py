"""Every folder of `tests/cases`, checked in five ways; adding one needs no Python."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.record_cases import RECORDED
from tests.unit.case import CASES, KEYS, NEEDED, OPTIONAL, Case, changed, every, patched
from webhook.admission.request import parse_document
from webhook.admission.response import Status, render
from webhook.mutators.decision import Outcome, Reason
from webhook.policy import ANNOTATIONS, Policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.workloads.pod_templates import PodTemplate
    from webhook.workloads.unstructured import Unstructured

ALL = every()
each_case = pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])

PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
OWNED = {
    "affinity": (f"/affinity/podAffinity/{PREFERRED}",),
    "apart": (f"/affinity/podAntiAffinity/{PREFERRED}",),
    "emptier": ("/topologySpreadConstraints",),
    "scheduler-placement": (f"/affinity/podAffinity/{PREFERRED}", f"/affinity/podAntiAffinity/{PREFERRED}"),
    "gpu": ("/containers/{index}/resources/limits/{resource}",),
    "scheduler-gpu": ("/containers/{index}/resources/limits/{resource}",),
    "command": ("/containers/{index}/command", "/containers/{index}/args"),
    "dask-cli": ("/containers/{index}/command", "/containers/{index}/args"),
    "capacity-hint": (f"/affinity/nodeAffinity/{PREFERRED}",),
}
"""What each rule may touch below a pod spec, as the head of its own file says."""


@each_case
def test_folder_is_complete(case: Case) -> None:
    """There is no unknown and no missing file or key, and the name and the reason can be read."""
    files = {file.name for file in case.folder.iterdir()}
    assert files - OPTIONAL == NEEDED
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", case.name)
    assert tuple(case.expected) == KEYS
    assert re.fullmatch(r"[A-Z`][^\n]+\.", case.expected["why"]), "why: one sentence"
    assert case.review.keys() == {"apiVersion", "kind", "request"}
    assert case.namespace.keys() == {"apiVersion", "kind", "metadata"}
    assert case.namespace["kind"] == "Namespace"
    assert case.settings.keys() <= {"defaults", "capacity"}


@each_case
def test_answer_is_as_expected(case: Case, update_cases: bool) -> None:
    """The webhook's answer, from bytes to bytes, and its decisions equal `expected.json`."""
    found = case.found()
    wanted = {key: value for key, value in case.expected.items() if key != "why"}
    if update_cases and (found != wanted or tuple(case.expected) != KEYS):
        case.update()
        pytest.fail(f"rewritten, please review: {case.folder / 'expected.json'}", pytrace=False)
    assert found == wanted


@each_case
def test_patch_changes_only_what_its_rules_own(case: Case) -> None:
    """An independent library applies the patch, and only paths of the rules that applied have changed."""
    item = case.review["request"].get("object")
    result = patched(item, case.found()["patch"])
    owned = tuple(_owned(case))
    for path in changed(item, result):
        assert any(path == prefix or path.startswith(f"{prefix}/") for prefix in owned), path


@each_case
def test_second_pass_finds_nothing_to_do(case: Case) -> None:
    """Deciding again on the result gives no patch, and refuses only what was refused before."""
    first = case.verdict(case.review)
    again = copy.deepcopy(case.review)
    again["request"]["object"] = patched(again["request"].get("object"), case.found()["patch"])
    second = case.verdict(again)
    assert "patch" not in case.answered(again)
    assert second.operations == ()
    assert {decision.outcome for decision in second.decisions} <= {Outcome.KEPT, Outcome.SKIPPED, Outcome.REFUSED}
    refused = [(one.rule, one.pointer) for one in first.decisions if one.outcome is Outcome.REFUSED]
    assert [(one.rule, one.pointer) for one in second.decisions if one.outcome is Outcome.REFUSED] == refused


@each_case
def test_input_is_unmodified(case: Case) -> None:
    """Deciding leaves the object as it was sent, and so does rendering the answer."""
    review = parse_document(case.review)
    before = copy.deepcopy(review)
    render(case.decided(review)).to(review.uid)
    assert review == before


def _owned(case: Case) -> Iterator[str]:
    """The paths that belong to the rules which applied, from the root of the object."""
    subject, policy = case.subject(case.review), case.policy or Policy()
    targets: dict[str, PodTemplate] = {target.pointer: target for target in subject.targets} if subject else {}
    resource = policy.gpu_resource.replace("/", "~1")
    for decision in case.verdict(case.review).decisions:
        if decision.outcome is Outcome.APPLIED:
            container = targets[decision.pointer].container
            for path in OWNED[decision.rule]:
                yield decision.pointer + path.format(index=container and container.index, resource=resource)


# ---- all cases together ---------------------------------------------------------------------------


def test_every_reason_occurs() -> None:
    """Each reason code is what some case shows."""
    shown = {decision["reason"] for case in ALL for decision in case.expected["decisions"]}
    assert {reason.value for reason in Reason} - shown == set()


def test_every_status_occurs() -> None:
    """Each way in which a review can end is what some case shows; an error of our own is no case."""
    shown = {case.verdict(case.review).status for case in ALL}
    assert set(Status) - shown == {Status.INTERNAL_ERROR}


def test_every_annotation_occurs() -> None:
    """Each annotation stands on some case's namespace."""
    shown: set[Unstructured] = set()
    for case in ALL:
        shown |= (case.namespace["metadata"].get("annotations") or {}).keys()
    assert {annotation.key for annotation in ANNOTATIONS} - shown == set()


def test_there_are_enough_cases() -> None:
    """At least 40 cases stand here, and at least ten of them were recorded from a real API server."""
    assert len(ALL) >= 40
    assert len(RECORDED) >= 10


def test_recorded_cases_are_the_real_api_servers() -> None:
    """Exactly the cases of the list say who sent them: a review written by hand never pretends to."""
    sent = {case.name for case in ALL if "userInfo" in case.review["request"]}
    assert sent == {case.name for case in RECORDED}


def test_nothing_else_lies_among_the_cases() -> None:
    """Everything in the folder is a case."""
    assert [entry.name for entry in CASES.iterdir() if not entry.is_dir()] == []
