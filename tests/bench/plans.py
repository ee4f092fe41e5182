"""Plans of the placement benchmark: the replays of each record, and the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.loads import BY_NAME, LOADS, Load
from tests.bench.strategies import SPELLING, STRATEGIES, Strategy, annotated
from tests.bench.variants import VARIANTS

QUICK = 6  # placements that are judged in a quick replay
SEEDS = (1, 2, 3)
JUDGED = 48  # placements that are judged in any other replay: the spread between replays is then about 0.1
NAMED = {strategy.name: strategy for strategy in (*STRATEGIES, *VARIANTS)}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One replay to run."""

    load: Load
    strategy: Strategy
    seed: int
    repeat: int
    judged: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Replays of one record.

    Attributes:
        loads: The loads.
        strategies: The strategies.
        seeds: Seeds of each load.
        judged: Number of placements that are judged in each replay.
        replicas: Number of webhook processes.
        repeated: Whether each strategy is replayed `repeats` times; else once.
    """

    loads: tuple[Load, ...] = LOADS
    strategies: tuple[Strategy, ...] = STRATEGIES
    seeds: tuple[int, ...] = SEEDS
    judged: int = JUDGED
    replicas: int = 1
    repeated: bool = True

    @property
    def jobs(self) -> list[Job]:
        """Return all replays: load by load, seed by seed, the strategies side by side."""
        return [
            Job(load=load, strategy=strategy, seed=seed, repeat=repeat, judged=self.judged)
            for load in self.loads
            for seed in self.seeds
            for strategy in self.strategies
            for repeat in range(strategy.repeats if self.repeated else 1)
        ]


def named(*names: str) -> tuple[Strategy, ...]:
    """Return strategies and variants by their names."""
    return tuple(NAMED[name] for name in names)


CHOICE_LOADS = ("guide", "steady-80", "small-nodes", "bursts", "steady-95", "bare", "namespaces")
RECORDS = {
    "placement": Plan(),
    "placement-variants": Plan(
        loads=tuple(BY_NAME[name] for name in CHOICE_LOADS),
        strategies=named("host", "keep", "avoid-1", "share", "share-own", "both-10", "both-workers", "default"),
        seeds=SEEDS[:2],
        repeated=False,
    ),
    "placement-replicas": Plan(loads=(BY_NAME["bursts"],), strategies=named("hints"), replicas=2),
}
"""Plan of each record in `results`; the documents show its figures, or a test checks bounds for them."""


def planned(options: argparse.Namespace) -> Plan:
    """Return the plan of the command line."""
    whole = RECORDS[options.record]
    plan = replace(
        whole,
        loads=tuple(BY_NAME[name] for name in options.load) or whole.loads,
        strategies=(*(named(*options.strategy) or whole.strategies), *map(annotated, options.also)),
        seeds=tuple(range(1, options.seeds + 1)) if options.seeds else whole.seeds,
        judged=options.judged or whole.judged,
        replicas=options.replicas or whole.replicas,
        repeated=whole.repeated and not options.once,
    )
    return replace(plan, loads=plan.loads[:2], seeds=(1,), judged=QUICK, repeated=False) if options.quick else plan


def parsed(arguments: Sequence[str] | None, about: str | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.placement", description=about)
    parser.add_argument("--quick", action="store_true", help="about a minute: two loads, one seed, few clusters")
    parser.add_argument("--record", choices=RECORDS, default="placement", help="record to create, or a part of it")
    parser.add_argument("--seeds", type=int, help="number of seeds, from 1 on")
    parser.add_argument("--once", action="store_true", help="replay each seed once")
    parser.add_argument("--judged", type=int, help="placements that are judged in each replay")
    parser.add_argument("--replicas", type=int, help="number of webhook processes, called in turns")
    parser.add_argument("--load", action="append", default=[], choices=sorted(BY_NAME), help="only these loads")
    parser.add_argument("--strategy", action="append", default=[], choices=sorted(NAMED), help="only these strategies")
    parser.add_argument("--also", action="append", default=[], metavar=SPELLING, help="another strategy")
    parser.add_argument("--out", type=Path, help="folder of the record (default for a whole run: tests/bench/results)")
    return parser.parse_args(arguments)
