"""Where Dask workers end up: seeded traces on a real kube-scheduler, with the real webhook in the path.

`python -m tests.bench.placement` replays every load under every strategy with three seeds, prints the table, and
writes `placement.json`, `placement.svg` and `placement-map.svg`; `python -m tests.bench.readme` then takes the
table into the README. Worker pods are created as pods, with the
labels and in the order that the operator's Deployments would create them; `tests/e2e/test_main_job.py` and
`test_operator.py` show clusters that the operator itself made.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tests.bench.figures import figures
from tests.bench.machine import machine, versions
from tests.bench.placements import Placements
from tests.bench.plane import control_plane
from tests.bench.replay import Job, Run, replay
from tests.bench.replicas import replicas
from tests.bench.room import Floors
from tests.bench.strategies import SPELLING, STRATEGIES, Strategy, written
from tests.bench.table import table
from tests.bench.traces import BY_NAME, TRACES, Trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Rooms that are replayed side by side, each on nodes of its own: while one waits for a binding another creates.
# 4 rooms of 32 nodes stay above the 100 nodes below which the scheduler looks at all of them anyway, but each
# pod fits at most 32, and the scheduler looks until it has found 100 that fit.
AT_ONCE = 4
QUICK = 6  # clusters that count in a quick replay
SEEDS = 3
JUDGED = 48  # in any other: the spread between seeds is then about 0.02, half of what the figures are to show
PICTURED = ("none", "guide", "default")
RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is replayed.

    Attributes:
        traces: The loads.
        strategies: What workers get.
        seeds: Each trace is drawn once for each.
        judged: Clusters that count in each replay.
        replicas: Processes of the webhook.
    """

    traces: Sequence[Trace]
    strategies: Sequence[Strategy]
    seeds: Sequence[int]
    judged: int
    replicas: int = 1

    @property
    def jobs(self) -> list[Job]:
        """Load by load, seed by seed, the strategies side by side."""
        return [
            Job(trace=trace, strategy=strategy, seed=seed, judged=self.judged)
            for trace in self.traces
            for seed in self.seeds
            for strategy in self.strategies
        ]


def run(plan: Plan) -> tuple[list[Run], dict[str, str]]:
    """Replay it all on a fresh control plane; also the versions of what ran."""
    flags = ("--capacity-hints",) if any(each.hinted for each in plan.strategies) else ()
    with control_plane() as bed, replicas(bed, plan.replicas, *flags), ThreadPoolExecutor(AT_ONCE) as rooms:
        placements = Placements(bed.plane)
        placements.start()
        floors = Floors(bed, [each.room for each in plan.traces], AT_ONCE)
        runs = []
        for done in rooms.map(lambda job: replay(floors, placements, job), plan.jobs):
            runs.append(done)
            (figure,) = figures([done])
            ratios = f"nodes {figure.nodes_over_fewest:.2f}, racks {figure.racks_over_fewest:.2f}"
            print(f"{done.trace} {done.strategy} seed {done.seed}: {ratios}", flush=True)
        placements.stop()
        return runs, versions(bed)


def record(runs: Sequence[Run], plan: Plan) -> dict[str, object]:
    """What is worth keeping: the figures and all they were made from."""
    return {
        "seeds": list(plan.seeds),
        "judged_per_seed": plan.judged,
        "replicas": plan.replicas,
        "strategies": {
            each.name: {"title": each.title, "annotations": dict(each.annotations)} for each in plan.strategies
        },
        "figures": [asdict(each) for each in figures(runs)],
        "runs": [_short(each) for each in runs],
    }


def _short(run: Run) -> dict[str, object]:
    """Judged clusters as rows `workers, nodes, fewest nodes, racks, fewest racks`; of the first seed also the end."""
    rows = [[each.workers, each.nodes, each.fewest_nodes, each.racks, each.fewest_racks] for each in run.judged]
    end = {"nodes": run.nodes} if run.seed == 1 else {}
    return {"trace": run.trace, "strategy": run.strategy, "seed": run.seed, "judged": rows, **end}


def planned(given: argparse.Namespace) -> Plan:
    """The command line as a plan."""
    names = given.trace or [each.name for each in (TRACES[:1] if given.quick else TRACES)]
    strategies = [each for each in STRATEGIES if not given.strategy or each.name in given.strategy]
    return Plan(
        traces=[BY_NAME[name] for name in names],
        strategies=(*strategies, *map(written, given.also)),
        seeds=range(1, 2 if given.quick else given.seeds + 1),
        judged=QUICK if given.quick else given.judged,
        replicas=given.replicas,
    )


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.placement", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute: one load, one seed, few clusters")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many, from 1 on")
    parser.add_argument("--judged", type=int, default=JUDGED, help="clusters that count in each replay")
    parser.add_argument("--replicas", type=int, default=1, help="processes of the webhook, asked in turns")
    parser.add_argument("--trace", action="append", choices=sorted(BY_NAME), help="only these loads")
    parser.add_argument("--strategy", action="append", choices=[each.name for each in STRATEGIES], help="only these")
    parser.add_argument("--also", action="append", default=[], metavar=SPELLING, help="a namespace's annotations")
    parser.add_argument("--out", type=Path, help="a folder; a whole run goes to tests/bench/results, others nowhere")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Replay, show and write."""
    given = parsed(arguments)
    plan, where, began = planned(given), machine(), time.monotonic()
    runs, ran = run(plan)
    about = {"machine": where, "versions": ran, "minutes": round((time.monotonic() - began) / 60, 1)}
    titles = {each.name: each.title for each in plan.strategies}
    Console(width=max(120, 24 * (len(plan.traces) + 1))).print(table(figures(runs), titles))
    out = given.out or (RESULTS if is_whole(plan) else None)
    if out:
        write({**about, **record(runs, plan)}, out / "placement.json")
        draw(runs, titles, out)


def is_whole(plan: Plan) -> bool:
    """Whether it is what the README shows: every load and strategy, three seeds or more, one webhook."""
    everything = (*plan.traces,) == TRACES and (*plan.strategies,) == STRATEGIES
    return everything and len(plan.seeds) >= SEEDS and plan.judged == JUDGED and plan.replicas == 1


def write(about: dict[str, object], file: Path) -> None:
    """As JSON, a run on a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(about, separators=(",", ":")).replace('},{"trace"', '},\n{"trace"') + "\n")


def draw(runs: Sequence[Run], titles: Mapping[str, str], out: Path) -> None:
    """The pictures, where matplotlib is installed."""
    if find_spec("matplotlib") is None:
        print("no pictures: matplotlib is not installed (dependency group dev)")
        return
    plot = import_module("tests.bench.plot")
    first = [each for each in runs if (each.trace, each.seed) == (runs[0].trace, runs[0].seed)]
    plot.bars(figures(runs), titles, out / "placement.svg")
    plot.maps([each for each in first if each.strategy in PICTURED] or first, titles, out / "placement-map.svg")


if __name__ == "__main__":
    main()
