"""Properties of the conversion of arbitrary worker commands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import jsonpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.mutators.command.cases import converted, decided, manifest, resolved, vector
from webhook.admission.response import MAX_WARNING_LENGTH, WARNING_PREFIX
from webhook.mutators import plan
from webhook.mutators.command.options import CUDA_OPTIONS, DASK_OPTIONS, Option
from webhook.mutators.decision import Outcome, Reason
from webhook.workloads import pod_templates

if TYPE_CHECKING:
    from tests.unit.mutators.command.clis import Cli

VERSIONS = ("", "22.12", "23.04", "24.12", "26.04", "26.06", "26.10")
FORMS = (
    ("dask-worker",),
    ("dask", "worker"),
    ("worker",),
    ("python", "-m", "distributed.cli.dask_worker"),
    ("python3", "-u", "-m", "dask", "worker"),
    ("/opt/conda/bin/dask-worker",),
    ("tini", "-g", "--", "dask", "worker"),
    ("conda", "run", "-n", "gpu", "dask-worker"),
    ("env", "A=B", "nice", "-n", "5", "dask-worker"),
)
CURRENT = [option for option in DASK_OPTIONS if not option.dask.startswith("- ")]
VALUES = {
    "--nthreads": st.sampled_from(["0", "1", "4", "-1", "many"]),
    "--nworkers": st.sampled_from(["1", "4", "auto"]),
    "--preload": st.sampled_from(["plain_preload", "clicked_preload"]),
    "--preload-nanny": st.just("plain_preload"),
    "--worker-port": st.sampled_from(["9000", "9000:9003"]),
    "--tls-ca-file": st.just("/dev/null"),
    "--tls-cert": st.just("/dev/null"),
    "--tls-key": st.just("/dev/null"),
}
TEXTS = st.one_of(
    st.sampled_from(["w", "$(DASK_WORKER_NAME)", "a b", "--no-nanny", "", "dask-worker", "=", "--", "it's"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8),
)


def _with_value(option: Option) -> st.SearchStrategy[list[str]]:
    """Return a strategy for an option with a value, in either form."""
    if option.flag:
        return st.sampled_from(option.names).map(lambda name: [name])
    (name,) = option.names
    values = VALUES.get(name, TEXTS)
    return st.one_of(values.map(lambda value: [name, value]), values.map(lambda value: [f"{name}={value}"]))


OPTIONS = st.sampled_from(CURRENT).flatmap(_with_value)
ODD = st.sampled_from([["--foo"], ["--foo=1"], ["-x"], ["stray"], ["--"], ["--nanny=1"], ["--name"], ["tcp://s:8786"]])
CUDA = st.sampled_from(
    [["--rmm-pool-size", "8GB"], ["--enable-jit-unspill"], ["--rmm-async"], ["--pre-import=cudf"], ["--enable-nvlink"]]
)
LINES = st.lists(st.one_of(OPTIONS, OPTIONS, OPTIONS, ODD, CUDA), max_size=6).map(
    lambda parts: [*chain.from_iterable(parts)]
)
ADDRESS = st.sampled_from([[], ["tcp://s:8786"]])
POLICIES = st.builds(
    lambda version, wanted, gpus: {
        **({"dask-cuda-version": version} if version else {}),
        "worker-command": wanted,
        "gpu-limit": gpus,
    },
    st.sampled_from(VERSIONS),
    st.sampled_from(["dask-cuda-worker", "dask cuda worker"]),
    st.sampled_from(["1", "2"]),
)


def _releases(annotations: dict[str, str], clis: dict[tuple[int, int], Cli]) -> list[Cli]:
    """Return the parser of the version in the annotations, or all parsers without a version."""
    named = annotations.get("dask-cuda-version")
    return [cli for version, cli in clis.items() if named in {None, f"{version[0]}.{version[1]:02}"}]


def _options(words: list[str]) -> list[str]:
    """Return the options of dask-cuda's worker in a command that begins with one of `FORMS`."""
    names = [word.rpartition("/")[2] for word in words]
    ends = [names.index("dask-cuda-worker")] if "dask-cuda-worker" in names[:8] else []
    ends += [at + 1 for at in range(7) if names[at : at + 2] == ["cuda", "worker"]]
    return words[min(ends) + 1 :]


def _assert_agreement(before: list[str], after: list[str], warnings: tuple[str, ...], cli: Cli) -> None:
    new, plain = cli.parse("dask-cuda", after), cli.parse("dask", before)
    if "click-configurable" in plain.get("error", ""):
        # Only with the preload module installed is it known whether it takes arguments; both parsers report it.
        assert new["error"] == plain["error"]
        return
    assert "values" in new, (after, new)
    assert not str(new["values"].get("scheduler") or "").startswith("-")
    assert new["values"].get("--nthreads", 1) >= 1
    own = {name for option in CUDA_OPTIONS for name in option.names}
    if not any(word.partition("=")[0] in own for word in before):
        old = plain["values"]
        assert new["values"].items() <= old.items()
        warned = " ".join(warnings)
        silent = {"--nanny": True, "--nworkers": "1", "--lifetime-restart": False}
        for name in old.keys() - new["values"].keys():
            assert name in warned or name.replace("--", "--no-") in warned or silent.get(name) == old[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Command of a worker: its form, address and options, and the index at which `args` begin."""

    form: tuple[str, ...]
    address: list[str]
    options: list[str]
    split: int

    @property
    def container(self) -> dict[str, Any]:
        """Container that runs the command."""
        words = [*self.form, *self.address, *self.options]
        split = 0 if self.form == ("worker",) else self.split
        return {"command": words[:split], "args": words[split:]} if split else {"args": words}


LINE = st.builds(Line, form=st.sampled_from(FORMS), address=ADDRESS, options=LINES, split=st.integers(0, 6))


@pytest.mark.cli
@settings(max_examples=400, deadline=None)
@given(line=LINE, annotations=POLICIES)
def test_any_command(clis: dict[tuple[int, int], Cli], line: Line, annotations: dict[str, str]) -> None:
    """The result parses to the values of the original and warnings name lost options, or nothing changes."""
    container = line.container
    decision = decided(container, annotations)
    assert all(len(warning) <= MAX_WARNING_LENGTH - len(WARNING_PREFIX) for warning in decision.warnings)
    if decision.outcome is not Outcome.APPLIED:
        assert decision.outcome is Outcome.REFUSED
        assert not decision.operations
        return
    changed = converted(container, decision)
    assert decided(changed, annotations).reason is Reason.COMMAND_CUDA_ALREADY
    for cli in _releases(annotations, clis):
        # Kubernetes replaces variables in the original and in the result alike.
        _assert_agreement([*line.address, *line.options], _options(vector(changed)), decision.warnings, cli)


ANYTHING = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.sampled_from(
            ["dask-worker", "dask", "worker", "sh", "-c", "exec dask-worker $X", "python", "-m", "env", "--"]
        ),
        st.none(),
        st.integers(),
    ),
    max_size=7,
)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=63)


CONTAINER = st.builds(
    lambda lists, name, quantity: {"name": name, **lists, "resources": {"limits": {"nvidia.com/gpu": quantity}}},
    st.fixed_dictionaries({}, optional={"command": ANYTHING, "args": ANYTHING}),
    NAMES,
    st.sampled_from([None, "1", "4", 2, "lots"]),
)


@settings(max_examples=400, deadline=None)
@given(container=CONTAINER, mode=st.sampled_from(["warn", "enforce"]))
def test_any_container(container: dict[str, Any], mode: str) -> None:
    """For any command and name nothing raises, warnings are short, and a second pass adds no operation."""
    policy = resolved({"mode": mode, "gpu-limit": "3"})
    item = manifest(container)
    before = json.dumps(item)
    subject = pod_templates.read(item)
    assert subject is not None
    first_pass = plan(subject.targets, policy)
    assert json.dumps(item) == before
    assert all(len(line) <= MAX_WARNING_LENGTH - len(WARNING_PREFIX) for line in first_pass.warnings)
    changed = pod_templates.read(
        jsonpatch.apply_patch(item, [operation.as_json() for operation in first_pass.operations])
    )
    assert changed is not None
    assert not plan(changed.targets, policy).operations


@pytest.mark.parametrize("option", [*DASK_OPTIONS, *CUDA_OPTIONS], ids=lambda option: option.names[0])
@pytest.mark.parametrize("version", VERSIONS)
def test_warnings_about_options_are_short(option: Option, version: str) -> None:
    """Every warning about an option names it and has at most 120 characters, as Kubernetes recommends."""
    annotations = {"dask-cuda-version": version} if version else {}
    for name in option.names:
        argv = ["dask-worker", name] if option.flag else ["dask-worker", name, "0"]
        decision = decided({"name": "n" * 63, "args": argv}, annotations)
        assert all(name in line and len(f"{WARNING_PREFIX}{line}") <= 120 for line in decision.warnings)
