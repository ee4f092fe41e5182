from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING

import pytest

from tests.unit.case import Case, every
from tests.unit.objects import cluster, container, group, pod, preferred, review, spec, term
from webhook.admission.decision_cache import LARGEST_CONTAINER_KEPT, LARGEST_KEPT, DecisionCache
from webhook.admission.request import parse_document
from webhook.admission.response import AdmissionResponse, RenderedResponse, Status, render
from webhook.kube.capacity import NOT_WATCHED
from webhook.kube.namespaces import policy_annotations
from webhook.mutators import contained, of_container
from webhook.mutators.selector import PREFERRED
from webhook.placement.model import (
    MARKER,
    Hints,
    NewPod,
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


def respond(cache: DecisionCache, item: Unstructured, annotations: Annotations = ON) -> RenderedResponse:
    """Return the response for an object, by default in an enabled namespace."""
    asked = parse_document(review(item))
    subject = cache.consider(asked)
    assert isinstance(subject, DaskObject)
    return cache.answer(asked, subject, annotations)


def worker(number: int, **fields: Unstructured) -> Unstructured:
    """Return one of a group's worker pods, with its own name, labels and environment."""
    own = {"dask.org/worker-name": f"demo-{number}", "pod-template-hash": f"{number}"}
    labels = {"dask.org/cluster-name": "demo", "dask.org/component": "worker", **own}
    env = [{"name": "DASK_WORKER_NAME", "value": f"demo-{number}"}]
    return pod(spec(container(env=env, **fields)), name=f"demo-{number}", labels=labels)


def test_workers_of_a_group_share_a_response() -> None:
    """Pods that differ only in their names, their own labels and their environment share one response."""
    cache = DecisionCache(Policy(), NOT_WATCHED.hints)
    assert respond(cache, worker(1)) is respond(cache, worker(2))


def test_roles_are_distinguished() -> None:
    """Two pods that differ in their component label only get the decisions of their own roles."""
    cache = DecisionCache(Policy(), NOT_WATCHED.hints)
    scheduler = worker(1)
    scheduler["metadata"]["labels"]["dask.org/component"] = "scheduler"
    roles = [{each.role for each in respond(cache, item).response.decisions} for item in (worker(2), scheduler)]
    assert roles == [{Role.WORKER}, {Role.SCHEDULER}]


def test_workers_with_the_same_hint_share_a_response() -> None:
    """Pods with the same hint share one response."""
    with_hints = frozenset({*ON, (f"{PREFIX}capacity-hint", "true")})
    marked = {"preference": {"matchExpressions": [{"key": MARKER, "operator": "NotIn", "values": ["2"]}]}, "weight": 30}
    asked_questions: list[Questions] = []

    def hints(questions: Questions) -> Hints:
        asked_questions.append(questions)
        return questions.without(NoHint(NoHintReason.NO_WORKERS_ADDED, "not outgrown"))

    cache = DecisionCache(Policy(), hints)
    first, second = (worker(number) for number in (1, 2))
    for each in (first, second):
        each["spec"]["affinity"] = {"nodeAffinity": {PREFERRED: [marked]}}
    assert respond(cache, first, with_hints) is respond(cache, second, with_hints)
    assert [type(each.worker) for each in asked_questions] == [NewPod, NewPod]
    assert respond(cache, first) is not respond(cache, first, with_hints)


@pytest.mark.parametrize(
    "fields",
    [{"args": ["dask-worker", "--nthreads", "2"]}, {"resources": {"limits": {"cpu": 1}}}, {"command": ["tini", "--"]}],
)
def test_fields_that_rules_read_distinguish_pods(fields: Unstructured) -> None:
    """A pod with another command or other resources gets a decision of its own."""
    cache = DecisionCache(Policy(), NOT_WATCHED.hints)
    respond(cache, worker(1))
    fresh = respond(DecisionCache(Policy(), NOT_WATCHED.hints), worker(2, **fields))
    assert respond(cache, worker(2, **fields)).after_uid == fresh.after_uid
    assert respond(cache, worker(2, **fields)) is not respond(cache, worker(1))


def test_annotations_of_the_namespace_distinguish_responses() -> None:
    """The same pod in a namespace with other annotations gets another decision."""
    cache = DecisionCache(Policy(), NOT_WATCHED.hints)
    asked = parse_document(review(worker(1)))
    subject = cache.consider(asked)
    assert isinstance(subject, DaskObject)
    two = frozenset({*ON, (f"{PREFIX}gpu-limit", "2")})
    assert b"auditAnnotations" in cache.answer(asked, subject, ON).after_uid
    assert cache.answer(asked, subject, two).response.operations != cache.answer(asked, subject, ON).response.operations
    assert cache.answer(asked, subject, frozenset()).response.status is Status.NOT_ENABLED


@pytest.mark.parametrize("case", every(), ids=lambda case: case.name)
def test_cached_responses_equal_the_pure_core(case: Case) -> None:
    """Cached or not, the response for a fixture case equals that of the pure core."""

    def hints(questions: Questions) -> Hints:
        return case.capacity.hints(questions)  # a new source each time, without reservations

    cache = DecisionCache(default_policy(case.settings.get("defaults", "")), hints)
    asked, plain = parse_document(case.review), case.verdict(case.review)
    found = cache.consider(asked)
    if isinstance(found, AdmissionResponse):
        assert found == plain
    elif case.policy is not None:
        assert [cache.answer(asked, found, policy_annotations(case.namespace)).response for _ in range(2)] == [
            plain,
            plain,
        ]


def decided(cache: DecisionCache, item: Unstructured) -> dict[str, Decision]:
    """Return the decisions on an object's worker by rule."""
    return {each.rule: each for each in respond(cache, item).response.decisions if each.role is Role.WORKER}


def test_clusters_share_decisions_on_a_container() -> None:
    """Clusters with the same container share the decisions on it, and have their own affinity."""
    cache = DecisionCache(Policy(), NOT_WATCHED.hints)
    one, two = (decided(cache, cluster(name=name, uid=name)) for name in ("one", "two"))
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
def test_fields_that_rules_read_distinguish_containers(item: Unstructured) -> None:
    """The decisions on a container equal those of an empty cache, whatever was decided before."""
    cache = DecisionCache(Policy(), NOT_WATCHED.hints)
    decided(cache, cluster())
    assert decided(cache, item) == decided(DecisionCache(Policy(), NOT_WATCHED.hints), item)


@pytest.mark.parametrize("length", [1, LARGEST_CONTAINER_KEPT])
def test_large_container_is_not_cached(length: int) -> None:
    """A container over the size limit is not cached, and gets the same decisions."""
    cache = DecisionCache(Policy(), NOT_WATCHED.hints)
    one, two = (decided(cache, cluster(spec(container("dask-worker", "x" * length)), name)) for name in ("a", "b"))
    assert (one["command"] is two["command"]) == (length == 1)
    assert one["command"] == two["command"]


@pytest.mark.parametrize("case", every(), ids=lambda case: case.name)
def test_container_decisions_equal_those_of_the_template(case: Case) -> None:
    """Rules that read the container only decide the same on it as on the whole pod template."""
    subject = read(case.review["request"].get("object"))
    policies = (Policy(), Policy(topology=()), Policy(gpu_limit=2, scheduler_gpu=1, emptier_first=False, apart=5))
    for target, policy in product(subject.targets if subject else (), (*policies, case.policy or Policy())):
        seen = contained(target, policy)
        assert seen is None or of_container(container_target(seen), policy) == of_container(target, policy)


def test_shared_fields_keep_indices() -> None:
    """Entries that are not containers keep their index, and a value that is not a list stays unchanged."""
    mixed = spec(container("tail"), None, container())
    assert [type(each) for each in (shared(pod(mixed)) or {})["spec"]["containers"]] == [dict, type(None), dict]
    assert (shared(pod({"containers": "none"})) or {})["spec"]["containers"] == "none"


def test_worker_beyond_cache_limits_gets_a_decision() -> None:
    """Pods beyond the limits of the cache get a decision too."""
    deep: Unstructured = {}
    for _ in range(300):
        deep = {"matchLabels": deep}
    large = worker(1, args=["dask-worker", "x" * LARGEST_KEPT])
    nested = pod(spec(affinity={"podAffinity": preferred(term(**deep))}))
    for item in (large, nested):
        assert respond(DecisionCache(Policy(), NOT_WATCHED.hints), item).response.status is Status.DECIDED


def test_response_is_json_for_any_uid() -> None:
    """The uid is encoded as JSON, including quotes."""
    body = render(AdmissionResponse(Status.NO_TARGET)).to('a"b')
    assert json.loads(body)["response"] == {"uid": 'a"b', "allowed": True}
