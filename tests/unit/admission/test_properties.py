"""What holds for any JSON that an API server could ever send."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import TYPE_CHECKING

import jsonpatch
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults import arbitrary, laws
from tests.unit.case import changed
from tests.unit.objects import HOSTNAME, NAMESPACE, WORKER_LABELS, namespace, review
from webhook.http.app import Webhook, create_app
from webhook.kube.namespaces.static import StaticNamespaces
from webhook.mutators import plan
from webhook.mutators.decision import Outcome
from webhook.policy import ANNOTATIONS, PREFIX, Policy, resolve
from webhook.telemetry.recorder import Recorder
from webhook.workloads.pod_templates import read

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message

    from webhook.workloads.unstructured import Unstructured

DASK = {"apiVersion": "kubernetes.dask.org/v1"}
WORDS = st.sampled_from(
    [
        "dask-worker",
        "dask",
        "worker",
        "cuda",
        "dask-cuda-worker",
        "python",
        "-m",
        "distributed.cli.dask_worker",
        "sh",
        "-c",
        "exec dask-worker | tee",
        "--name",
        "",
        "/opt/bin/dask-worker",
        "dask_cuda.cli",
    ]
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
RESOURCES = st.sampled_from(["nvidia.com/gpu", "nvidia.com/mig-1g.5gb", "amd.com/gpu", "cpu", "rdma/hca", "a~b/c"])
QUANTITIES = st.sampled_from(["0", "1", 2, 0, "1k", None, 1.5])
SLICES = "cloud.google.com/gke-gpu-partition-size"
KEYS = st.sampled_from(["dask.org/component", "dask.org/cluster-name", "dask.org/workergroup-name", "app"])
VALUES = st.sampled_from(["worker", "demo", "demo-default", "scheduler", "x"])


def sloppy(*good: st.SearchStrategy[Unstructured]) -> st.SearchStrategy[Unstructured]:
    """Mostly what Kubernetes takes, sometimes anything."""
    return st.one_of(*good, *good, *good, JUNK)


def some(**fields: st.SearchStrategy[Unstructured]) -> st.SearchStrategy[Unstructured]:
    """An object with some of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


AMOUNTS = sloppy(st.dictionaries(RESOURCES, QUANTITIES, max_size=2))
VARIABLES = some(
    name=sloppy(st.sampled_from(["NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "EXTRA_PIP_PACKAGES"])),
    value=sloppy(st.sampled_from(["all", "none", "", "-1", "0,1", "MIG-41b3359c", "dask-cuda"])),
    valueFrom=sloppy(st.just({"fieldRef": {"fieldPath": "metadata.name"}})),
)
IMAGES = st.sampled_from(
    ["rapidsai/base:26.10", "daskdev/dask", "mirror:5000/ghcr.io/dask/dask@sha256:00", "example.org/a/b", ":", "@"]
)
CONTAINERS = some(
    image=sloppy(IMAGES),
    env=sloppy(st.lists(sloppy(VARIABLES), max_size=2)),
    restartPolicy=sloppy(st.just("Always")),
    securityContext=sloppy(st.just({"privileged": True})),
    volumeMounts=sloppy(st.lists(sloppy(st.just({"mountPath": "/opt/app"})), max_size=1)),
    name=st.sampled_from(["worker", "scheduler", "dask", "logs"]),
    command=sloppy(st.lists(sloppy(WORDS), max_size=3)),
    args=sloppy(st.lists(sloppy(WORDS), max_size=4)),
    resources=sloppy(some(limits=AMOUNTS, requests=AMOUNTS, claims=sloppy(st.just([{"name": "gpu"}])))),
)
EXPRESSIONS = some(
    key=KEYS, operator=st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]), values=st.lists(VALUES, max_size=2)
)
SELECTORS = some(
    matchLabels=sloppy(st.dictionaries(KEYS, VALUES, max_size=2)),
    matchExpressions=sloppy(st.lists(EXPRESSIONS, max_size=2)),
)
GUIDE = {
    "labelSelector": {"matchExpressions": [{"key": "dask.org/component", "operator": "In", "values": ["worker"]}]},
    "topologyKey": HOSTNAME,
}
TERMS = st.just(GUIDE) | some(
    labelSelector=sloppy(SELECTORS),
    topologyKey=sloppy(st.sampled_from([HOSTNAME, "rack"])),
    namespaces=sloppy(st.lists(st.sampled_from(["rapids", "x"]), max_size=1)),
    namespaceSelector=sloppy(st.just({})),
)
SECTIONS = sloppy(
    some(
        preferredDuringSchedulingIgnoredDuringExecution=sloppy(
            st.lists(sloppy(some(weight=st.sampled_from([1, 100]), podAffinityTerm=sloppy(TERMS))), max_size=3)
        ),
        requiredDuringSchedulingIgnoredDuringExecution=sloppy(st.lists(sloppy(TERMS), max_size=2)),
    )
)
SPECS = some(
    containers=sloppy(st.lists(sloppy(CONTAINERS), max_size=3)),
    affinity=sloppy(some(podAffinity=SECTIONS, podAntiAffinity=SECTIONS)),
    topologySpreadConstraints=sloppy(st.lists(sloppy(TERMS), max_size=1)),
    initContainers=sloppy(st.lists(sloppy(CONTAINERS), max_size=2)),
    resources=sloppy(some(limits=AMOUNTS, requests=AMOUNTS)),
    resourceClaims=sloppy(st.just([{"name": "gpu", "resourceClaimTemplateName": "mig-1g"}])),
    nodeSelector=sloppy(st.dictionaries(st.sampled_from(["nvidia.com/gpu.present", SLICES]), VALUES, max_size=2)),
    runtimeClassName=sloppy(st.just("nvidia")),
)
SHARES = ["gpu-fraction", "gpu-memory", "runai/mig-profile", "gpu-fraction-container-name", "gpu-fraction-num-devices"]
METADATA = some(
    name=sloppy(st.sampled_from(["demo", "c" * 64])),
    labels=sloppy(st.just(WORKER_LABELS), st.dictionaries(KEYS, VALUES)),
    annotations=sloppy(
        st.dictionaries(st.sampled_from([f"{PREFIX}enabled", f"{PREFIX}mode"]), st.text(max_size=5)),
        st.dictionaries(st.sampled_from(SHARES), QUANTITIES.map(str) | st.just("worker"), max_size=2),
    ),
)
TEMPLATES = sloppy(some(metadata=sloppy(METADATA), spec=sloppy(SPECS)))
CLUSTERS = some(worker=TEMPLATES, scheduler=TEMPLATES)
OBJECTS = st.one_of(
    st.builds(
        lambda metadata, spec: {**DASK, "kind": "DaskCluster", "metadata": metadata, "spec": spec},
        METADATA,
        sloppy(CLUSTERS),
    ),
    st.builds(
        lambda metadata, spec: {**DASK, "kind": "DaskJob", "metadata": metadata, "spec": {"cluster": {"spec": spec}}},
        METADATA,
        sloppy(CLUSTERS),
    ),
    st.builds(
        lambda metadata, worker: {
            **DASK,
            "kind": "DaskWorkerGroup",
            "metadata": metadata,
            "spec": {"cluster": "demo", "worker": worker},
        },
        METADATA,
        TEMPLATES,
    ),
    st.builds(
        lambda metadata, spec: {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**metadata, "labels": WORKER_LABELS},
            "spec": spec,
        },
        METADATA,
        sloppy(SPECS),
    ),
)
POLICIES = st.fixed_dictionaries(
    {f"{PREFIX}enabled": st.just("true")},
    optional={
        f"{PREFIX}{name}": st.sampled_from(values)
        for name, values in {
            "mode": ["enforce", "warn"],
            "gpu-limit": ["0", "2"],
            "gpu-workers": ["requested", "dask.org/workergroup-name in (demo-default), app!=x"],
            "dask-cli": ["subcommands"],
            "gpu-resource": ["amd.com/gpu", "example.com/a.b"],
            "worker-command": ["dask cuda worker", "keep"],
            "topology": ["none", "gke", f"rack,{HOSTNAME}"],
            "affinity-scope": ["namespace"],
            "guide-affinity": ["upgrade"],
            "apart": ["7"],
            "emptier-first": ["false"],
            "capacity-hint": ["true"],
            "scheduler-gpu": ["1"],
        }.items()
    },
).map(resolve)

OWNED = ("/affinity/", "/topologySpreadConstraints/", "/resources/limits/", "/command/", "/args/")
thorough = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@thorough
@given(OBJECTS, POLICIES)
def test_second_pass_gives_nothing(item: Unstructured, policy: Policy) -> None:
    """For any object and policy the patch applies, the object given stays as it is, and deciding again is quiet."""
    before = copy.deepcopy(item)
    subject = read(item)
    if subject is None:
        return
    first = plan(subject.targets, policy)
    result = jsonpatch.apply_patch(item, [operation.as_json() for operation in first.operations])
    assert item == before
    again = read(result)
    assert again is not None
    second = plan(again.targets, policy)
    assert second.operations == ()
    assert Outcome.APPLIED not in {decision.outcome for decision in second.decisions}
    refused = {(one.rule, one.pointer) for one in first.decisions if one.outcome is Outcome.REFUSED}
    assert {(one.rule, one.pointer) for one in second.decisions if one.outcome is Outcome.REFUSED} <= refused


@thorough
@given(OBJECTS, POLICIES)
def test_nothing_that_stands_there_is_lost(item: Unstructured, policy: Policy) -> None:
    """Only commands, and the guide's own term where that is allowed, are ever replaced; all else is added."""
    subject = read(item)
    if subject is None:
        return
    for operation in plan(subject.targets, policy).operations:
        if operation.op == "replace":
            assert operation.path.endswith(("/command", "/args")) or "podAffinity" in operation.path
    result = jsonpatch.apply_patch(item, [one.as_json() for one in plan(subject.targets, policy).operations])
    for path in changed(item, result):
        assert any(word in path for word in OWNED), path


ANNOTATIONS_OF_ANY_KIND = st.dictionaries(
    st.sampled_from([annotation.key for annotation in ANNOTATIONS]) | st.text(max_size=9).map(PREFIX.__add__),
    st.sampled_from(["true", "false", "0", "2", "none", "rack", "upgrade", "namespace", "keep"]) | st.text(max_size=9),
    max_size=5,
)


@thorough
@given(st.one_of(OBJECTS, JUNK), ANNOTATIONS_OF_ANY_KIND, st.sampled_from(["CREATE", "CREATE", "UPDATE", "DELETE", ""]))
def test_laws_hold_from_bytes_to_bytes(item: Unstructured, annotations: dict[str, str], operation: str) -> None:
    """Whatever the object and its namespace's annotations are, the answer keeps every law of `tests.faults.laws`."""
    body = json.dumps(review({"apiVersion": "v1", "kind": "Pod"}, operation, object=item)).encode()
    found = {"metadata": {"name": NAMESPACE, "annotations": {f"{PREFIX}enabled": "true", **annotations}}}
    webhook = Webhook(StaticNamespaces([found]), Policy(), Recorder())
    laws.check(body, laws.answer(webhook, body), webhook)


@given(
    JUNK.map(json.dumps).map(str.encode)
    | st.binary(max_size=99)
    | st.builds(arbitrary.body, st.randoms(use_true_random=False))
)
def test_any_body_is_answered_or_refused_over_http(body: bytes) -> None:
    """Any body gets 200 with a review that keeps the laws, or 400 with one line of text, and nothing is raised."""
    webhook = Webhook(StaticNamespaces([namespace("n0")]), Policy(), Recorder())
    status, media_type, answer = asyncio.run(posted(create_app(webhook, Recorder(), {}), body))
    assert (status, media_type) in {(200, b"application/json"), (400, b"text/plain; charset=utf-8")}
    if status == 200:
        laws.check(body, answer, webhook)
    else:
        assert len(answer.decode().splitlines()) == 1


async def posted(app: ASGIApp, body: bytes) -> tuple[int, bytes, bytes]:
    """Status, media type and body of the answer to `POST /mutate`."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/mutate", "query_string": b"", "headers": []}
    await app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"])[b"content-type"], sent[1]["body"]


@pytest.mark.parametrize(
    ("there", "value"),
    [
        ({"args": ["dask-worker", "--name", "x"]}, ["dask-cuda-worker", "--name", "y"]),
        ({"args": ["dask-worker", "a", "b"]}, ["dask-cuda-worker", "b", "a"]),
        ({"args": ["sleep", "1"]}, ["sleep", "2"]),
        ({"args": ["tini", "dask-worker"]}, ["dask-cuda-worker"]),
    ],
)
def test_law_keeps_the_users_words(there: Unstructured, value: Unstructured) -> None:
    """A patch that changes, turns round or loses a user's own word breaks the law."""
    pod = {"spec": {"containers": [there]}}
    with pytest.raises(laws.BrokenLawError):
        laws.check_operation(pod, {"op": "replace", "path": "/spec/containers/0/args", "value": value})


def test_law_keeps_reviews_answered() -> None:
    """A review that is refused as none breaks the law, and what is no review does not."""
    webhook = Webhook(StaticNamespaces([namespace()]), Policy(), Recorder())
    with pytest.raises(laws.BrokenLawError):
        laws.check(json.dumps(review({**DASK, "kind": "DaskCluster"})).encode(), None, webhook)
    assert not laws.check(b"{}", None, webhook)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/spec/containers/0/resources/limits/memory", "1Gi"),
        ("/spec/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/0", {"weight": 1}),
        ("/spec/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution/0", {"weight": 1}),
    ],
)
def test_law_keeps_the_users_terms_and_limits(path: str, value: Unstructured) -> None:
    """A patch to a limit that is no device's, or over an affinity of the user's own, breaks the law."""
    one = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 9, "podAffinityTerm": {"labelSelector": {}}}]}
    two = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 9, "preference": {"matchExpressions": []}}]}
    pod = {"spec": {"containers": [{}], "affinity": {"podAffinity": one, "nodeAffinity": two}}}
    with pytest.raises(laws.BrokenLawError):
        laws.check_operation(pod, {"op": "replace", "path": path, "value": value})
