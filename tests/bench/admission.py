"""What an admission costs: the core alone, over HTTPS, through a real API server, in bursts and among many namespaces.

`python -m tests.bench.admission` prints ratios, tables and what must hold, and writes `results/admission.json`; a run
of some parts, or a quick one, writes only where `--out` says. The status is 1 where something that must hold does not.
`--only a,b` takes some of the parts; `--quick` makes rounds few and short, and alone takes (a) and (b) in half a
minute. All servers are processes of their own on this machine's loopback, and all take turns.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from platform import python_version
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.load import burst, churn, core, direct, growth, hour, musts, programs, tables, through
from tests.bench.machine import machine
from tests.bench.must import Must
from tests.bench.plane import control_plane
from tests.e2e.bed import bed, binaries

RESULTS = Path(__file__).with_name("results")
WIDTH = 200
_PACKAGES = ("dask-colocate", "uvicorn", "fastapi", "uvloop", "httptools", "orjson", "kubernetes")


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one part found.

    Attributes:
        figures: For the file.
        tables: For the terminal.
        musts: What must hold of it.
    """

    figures: Any
    tables: Sequence[Table]
    musts: Sequence[Must] = field(default=())


def alone(*, quick: bool) -> Part:
    """(a)."""
    found = core.measured(3 if quick else core.ROUNDS)
    return Part(figures=found, tables=[tables.alone("(a) the core alone", found)], musts=musts.alone(found))


def straight(*, quick: bool) -> Part:
    """(b). A quick one asks for 4 loads x 3 servers x 2 rounds x 1 s."""
    found = direct.measured(direct.QUICK, 2, direct.LEAST) if quick else direct.measured(direct.LOADS, 5, 2.0)
    return Part(figures=found, tables=[tables.straight(found)], musts=musts.straight(found))


def through_api_server(*, quick: bool) -> Part:
    """(c). 2 numbers of clients x 4 contenders x 7 rounds x 2 s."""
    with control_plane() as plane:
        found = through.measured(plane, 2, direct.LEAST) if quick else through.measured(plane, 7, 2.0)
    return Part(figures=found, tables=[tables.through_api_server(found)], musts=through.musts(found))


def bursts(*, quick: bool) -> Part:
    """(d). The operator is given 4 minutes for its thousand workers."""
    count, seconds = (100, 60.0) if quick else (1000, 240.0)
    with control_plane() as plane:
        found = {"pods": burst.pods(plane, count)}
    with with_operator() as plane:
        found["cluster"] = burst.cluster(plane, count, seconds)
    return Part(figures=found, tables=[tables.bursts(found.values())], musts=burst.musts(found))


def namespaces(*, quick: bool) -> Part:
    """(e). Two and a half minutes, 96 s of which are the hour; a quick one has fewer namespaces and a shorter hour."""
    with control_plane() as plane:
        found = churn.measured(plane, 1_000, hour.QUICK) if quick else churn.measured(plane)
    return Part(figures=found, tables=[tables.churned(found)], musts=() if quick else churn.musts(found))


def others(*, quick: bool) -> Part:
    """(f)."""
    with control_plane() as plane:
        found = burst.others(plane, 100 if quick else 1000)
    must = Must(what="reviews of what does not concern us", found=found.calls, relation="<=", bound=0)
    return Part(figures=found, tables=[tables.quiet(found)], musts=[must])


def grown(*, quick: bool) -> Part:
    """(g)."""
    found = growth.measured(3 if quick else core.ROUNDS)
    return Part(figures=found, tables=[tables.alone("(g) what grows", found)])


@contextmanager
def with_operator() -> Iterator[bed.Bed]:
    """The bed with the Dask operator."""
    kept = tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
    with kept as state, bed.running(Path(state), binaries.locate()) as plane:
        yield plane


PARTS: Mapping[str, Callable[..., Part]] = {
    "a": alone,
    "b": straight,
    "c": through_api_server,
    "d": bursts,
    "e": namespaces,
    "f": others,
    "g": grown,
}
QUICK = "a,b"


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.admission", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"few short rounds; of the parts {QUICK} unless --only")
    parser.add_argument("--only", metavar="PARTS", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--out", type=Path, help=f"folder of admission.json; {RESULTS.name} for a whole run")
    given = parser.parse_args(arguments)
    given.parts = (given.only or (QUICK if given.quick else ",".join(PARTS))).split(",")
    if not given.quick and set(given.parts) == set(PARTS):
        given.out = given.out or RESULTS
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"--only: no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return given


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, show and write."""
    given, console, began = parsed(arguments), Console(width=WIDTH), time.monotonic()
    about: dict[str, object] = {"machine": machine(), "versions": versions()}
    held: list[Must] = []
    about["quick"] = given.quick
    for name in given.parts:  # each is written at once: the parts after it may take ten minutes
        part = PARTS[name](quick=given.quick)
        console.print(*part.tables, sep="\n")
        held += part.musts
        must = [{**asdict(each), "met": each.met} for each in held]
        about |= {name: plain(part.figures), "must": plain(must)}
        about["minutes"] = round((time.monotonic() - began) / 60, 1)
        if given.out:
            write(about, given.out)
    console.print(*map(str, held), sep="\n", highlight=False)
    if missed := [each for each in held if not each.met]:
        sys.exit(f"{len(missed)} of {len(held)} that must hold do not")


def write(about: Mapping[str, object], folder: Path) -> None:
    """As JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "admission.json").write_text(json.dumps(about, indent=1) + "\n")


def versions() -> dict[str, str]:
    """What is compared."""
    go = {"controller-runtime": programs.controller_runtime(), "bombardier": programs.BOMBARDIER.version}
    go["vegeta"] = programs.VEGETA.version
    bed_ = {"kubernetes": binaries.KUBERNETES, "etcd": binaries.ETCD, "kwok": binaries.KWOK}
    return {"python": python_version(), **{name: version(name) for name in _PACKAGES}, **go, **bed_}


def plain(found: object) -> object:
    """As JSON has it."""
    if is_dataclass(found) and not isinstance(found, type):
        return {key: plain(value) for key, value in vars(found).items()}
    if isinstance(found, Mapping):
        return {str(key): plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [plain(each) for each in found]
    return str(found) if isinstance(found, float) and not isfinite(found) else found


if __name__ == "__main__":
    main()
