"""Placement benchmark: loads of Dask clusters on a real kube-scheduler, with the real webhook in the path.

`python -m tests.bench.placement` replays every load under every strategy with three seeds, each seed twice, prints the
table, and writes `placement.json`, `placement.svg` and `placement-map.svg`. `--record NAME` makes one of the other
records: see `plans.py`. `python -m tests.bench.readme` then writes the figures into the documents.

DaskClusters are created through the API server, so the webhook mutates them; their pods are copied from the stored
objects by the functions of the Dask operator (`manifests.py`). `tests/e2e/test_main_job.py` and `test_operator.py` show
clusters that the operator itself created.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from tests.bench.figures import Run, figures
from tests.bench.machine import machine, versions
from tests.bench.node_pools import NodePools
from tests.bench.placements import Placements
from tests.bench.plane import control_plane
from tests.bench.plans import RECORDS, Plan, parsed, planned
from tests.bench.replay import replay
from tests.bench.replicas import replicas
from tests.bench.table import table

# Replays that run at the same time, each on nodes of its own: while one waits for a binding, another creates pods.
# 4 pools of 32 nodes are above the 100 nodes up to which kube-scheduler scores all nodes, but each pod fits at most 32
# of them, and kube-scheduler searches until it has found 100 that fit.
AT_ONCE = 4
PICTURED = ("none", "guide", "default", "hints")
RESULTS = Path(__file__).with_name("results")


def run(plan: Plan) -> tuple[list[Run], dict[str, str]]:
    """Replay the plan on a new control plane; return the runs and the versions of all programs."""
    flags = ("--capacity-hints",) if any(strategy.hinted for strategy in plan.strategies) else ()
    with control_plane() as bed, replicas(bed, plan.replicas, *flags), ThreadPoolExecutor(AT_ONCE) as executor:
        placements = Placements(bed.plane)
        placements.start()
        pools = NodePools(bed, [load.pool for load in plan.loads], AT_ONCE)
        runs = []
        for done in executor.map(lambda job: replay(bed, pools, placements, job), plan.jobs):
            runs.append(done)
            (figure,) = figures([done])
            ratios = f"nodes {figure.nodes_over_minimum:.2f}, racks {figure.racks_over_minimum:.2f}"
            print(f"{done.load} {done.strategy} seed {done.seed}.{done.repeat}: {ratios}", flush=True)
        placements.stop()
        return runs, versions(bed)


def record(runs: Sequence[Run], plan: Plan) -> dict[str, object]:
    """Return the figures and the placements from which they were computed."""
    return {
        "seeds": list(plan.seeds),
        "judged_per_replay": plan.judged,
        "replicas": plan.replicas,
        "strategies": {
            strategy.name: {"title": strategy.title, "annotations": dict(strategy.annotations)}
            for strategy in plan.strategies
        },
        "figures": [asdict(figure) for figure in figures(runs)],
        "runs": [_short(run) for run in runs],
    }


def _short(run: Run) -> dict[str, object]:
    """Return a run with its placements as rows of the values of `Judged`; for the first seed also the nodes."""
    rows = [list(asdict(judged).values()) for judged in run.judged]
    end = {"nodes": run.nodes} if (run.seed, run.repeat) == (1, 0) else {}
    key = {"load": run.load, "strategy": run.strategy, "seed": run.seed, "repeat": run.repeat}
    return {**key, "judged": rows, **end}


def main(arguments: Sequence[str] | None = None) -> None:
    """Replay the loads, print the table, and write the record."""
    options = parsed(arguments, __doc__)
    plan, host, start = planned(options), machine(), time.monotonic()
    runs, programs = run(plan)
    run_data = {"machine": host, "versions": programs, "minutes": round((time.monotonic() - start) / 60, 1)}
    titles = {strategy.name: strategy.title for strategy in plan.strategies}
    Console(width=max(120, 24 * (len(plan.loads) + 1))).print(table(figures(runs), titles))
    out = options.out or (RESULTS if plan == RECORDS[options.record] else None)
    if out:
        write({**run_data, **record(runs, plan)}, out / f"{options.record}.json")
    if out and options.record == "placement":
        draw(runs, titles, out)


def write(content: dict[str, object], file: Path) -> None:
    """Write the record as JSON with one run on each line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, separators=(",", ":")).replace('},{"load"', '},\n{"load"') + "\n")


def draw(runs: Sequence[Run], titles: Mapping[str, str], out: Path) -> None:
    """Draw the pictures, if matplotlib is installed."""
    if find_spec("matplotlib") is None:
        print("no pictures drawn: matplotlib is not installed (dependency group dev)")
        return
    plot = import_module("tests.bench.plot")
    shown = "steady-80" if any(run.load == "steady-80" for run in runs) else runs[0].load
    first = [run for run in runs if (run.load, run.seed, run.repeat) == (shown, 1, 0)]
    plot.bars(figures(runs), titles, out / "placement.svg")
    plot.maps([run for run in first if run.strategy in PICTURED] or first, titles, out / "placement-map.svg")


if __name__ == "__main__":
    main()
