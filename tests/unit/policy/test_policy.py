"""Policies resolved from annotations and installation defaults."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.policy import (
    ANNOTATIONS,
    ENABLED,
    PREFIX,
    AffinityScope,
    Annotation,
    DaskCli,
    GuideAffinity,
    Mode,
    Policy,
    SchedulerPlacement,
    TargetGroup,
    TopologyLevel,
    WorkerCommand,
    object_problems,
    opted_out,
    resolve,
)
from webhook.policy.values import MOST_GPUS

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"

WELL_FORMED = [
    ("enabled", "true", True),
    ("enabled", " false ", False),
    ("mode", "warn", Mode.WARN),
    ("gpu-limit", "0", 0),
    ("gpu-limit", "1000", MOST_GPUS),
    ("gpu-resource", "nvidia.com/mig-1g.5gb", "nvidia.com/mig-1g.5gb"),
    ("worker-command", "dask cuda worker", WorkerCommand.SUBCOMMAND),
    ("dask-cuda-version", "24.12", (24, 12)),
    ("dask-cuda-version", "26.08.00", (26, 8)),
    ("dask-cuda-version", "24.2.0", (24, 2)),
    ("dask-cuda-version", "21.12", (21, 12)),
    ("dask-cli", "subcommands", DaskCli.SUBCOMMANDS),
    ("topology", "none", ()),
    ("topology", HOST, (TopologyLevel(HOST, 100),)),
    ("topology", f"{HOST}=7", (TopologyLevel(HOST, 7),)),
    (
        "topology",
        f"{HOST} , rack, {ZONE}=1",
        (TopologyLevel(HOST, 100), TopologyLevel("rack", 30), TopologyLevel(ZONE, 1)),
    ),
    ("topology", "nvlink", (TopologyLevel(HOST, 100), TopologyLevel("nvidia.com/gpu.clique", 30))),
    ("affinity-scope", "namespace", AffinityScope.NAMESPACE),
    ("guide-affinity", "upgrade", GuideAffinity.UPGRADE),
    ("apart", "100", 100),
    ("emptier-first", "false", False),
    ("capacity-hint", "true", True),
    ("scheduler-gpu", "keep", None),
    ("scheduler-gpu", "0", 0),
    ("scheduler-gpu", "2", 2),
    ("scheduler-placement", "share", SchedulerPlacement.SHARE),
    ("scheduler-placement", "keep", SchedulerPlacement.KEEP),
    ("targets", "pods", frozenset({TargetGroup.PODS})),
    ("targets", "pods, resources", frozenset(TargetGroup)),
]

MALFORMED = [
    ("enabled", "yes"),
    ("enabled", "True"),
    ("enabled", ""),
    ("mode", "Warn"),
    ("gpu-limit", "-1"),
    ("gpu-limit", "1.5"),
    ("gpu-limit", "1001"),
    ("gpu-limit", "0x1"),
    ("gpu-limit", "1_0"),
    ("gpu-limit", "٣"),
    ("gpu-limit", "²"),
    ("gpu-limit", "9" * 5000),
    ("gpu-resource", "gpu"),
    ("gpu-resource", "nvidia.com/"),
    ("gpu-resource", "/gpu"),
    ("gpu-resource", "nvidia.com/gpu/2"),
    ("gpu-resource", "kubernetes.io/batch-cpu"),
    ("gpu-resource", "node.kubernetes.io/gpu"),
    ("gpu-resource", "requests.nvidia.com/gpu"),
    ("gpu-resource", f"nvidia.com/{'g' * 64}"),
    ("gpu-resource", f"{'a.' * 127}com/gpu"),
    ("worker-command", "dask-worker"),
    ("dask-cuda-version", "latest"),
    ("dask-cuda-version", "24"),
    ("dask-cuda-version", "12.2"),
    ("dask-cuda-version", "12.24"),
    ("dask-cuda-version", "0.19"),
    ("dask-cuda-version", "21.10"),
    ("dask-cuda-version", "24.00"),
    ("dask-cuda-version", "24.13"),
    ("dask-cli", "subcommand"),
    ("topology", ""),
    ("topology", f"{HOST}=0"),
    ("topology", f"{HOST}=101"),
    ("topology", f"{HOST}="),
    ("topology", f"{HOST},"),
    ("topology", f"{HOST},{HOST}=1"),
    ("topology", "a,b,c,d,e,f"),
    ("topology", "not a label"),
    ("affinity-scope", "all"),
    ("guide-affinity", "yes"),
    ("apart", "101"),
    ("apart", "-0"),
    ("capacity-hint", "on"),
    ("scheduler-gpu", "none"),
    ("scheduler-placement", "spread"),
    ("targets", ""),
    ("targets", "pods,deployments"),
]


def field(name: str) -> str:
    """Return the field of Policy for the name of an annotation."""
    return name.replace("-", "_")


@pytest.mark.parametrize(("name", "text", "value"), WELL_FORMED)
def test_well_formed_value_is_used(name: str, text: str, value: object) -> None:
    """A well-formed value is set in the policy without a problem."""
    policy = resolve({f"{PREFIX}{name}": text})
    assert getattr(policy, field(name)) == value
    assert policy.problems == ()


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("a,b,c,d,e", [100, 30, 10, 3, 1]),
        ("a=50,b,c,d,e", [50, 15, 5, 1, 1]),
        ("a=5,b", [5, 1]),
        ("a=1,b,c", [1, 1, 1]),
        ("a,b=90,c", [100, 90, 10]),
        ("a=5,b=30,c", [5, 30, 10]),
    ],
)
def test_default_weights_decrease(text: str, weights: list[int]) -> None:
    """A level without a weight never outweighs the previous one; explicit weights are kept."""
    assert [level.weight for level in resolve({f"{PREFIX}topology": text}).topology] == weights


@pytest.mark.parametrize(("name", "text"), MALFORMED)
def test_malformed_value_falls_back(name: str, text: str) -> None:
    """A malformed value has no effect, and one problem states key, accepted values and the value used."""
    policy = resolve({f"{PREFIX}{name}": text})
    (problem,) = policy.problems
    assert dataclasses.replace(policy, problems=()) == Policy()
    assert problem.key == f"{PREFIX}{name}"
    accepted = next(annotation.accepted for annotation in ANNOTATIONS if annotation.name == name)
    for part in (problem.key, accepted, "using "):
        assert part in problem.text


def test_malformed_value_falls_back_to_the_installations_default() -> None:
    """The installation's default replaces a malformed value, and the problem states it."""
    policy = resolve({f"{PREFIX}gpu-limit": "many"}, Policy(gpu_limit=4))
    assert policy.gpu_limit == 4
    assert policy.problems[0].text.endswith("using 4")


def test_namespace_overrides_the_installation() -> None:
    """An annotation overrides the installation's default; other fields keep the default."""
    policy = resolve({f"{PREFIX}apart": "1"}, Policy(enabled=True, apart=9, gpu_limit=3))
    assert (policy.enabled, policy.apart, policy.gpu_limit) == (True, 1, 3)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("gpu-limits", "gpu-limit"), ("affinityscope", "affinity-scope"), ("enable", "enabled")],
)
def test_unknown_key_is_a_problem(name: str, nearest: str) -> None:
    """The problem of an unknown key suggests the nearest key."""
    (problem,) = resolve({f"{PREFIX}{name}": "1"}).problems
    assert f"did you mean {PREFIX}{nearest}?" in problem.text


def test_foreign_annotations_are_ignored() -> None:
    """A key outside the prefix has no effect and causes no problem."""
    assert resolve({"example.com/enabled": "yes", "colocate.dask.org": "x", "scheduler.alpha/gpu": "1"}) == Policy()


def test_every_field_has_its_annotation() -> None:
    """The fields of Policy, except `problems`, match the annotations in name and order."""
    fields = [field.name for field in dataclasses.fields(Policy) if field.name != "problems"]
    assert fields == [annotation.field for annotation in ANNOTATIONS]
    assert [annotation.key for annotation in ANNOTATIONS] == [
        f"{PREFIX}{annotation.name}" for annotation in ANNOTATIONS
    ]


@pytest.mark.parametrize(("name", "text", "value"), WELL_FORMED)
def test_value_round_trips(name: str, text: str, value: object) -> None:
    """The text of a policy's value resolves to the same value."""
    annotation = next(annotation for annotation in ANNOTATIONS if annotation.name == name)
    formatted = annotation.value(resolve({annotation.key: text}))
    assert getattr(resolve({annotation.key: formatted}), annotation.field) == value


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=[annotation.name for annotation in ANNOTATIONS])
def test_default_round_trips(annotation: Annotation) -> None:
    """The text of a default parses to the default; only an unset version has no text."""
    formatted = annotation.value(Policy())
    if formatted != "unset":
        assert annotation.parse(formatted) == getattr(Policy(), annotation.field)


@given(st.dictionaries(st.sampled_from([a.key for a in ANNOTATIONS]) | st.text().map(PREFIX.__add__), st.text()))
def test_resolve_accepts_any_annotations(annotations: dict[str, str]) -> None:
    """Any annotations resolve to a valid policy with at most one problem per key."""
    policy = resolve(annotations)
    assert len({problem.key for problem in policy.problems}) == len(policy.problems) <= len(annotations)
    assert 0 <= policy.gpu_limit <= MOST_GPUS
    assert 0 <= policy.apart <= 100
    assert all(1 <= level.weight <= 100 for level in policy.topology)
    assert all("\n" not in problem.text and problem.text.isascii() for problem in policy.problems)


def test_problem_truncates_long_values() -> None:
    """The problem of an annotation of 200 kB is a short line."""
    (problem,) = resolve({f"{PREFIX}mode": "x" * 200_000}).problems
    assert len(problem.text) < 256


@pytest.mark.parametrize(
    ("text", "out"),
    [("false", True), (" false\n", True), ("False", False), ("no", False), ("", False), ("true", False)],
)
def test_only_false_opts_out(text: str, out: bool) -> None:
    """Only the value `false` opts an object out."""
    assert opted_out([{}, {ENABLED: text}]) is out


def test_object_without_the_annotation_is_not_opted_out() -> None:
    """An object without the annotation is not opted out."""
    assert not opted_out([{"example.com/enabled": "false"}])


def test_problems_on_an_object() -> None:
    """On an object every key except `enabled` is a problem, and so is any value except true and false."""
    problems = object_problems([{ENABLED: "nope", f"{PREFIX}gpu-limit": "2", "example.com/x": "y"}])
    assert [problem.key for problem in problems] == [ENABLED, f"{PREFIX}gpu-limit"]
    assert object_problems([{ENABLED: "true"}, {ENABLED: "false"}]) == ()
