from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING

import pytest

from tests.unit.case import Case, every
from tests.unit.objects import cluster, container, group, pod, preferred, review, spec, term
from webhook.admission import handler
from webhook.admission.decision_cache import LARGEST_CONTAINER_KEPT, LARGEST_KEPT, DecisionCache
from webhook.admission.handler import AdmissionResponse, RenderedResponse, Status
from webhook.kube.capacity import NOT_WATCHED
from webhook.kube.namespaces import policy_annotations
from webhook.mutators import contained, of_container
from webhook.mutators.selector import PREFERRED
from webhook.placement.model import (
    MARKER,
    Arrival,
    Hints,
    NoHint,
    NoHintReason,
)
from webhook.policy import ENABLED, PREFIX, Policy
from webhook.policy.defaults import default_policy
from webhook.workloads.cache_keys import container_target
from webhook.workloads.pod_templates import DaskObject, Role, read, shared

if TYPE_CHECKING:
    from webhook.mutators.decision import Decision
    from webhook.placement.model import Questions
    from webhook.policy import Annotations
    from webhook.workloads.unstructured import Unstructured

ON = frozenset({(ENABLED, "true")})


def answered(verdicts: DecisionCache, item: Unstructured, annotations: Annotations = ON) -> RenderedResponse:
    """The answer for an object in an enabled namespace."""
    asked = handler.review_of(review(item))
    subject = verdicts.consider(asked)
    assert isinstance(subject, DaskObject)
    return verdicts.answer(asked, subject, annotations)


def worker(number: int, **fields: Unstructured) -> Unstructured:
    """One of a group's worker pods: its own name, labels and environment."""
    own = {"dask.org/worker-name": f"demo-{number}", "pod-template-hash": f"{number}"}
    labels = {"dask.org/cluster-name": "demo", "dask.org/component": "worker", **own}
    env = [{"name": "DASK_WORKER_NAME", "value": f"demo-{number}"}]
    return pod(spec(container(env=env, **fields)), name=f"demo-{number}", labels=labels)


def test_workers_of_a_group_are_decided_on_once() -> None:
    """Pods that differ only in what is their own share one answer."""
    verdicts = DecisionCache(Policy(), NOT_WATCHED.hints)
    assert answered(verdicts, worker(1)) is answered(verdicts, worker(2))


def test_roles_are_told_apart() -> None:
    """Two pods that differ in their component label alone get the decisions of their own roles."""
    verdicts = DecisionCache(Policy(), NOT_WATCHED.hints)
    scheduler = worker(1)
    scheduler["metadata"]["labels"]["dask.org/component"] = "scheduler"
    roles = [{each.role for each in answered(verdicts, item).verdict.decisions} for item in (worker(2), scheduler)]
    assert roles == [{Role.WORKER}, {Role.SCHEDULER}]


def test_workers_with_the_same_hint_are_decided_on_once() -> None:
    """Pods that carry their group's hosts and get the same hint share one answer."""
    with_hints = frozenset({*ON, (f"{PREFIX}capacity-hint", "true")})
    marked = {"preference": {"matchExpressions": [{"key": MARKER, "operator": "NotIn", "values": ["2"]}]}, "weight": 30}
    told: list[Questions] = []

    def hints(questions: Questions) -> Hints:
        told.append(questions)
        return questions.without(NoHint(NoHintReason.NO_WORKERS_ADDED, "not outgrown"))

    verdicts = DecisionCache(Policy(), hints)
    first, second = (worker(number) for number in (1, 2))
    for each in (first, second):
        each["spec"]["affinity"] = {"nodeAffinity": {PREFERRED: [marked]}}
    assert answered(verdicts, first, with_hints) is answered(verdicts, second, with_hints)
    assert [type(each.worker) for each in told] == [Arrival, Arrival]
    assert answered(verdicts, first) is not answered(verdicts, first, with_hints)


@pytest.mark.parametrize(
    "fields",
    [{"args": ["dask-worker", "--nthreads", "2"]}, {"resources": {"limits": {"cpu": 1}}}, {"command": ["tini", "--"]}],
)
def test_what_a_rule_looks_at_tells_pods_apart(fields: Unstructured) -> None:
    """A pod with another command or other resources is decided on for itself."""
    verdicts = DecisionCache(Policy(), NOT_WATCHED.hints)
    answered(verdicts, worker(1))
    fresh = answered(DecisionCache(Policy(), NOT_WATCHED.hints), worker(2, **fields))
    assert answered(verdicts, worker(2, **fields)).behind_uid == fresh.behind_uid
    assert answered(verdicts, worker(2, **fields)) is not answered(verdicts, worker(1))


def test_namespace_tells_answers_apart() -> None:
    """The same pod under other annotations is decided on anew."""
    verdicts = DecisionCache(Policy(), NOT_WATCHED.hints)
    asked = handler.review_of(review(worker(1)))
    subject = verdicts.consider(asked)
    assert isinstance(subject, DaskObject)
    two = frozenset({*ON, (f"{PREFIX}gpu-limit", "2")})
    assert b"auditAnnotations" in verdicts.answer(asked, subject, ON).behind_uid
    assert (
        verdicts.answer(asked, subject, two).verdict.operations
        != verdicts.answer(asked, subject, ON).verdict.operations
    )
    assert verdicts.answer(asked, subject, frozenset()).verdict.status is Status.NOT_ENABLED


@pytest.mark.parametrize("case", every(), ids=lambda case: case.name)
def test_memory_changes_no_answer(case: Case) -> None:
    """Decided for the first time or from memory, a case's verdict is that of the pure core."""

    def hints(questions: Questions) -> Hints:
        return case.capacity.hints(questions)  # made anew each time: what was promised before is forgotten

    verdicts = DecisionCache(default_policy(case.settings.get("defaults", "")), hints)
    asked, plain = handler.review_of(case.review), case.verdict(case.review)
    found = verdicts.consider(asked)
    if isinstance(found, AdmissionResponse):
        assert found == plain
    elif case.policy is not None:
        assert [verdicts.answer(asked, found, policy_annotations(case.namespace)).verdict for _ in range(2)] == [
            plain,
            plain,
        ]


def decided(verdicts: DecisionCache, item: Unstructured) -> dict[str, Decision]:
    """Its worker's decisions by rule."""
    return {each.rule: each for each in answered(verdicts, item).verdict.decisions if each.role is Role.WORKER}


def test_container_is_decided_on_once_for_all_clusters() -> None:
    """Clusters that run the same container share what is decided on it, and have their own affinity."""
    verdicts = DecisionCache(Policy(), NOT_WATCHED.hints)
    one, two = (decided(verdicts, cluster(name=name, uid=name)) for name in ("one", "two"))
    assert {rule for rule in one if one[rule] is two[rule]} == {"apart", "gpu", "command", "dask-cli", "capacity-hint"}
    assert "cluster two" in two["affinity"].detail


@pytest.mark.parametrize(
    "item",
    [
        cluster(spec(container("dask-worker", "--nthreads", "2"))),
        cluster(spec(container(name="other"))),
        cluster(spec(container(resources={"limits": {"nvidia.com/gpu": 1}}))),
        cluster(spec(container("tail", name="first"), container())),
        cluster(spec(container(), None)),
        cluster(spec(container(image="daskdev/dask"))),
        cluster(spec(container(env=[{"name": "CUDA_VISIBLE_DEVICES", "value": ""}]))),
        cluster(spec(container(securityContext={"privileged": True}))),
        cluster(spec(container(), {"name": "other", "resources": {"limits": {"nvidia.com/gpu": 1}}})),
        cluster(spec(container(), initContainers=[{"name": "i", "resources": {"limits": {"nvidia.com/gpu": 1}}}])),
        cluster(spec(nodeSelector={"nvidia.com/gpu.present": "false"})),
        cluster(spec(container("dask-cuda-worker"), runtimeClassName="nvidia")),
        cluster(annotations={"gpu-fraction": "0.5"}),
        cluster(labels={"gpu-fraction": "0.5"}),
        group(),
        pod(),
        pod(ownerReferences=[{"kind": "ReplicaSet"}]),
    ],
)
def test_what_a_rule_looks_at_tells_containers_apart(item: Unstructured) -> None:
    """Decided on after another one, a container's decisions are those of the pure core."""
    verdicts = DecisionCache(Policy(), NOT_WATCHED.hints)
    decided(verdicts, cluster())
    assert decided(verdicts, item) == decided(DecisionCache(Policy(), NOT_WATCHED.hints), item)


@pytest.mark.parametrize("length", [1, LARGEST_CONTAINER_KEPT])
def test_large_container_is_not_kept(length: int) -> None:
    """A container over the bound is decided on each time, to the same end."""
    verdicts = DecisionCache(Policy(), NOT_WATCHED.hints)
    one, two = (decided(verdicts, cluster(spec(container("dask-worker", "x" * length)), name)) for name in ("a", "b"))
    assert (one["command"] is two["command"]) == (length == 1)
    assert one["command"] == two["command"]


@pytest.mark.parametrize("case", every(), ids=lambda case: case.name)
def test_container_says_as_much_as_its_target(case: Case) -> None:
    """Where only the container counts, the rules say of it alone what they say of the whole target."""
    subject = read(case.review["request"].get("object"))
    policies = (Policy(), Policy(topology=()), Policy(gpu_limit=2, scheduler_gpu=1, emptier_first=False, apart=5))
    for target, policy in product(subject.targets if subject else (), (*policies, case.policy or Policy())):
        seen = contained(target, policy)
        assert seen is None or of_container(container_target(seen), policy) == of_container(target, policy)


def test_shared_keeps_places() -> None:
    """What is no container keeps its place in the list, and a list that is none stays what it is."""
    mixed = spec(container("tail"), None, container())
    assert [type(each) for each in (shared(pod(mixed)) or {})["spec"]["containers"]] == [dict, type(None), dict]
    assert (shared(pod({"containers": "none"})) or {})["spec"]["containers"] == "none"


def test_worker_too_large_or_too_deep_is_decided_on_all_the_same() -> None:
    """Bounds of the memory are no bounds of what is answered."""
    deep: Unstructured = {}
    for _ in range(300):
        deep = {"matchLabels": deep}
    large = worker(1, args=["dask-worker", "x" * LARGEST_KEPT])
    nested = pod(spec(affinity={"podAffinity": preferred(term(**deep))}))
    for item in (large, nested):
        assert answered(DecisionCache(Policy(), NOT_WATCHED.hints), item).verdict.status is Status.DECIDED


def test_answer_is_json_whatever_the_uid() -> None:
    """The uid is put in as JSON, quotes and all."""
    body = handler.answer(AdmissionResponse(Status.NO_TARGET)).to('a"b')
    assert json.loads(body)["response"] == {"uid": 'a"b', "allowed": True}
