"""The programs of a control plane: from `$KUBEBUILDER_ASSETS`, from the cache, or built from their Go modules.

`python -m tests.e2e.bed.binaries [NAME...]` builds them ahead of the tests and prints their paths.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.bed import toolchain, versions

if TYPE_CHECKING:
    from collections.abc import Iterator

SELECTED = versions.selected()
KUBERNETES, ETCD, KWOK, HELM = SELECTED.tag, "v3.7.0", "v0.8.0", "v4.3.1"
_STAMP = "-X k8s.io/component-base/version."
_RELEASE = f"-s -w {_STAMP}gitVersion={KUBERNETES} {_STAMP}gitMajor=1 {_STAMP}gitMinor={SELECTED.minor}"


class UnavailableError(Exception):
    """A program can be neither found nor built."""

    def __init__(self, name: str, cause: Exception) -> None:
        """Say how a reader gets it, and what went wrong last."""
        super().__init__(
            f"the test bed has no {name}. Set KUBEBUILDER_ASSETS to a folder that holds it, or let it be built "
            f"(a Go toolchain >= 1.26 or pip for one, and a Go module proxy), or leave these tests out with "
            f"-m 'not bed'. The build said: {cause}"
        )


@dataclass(frozen=True, kw_only=True)
class Program:
    """One Go program: where its source is and how long a first build takes.

    `minutes` were measured on 2 cores with an empty Go cache, in this order: the first carries what
    the others share.
    """

    name: str
    package: str
    module: str
    version: str
    flags: str = "-s -w"
    minutes: str = "1 minute"


def _kubernetes(name: str, minutes: str) -> Program:
    module = "k8s.io/kubernetes"
    return Program(
        name=name,
        package=f"{module}/cmd/{name}",
        module=module,
        version=KUBERNETES,
        flags=_RELEASE,
        minutes=minutes,
    )


CONTROL_PLANE = (
    _kubernetes("kube-apiserver", "8 minutes"),
    _kubernetes("kube-scheduler", "1 minute"),
    _kubernetes("kube-controller-manager", "2 minutes"),
    _kubernetes("kubectl", "1 minute"),
    Program(name="etcd", package="go.etcd.io/etcd/server/v3", module="go.etcd.io/etcd/server/v3", version=ETCD),
    Program(name="kwok", package="sigs.k8s.io/kwok/cmd/kwok", module="sigs.k8s.io/kwok", version=KWOK),
)
CHART_TOOLS = (Program(name="helm", package="helm.sh/helm/v4/cmd/helm", module="helm.sh/helm/v4", version=HELM),)


def _tool(name: str, module: str, version: str, folder: str = "") -> Program:
    return Program(name=name, package=f"{module}{folder}", module=module, version=version)


# Programs of the linters and the release, each at the version that CI runs.
RELEASE_TOOLS = (
    _tool("actionlint", "github.com/rhysd/actionlint", "v1.7.12", "/cmd/actionlint"),
    _tool("kind", "sigs.k8s.io/kind", "v0.33.0"),
    _tool("registry", "github.com/google/go-containerregistry", "v0.22.1", "/cmd/registry"),
    _tool("syft", "github.com/anchore/syft", "v1.57.1", "/cmd/syft"),
)


def locate(programs: tuple[Program, ...] = CONTROL_PLANE) -> dict[str, Path]:
    """The path of each program by name; what is missing is built, with progress on the terminal."""
    missing = [each for each in programs if not _present(each)]
    for number, program in enumerate(missing, start=1):
        _say(f"building {program.name} ({number} of {len(missing)}), first time only, about {program.minutes}")
        try:
            _build(program)
        except (toolchain.GoError, OSError) as cause:
            raise UnavailableError(program.name, cause) from cause
    return {each.name: _present(each) or _cached(each) for each in programs}


def cache() -> Path:
    """The folder that is kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "dask-colocate" / "bed"


def _present(program: Program) -> Path | None:
    # The folder holds one Kubernetes version, which may not be the selected one.
    assets = None if os.environ.get(versions.VARIABLE) else os.environ.get("KUBEBUILDER_ASSETS")
    places = [Path(assets) / program.name] if assets else []
    return next((each for each in (*places, _cached(program)) if os.access(each, os.X_OK)), None)


def _cached(program: Program) -> Path:
    machine = f"{platform.system()}-{platform.machine()}".lower()
    return cache() / program.version / machine / program.name


def _build(program: Program) -> None:
    """Compile into a temporary name and rename: a run beside this one sees all of the file or none."""
    target = _cached(program)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target.with_suffix(".lock")), tempfile.TemporaryDirectory(dir=target.parent) as folder:
        if target.exists():  # built by another run while this one waited for the lock
            return
        with _lock(cache() / "toolchain.lock"):
            go = toolchain.go(cache())
        work = Path(folder)
        _write_module(program, go, work)
        argv = [go, "build", "-mod=mod", "-trimpath", "-ldflags", program.flags, "-o", "program", program.package]
        toolchain.run(argv, work, {**os.environ, "CGO_ENABLED": "0"})
        (work / "program").rename(target)


def _write_module(program: Program, go: str, folder: Path) -> None:
    """A go.mod of our own that lists the program as a tool.

    `k8s.io/kubernetes` asks for its sister modules at v0.0.0, which exist nowhere: each is required
    beside it at the version of the same release, and version selection takes the higher.
    """
    environment = dict(os.environ)
    (folder / "go.mod").write_text("module bed\n\ngo 1.26.0\n")
    if program.module == "k8s.io/kubernetes":
        at = f"{program.module}@{program.version}"
        told = json.loads(toolchain.run([go, "mod", "download", "-json", at], folder, environment))
        sisters = [f"-require={each}@{SELECTED.staging}" for each in _sisters(Path(told["GoMod"]).read_text())]
        toolchain.run([go, "mod", "edit", *sisters], folder, environment)
    toolchain.run([go, "get", "-tool", f"{program.package}@{program.version}"], folder, environment)


def _sisters(gomod: str) -> list[str]:
    words = (line.split() for line in gomod.splitlines())
    return sorted({each[0] for each in words if each[1:2] == ["v0.0.0"] and each[0].startswith("k8s.io/")})


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock file, so that one run at a time builds a program; other programs' builds do not wait."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    """Past pytest's capture: a first build is silent for minutes otherwise."""
    stream = sys.__stderr__ or sys.stderr
    stream.write(f"[bed] {text}\n")
    stream.flush()


if __name__ == "__main__":
    every = CONTROL_PLANE + CHART_TOOLS + RELEASE_TOOLS
    wanted = tuple(each for each in every if each.name in sys.argv[1:]) or CONTROL_PLANE
    for path in locate(wanted).values():
        sys.stdout.write(f"{path}\n")
