"""Helpers for tests of the mutator `command`: corpus, decisions and a real shell."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import jsonpatch
import yaml

from webhook import policy
from webhook.mutators.command import command
from webhook.workloads import pod_templates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook.mutators.decision import Decision

CORPUS = Path(__file__).with_name("corpus.yaml")


@dataclass(frozen=True, slots=True)
class Case:
    """One entry of the corpus; the attributes are its keys."""

    container: Mapping[str, Any]
    policy: Mapping[str, str]
    expect: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Label of the case in pytest's output."""
        words = [*self.container.get("command", ()), "|", *self.container.get("args", ())]
        return " ".join([*map(str, words), *self.policy.values()])


def corpus() -> tuple[Case, ...]:
    """Return all entries of the corpus."""
    cases = []
    for entry in yaml.safe_load(CORPUS.read_text(encoding="utf-8")):
        rest = dict(entry)
        annotations, expect = rest.pop("policy", {}), rest.pop("expect")
        assert rest.keys() <= {"command", "args", "resources"}, f"unknown key in {rest}"
        cases.append(Case(rest, annotations, expect))
    return tuple(cases)


def manifest(container: Mapping[str, Any]) -> dict[str, Any]:
    """Return a worker pod with one container and a controller as its owner."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {"dask.org/component": "worker"}, "ownerReferences": [{"kind": "ReplicaSet"}]},
        "spec": {"containers": [{"name": "worker", **container}]},
    }


def resolved(annotations: Mapping[str, str]) -> policy.Policy:
    """Return the policy of a namespace with these annotations, whose keys have no prefix."""
    result = policy.resolve({f"{policy.PREFIX}{key}": value for key, value in annotations.items()})
    assert not result.problems
    return result


def decided(container: Mapping[str, Any], annotations: Mapping[str, str]) -> Decision:
    """Return the decision of the mutator for a worker container."""
    subject = pod_templates.read(manifest(container))
    assert subject is not None
    return command(subject.targets[0], resolved(annotations))


def converted(container: Mapping[str, Any], decision: Decision) -> dict[str, Any]:
    """Return the container after the decision's patch, applied by the library jsonpatch."""
    patch = [operation.as_json() for operation in decision.operations]
    changed: dict[str, Any] = jsonpatch.apply_patch(manifest(container), patch)["spec"]["containers"][0]
    return changed


def vector(container: Mapping[str, Any]) -> list[str]:
    """Return the argument vector of a container."""
    return [*container.get("command", ()), *container.get("args", ())]


# Command forms, longest first; independent of those in `webhook`.
_STARTS = {
    "dask-cuda": (
        ["dask", "cuda", "worker"],
        ["cuda", "worker"],
        ["dask_cuda.cli.dask_cuda_worker"],
        ["dask_cuda.cli"],
        ["dask-cuda-worker"],
    ),
    "dask": (["dask", "worker"], ["distributed.cli.dask_worker"], ["dask-worker"]),
}


def worker_options(words: Sequence[str], program: str) -> list[str]:
    """Return the options of the worker `program`, variables replaced; bash parses a shell text."""
    words = [
        word.replace("$(DASK_WORKER_NAME)", "w-0").replace("$(DASK_SCHEDULER_ADDRESS)", "tcp://s:1") for word in words
    ]
    text = _shell_text(words)
    if text is not None:
        words = run_in_shell(text)
    names = [word.rpartition("/")[2] for word in words]
    for start in _STARTS[program]:
        for at in range(len(words)):
            if names[at : at + len(start)] == start:
                # The remaining variables of Kubernetes hold numbers.
                return [word.replace("$(N)", "7").replace("$(PORT)", "9000") for word in words[at + len(start) :]]
    raise AssertionError(f"no {program} worker in {words}")


def _shell_text(words: Sequence[str]) -> str | None:
    shells = [at for at, word in enumerate(words) if word.rpartition("/")[2] in {"sh", "bash"}]
    if not shells:
        return None
    return next(word for word in words[shells[0] + 1 :] if word[0] not in "-+" and word != "pipefail")


# Replace commands that a text runs before the worker, so that they have no effect on this machine.
_PRELUDE = "".join(
    f"{name}() {{ :; }}; "
    for name in ("cd", "source", ".", "conda", "pip", "mkdir", "kinit", "touch", "ulimit", "ldconfig", "nc", "tail")
)
_RECORD = """#!/bin/sh
printf '%s\\0' "$0" "$@" >> "$RECORD"
"""
_TINI = """#!/bin/sh
while [ "$1" != -- ]; do shift; done; shift
exec "$@"
"""


@cache
def run_in_shell(text: str) -> list[str]:
    """Run the text in bash with recording stand-ins for programs; return the argument vector of the worker."""
    with TemporaryDirectory() as folder:
        programs = Path(folder, "bin")
        programs.mkdir()
        for name in ("dask", "dask-worker", "dask-cuda-worker", "python", "tini"):
            Path(programs, name).write_text(_TINI if name == "tini" else _RECORD)
            Path(programs, name).chmod(0o755)
        record = Path(folder, "record")
        variables = {"SCHEDULER_HOST": "s", "SCHEDULER": "tcp://s:1", "N": "4", "DASK_WORKER_NAME": "w-0"}
        environment = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "CONDA_PREFIX": folder,
            "RECORD": str(record),
            "DASK_SCHEDULER_ADDRESS": "tcp://s:1",
            **variables,
        }
        subprocess.run(["bash", "-c", _PRELUDE + text], env=environment, cwd=folder, capture_output=True, check=False)
        return record.read_text().split("\0")[:-1] if record.exists() else []


def base_names(words: Sequence[str]) -> list[str]:
    """Return the words with only the base name of the program, since each run uses a new folder."""
    return [words[0].rpartition("/")[2], *words[1:]] if words else []
