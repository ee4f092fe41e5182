"""The tables of figures in what users read, from the benchmarks' last records: `python -m tests.bench.readme`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.figures import Figure
from tests.bench.load import bodies
from tests.bench.load.contenders import GO, OURS
from tests.bench.load.installed import NOTHING, POLICY
from tests.bench.strategies import STRATEGIES
from tests.bench.traces import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from webhook.workloads.unstructured import Unstructured

ROOT = Path(__file__).parents[2]
README, PLACEMENT = ROOT / "README.md", ROOT / "deploy" / "placement.md"
RECORDS = Path(__file__).with_name("results")
CALLERS = {NOTHING: "no webhook", POLICY: "the same as a policy in the API server", GO: "the same in Go", OURS: OURS}


def placement(record: Mapping[str, Unstructured]) -> str:
    """A row for each load, a column for each strategy: nodes over fewest, and racks over fewest behind it."""
    found = [Figure(**each) for each in record["figures"]]
    strategies = list(dict.fromkeys(each.strategy for each in found))
    titles = [record["strategies"][name]["title"] for name in strategies]
    head = f"| load | {' | '.join(titles)} |\n|---|{'---|' * len(strategies)}\n"
    return head + "".join(_row(load, strategies, found) for load in dict.fromkeys(each.trace for each in found))


def _row(load: str, strategies: Sequence[str], found: Sequence[Figure]) -> str:
    cells = {each.strategy: _cell(each) for each in found if each.trace == load}
    return f"| {BY_NAME[load].title} | {' | '.join(cells[name] for name in strategies)} |\n"


def _cell(figure: Figure) -> str:
    return f"{figure.nodes_over_fewest:.2f} ({figure.least:.2f}-{figure.most:.2f}), {figure.racks_over_fewest:.2f}"


def admission(record: Mapping[str, Unstructured]) -> str:
    """A row for each way to mutate: medians of rounds of calls through the API server, with the least and the most."""
    found = {(each["name"], each["clients"]): each for each in record["c"]}
    rows = [_calls(title, found[name, 1], found[name, 16]) for name, title in CALLERS.items()]
    head = "| | one client: p50 ms | p99 ms | 16 clients: calls/s | over the policy's | webhook's CPU ms each | MiB |\n"
    return f"{head}|---|{'---:|' * 6}\n{''.join(rows)}\n{_alone(record['a'])}\n{_among(record['e'])}"


def _alone(found: Sequence[Mapping[str, Unstructured]]) -> str:
    """What the table's workers are, and what one costs that is not like those before it."""
    core = {each["kind"]: each["core"]["median"] for each in found}
    return (
        "The workers here are alike, as those of one cluster are, and are decided on once: the core then takes\n"
        f"{core[bodies.WORKER]:.0f} us for each, and {core[bodies.FIRST]:.0f} us for the first of a cluster.\n"
    )


def _among(found: Mapping[str, Unstructured]) -> str:
    """What a replica takes in a large cluster."""
    resident = [found["at_rest"], *(each["resident"] for each in found["quarters"])]
    return (
        f"Among {found['namespaces']:,} namespaces a replica is ready after {found['ready']['median']:.1f} s, holds "
        f"{max(resident):.0f} MiB at most through an\n"
        f"hour of reviews and of namespaces made and deleted, and follows an annotation within "
        f"{found['effect']['most']:.0f} ms.\n"
    )


def _calls(title: str, one: Mapping[str, Unstructured], many: Mapping[str, Unstructured]) -> str:
    cpu, resident = (f"{many['cpu']['median']:.2f}", f"{many['resident']:.0f}") if many["resident"] else ("", "")
    times = f"{_spread(one['p50'], 1)} | {_spread(one['p99'], 1)} | {_spread(many['rate'], 0)}"
    over = _spread(many["over"][POLICY], 2) if POLICY in many["over"] else ""
    return f"| {title} | {times} | {over} | {cpu} | {resident} |\n"


def _spread(found: Mapping[str, Unstructured], digits: int) -> str:
    return f"{found['median']:.{digits}f} ({found['least']:.{digits}f}-{found['most']:.{digits}f})"


def capacity(record: Mapping[str, Unstructured]) -> str:
    """One sentence: what a replica that knows a large cluster takes."""
    found = record["figures"]
    return (
        f"At {record['nodes']:,} nodes and {record['pods']:,} GPU pods a replica knows them "
        f"{found['first_hint_seconds']:.1f} s after its start,\n"
        f"holds {found['resident_mib']} MiB at most, and plans in "
        f"{found['plan_cpu_p99_ms']:.2f} ms (p99) while {found['events_per_second']:.0f} pod events a second come in\n"
        "(`python -m tests.bench.capacity`).\n"
    )


def scheduler_cost(record: Mapping[str, Unstructured]) -> str:
    """A row for each strategy: what a worker costs the scheduler; then how the default's cost grows."""
    head = "| workers get | pods/s | ms of processor time each | more than nothing | of the guide's |\n"
    rows = "".join(map(_cost, record["costs"]))
    return f"{head}|---|{'---:|' * 4}\n{rows}\n{_growing(record['samples'])}"


def _growing(samples: Sequence[Mapping[str, Unstructured]]) -> str:
    """The first and the last batch, each in its least disturbed round, as everywhere in that benchmark."""
    batches: dict[int, list[Mapping[str, Unstructured]]] = {}
    for each in samples:
        if each["strategy"] == "default":
            batches.setdefault(each["batch"], []).append(each)
    first, last = (_least(batches[number]) for number in (min(batches), max(batches)))
    return f"It grows with the worker pods that there are: the default takes {first} of these,\nand {last}.\n"


def _least(batch: Sequence[Mapping[str, Unstructured]]) -> str:
    milliseconds = 1000 * min(each["scheduler_seconds"] / each["pods"] for each in batch)
    which = "first" if batch[0]["batch"] == 0 else "last"
    return f"{milliseconds:.0f} ms among the {which} {batch[0]['pods']}"


def _cost(found: Mapping[str, Unstructured]) -> str:
    name, comma, shape = found["strategy"].partition(",")
    title = next(each.title for each in STRATEGIES if each.name == name)
    more, of_the_guide = f"{found['scheduler_slowdown']:.0%}", f"{found['scheduler_of_the_guide']:.0%}"
    over = f"{more} | {of_the_guide}" if found["scheduler_slowdown"] else " | "
    return f"| {title}{comma}{shape} | {found['pods_per_second']:.0f} | {found['scheduler_ms']:.1f} | {over} |\n"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a record's table stands.

    Attributes:
        document: The file.
        table: The record as text for it.
    """

    document: Path
    table: Callable[[Mapping[str, Unstructured]], str]


TABLES: Mapping[str, Place] = {
    "placement": Place(document=README, table=placement),
    "admission": Place(document=README, table=admission),
    "capacity": Place(document=README, table=capacity),
    "scheduler-cost": Place(document=PLACEMENT, table=scheduler_cost),
}
"""By the name of the record, between comments of which the table stands."""


def with_table(text: str, name: str, record: Mapping[str, Unstructured]) -> str:
    """The text of a document with one of its tables made anew."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{TABLES[name].table(record)}\n{end}{rest.partition(end)[2]}"


def recorded(name: str) -> Mapping[str, Unstructured]:
    """The benchmark's last record."""
    found: Mapping[str, Unstructured] = json.loads((RECORDS / f"{name}.json").read_text())
    return found


def main() -> None:
    """Write the tables into their documents."""
    for name, place in TABLES.items():
        place.document.write_text(with_table(place.document.read_text(), name, recorded(name)))


if __name__ == "__main__":
    main()
