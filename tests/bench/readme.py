"""Figures in the documents from the last records. `python -m tests.bench.readme` writes all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import placement_text
from tests.bench.costs import CASES
from tests.bench.load import bodies
from tests.bench.load.contenders import GO, OURS
from tests.bench.load.installed import NOTHING, POLICY
from webhook.review import recommendations
from webhook.workloads.unstructured import Unstructured

ROOT = Path(__file__).parents[2]
README, PLACEMENT, GUIDE = ROOT / "README.md", ROOT / "deploy" / "placement.md", ROOT / "deploy" / "guide.md"
RECOMMENDATIONS = Path(recommendations.__file__)
RECORDS = Path(__file__).with_name("results")
CALLERS = {NOTHING: "no webhook", POLICY: "the same as a policy in the API server", GO: "the same in Go", OURS: OURS}


def admission(record: Mapping[str, Unstructured]) -> str:
    """Return a row for each way to mutate: medians of rounds of calls through the API server (least-most)."""
    results = {(row["name"], row["clients"]): row for row in record["c"]}
    rows = [_calls(title, results[name, 1], results[name, 16]) for name, title in CALLERS.items()]
    head = "| | one client: p50 ms | p99 ms | 16 clients: calls/s | over the policy's | webhook's CPU ms each | MiB |\n"
    return f"{head}|---|{'---:|' * 6}\n{''.join(rows)}\n{_core(record['a'])}\n{_large_cluster(record['e'])}"


def _core(rows: Sequence[Mapping[str, Unstructured]]) -> str:
    """Return the sentence about cached decisions, and about the first worker of a cluster."""
    core = {row["kind"]: row["core"]["median"] for row in rows}
    return (
        "The workers here are alike, as those of one cluster are, and are decided on once: the core then takes\n"
        f"{core[bodies.WORKER]:.0f} us for each, and {core[bodies.FIRST]:.0f} us for the first of a cluster.\n"
    )


def _large_cluster(result: Mapping[str, Unstructured]) -> str:
    """Return the sentence about a replica in a large cluster."""
    resident = [result["at_rest"], *(quarter["resident"] for quarter in result["quarters"])]
    return (
        f"Among {result['namespaces']:,} namespaces a replica is ready after {result['ready']['median']:.1f} s, holds "
        f"{max(resident):.0f} MiB at most through an\n"
        f"hour of reviews and of namespaces made and deleted, and follows an annotation within "
        f"{result['effect']['most']:.0f} ms.\n"
    )


def _calls(title: str, one: Mapping[str, Unstructured], many: Mapping[str, Unstructured]) -> str:
    cpu, resident = (f"{many['cpu']['median']:.2f}", f"{many['resident']:.0f}") if many["resident"] else ("", "")
    times = f"{_spread(one['p50'], 1)} | {_spread(one['p99'], 1)} | {_spread(many['rate'], 0)}"
    over = _spread(many["over"][POLICY], 2) if POLICY in many["over"] else ""
    return f"| {title} | {times} | {over} | {cpu} | {resident} |\n"


def _spread(spread: Mapping[str, Unstructured], digits: int) -> str:
    return f"{spread['median']:.{digits}f} ({spread['least']:.{digits}f}-{spread['most']:.{digits}f})"


def capacity(record: Mapping[str, Unstructured]) -> str:
    """Return the sentence about a replica that caches the nodes and pods of a large cluster."""
    figures = record["figures"]
    return (
        f"At {record['nodes']:,} nodes and {record['pods']:,} GPU pods a replica knows them "
        f"{figures['first_hint_seconds']:.1f} s after its start,\n"
        f"holds {figures['resident_mib']} MiB at most, and plans in "
        f"{figures['plan_cpu_p99_ms']:.2f} ms (p99) while "
        f"{figures['events_per_second']:.0f} pod events a second come in\n"
        "(`python -m tests.bench.capacity`).\n"
    )


def scheduler_cost(record: Mapping[str, Unstructured]) -> str:
    """Return a row for each strategy, the cost of a worker to kube-scheduler, then how the default's cost grows."""
    head = "| workers get | pods/s | ms of processor time each | more than nothing | of the guide's |\n"
    rows = "".join(map(_cost, record["costs"]))
    return f"{head}|---|{'---:|' * 4}\n{rows}\n{_growing(record['samples'])}"


def _growing(samples: Sequence[Mapping[str, Unstructured]]) -> str:
    """Return the sentence about the first and the last batch, each in its fastest round."""
    batches: dict[int, list[Mapping[str, Unstructured]]] = {}
    for sample in samples:
        if sample["strategy"] == "default":
            batches.setdefault(sample["batch"], []).append(sample)
    first, last = (_least(batches[number]) for number in (min(batches), max(batches)))
    return f"It grows with the worker pods that there are: the default takes {first} of these,\nand {last}.\n"


def _least(batch: Sequence[Mapping[str, Unstructured]]) -> str:
    milliseconds = 1000 * min(sample["scheduler_seconds"] / sample["pods"] for sample in batch)
    position = "first" if batch[0]["batch"] == 0 else "last"
    return f"{milliseconds:.0f} ms among the {position} {batch[0]['pods']}"


def _cost(cost: Mapping[str, Unstructured]) -> str:
    title = next(case.title for case in CASES if case.name == cost["strategy"])
    slowdown, of_the_guide = f"{cost['scheduler_slowdown']:.0%}", f"{cost['scheduler_of_the_guide']:.0%}"
    ratios = f"{slowdown} | {of_the_guide}" if cost["scheduler_slowdown"] else " | "
    return f"| {title} | {cost['pods_per_second']:.0f} | {cost['scheduler_ms']:.1f} | {ratios} |\n"


@dataclass(frozen=True, kw_only=True)
class Block:
    """Part of a document that is rendered from a record, between comments with its name.

    Attributes:
        document: The file.
        record: Name of the record.
        text: Renders the record.
    """

    document: Path
    record: str
    text: Callable[[Mapping[str, Unstructured]], str]


BLOCKS: Mapping[str, Block] = {
    "placement-summary": Block(document=README, record="placement", text=placement_text.summary),
    "placement": Block(document=README, record="placement", text=placement_text.table),
    "placement-guide": Block(document=GUIDE, record="placement", text=placement_text.guide_scenario),
    "admission": Block(document=README, record="admission", text=admission),
    "capacity": Block(document=README, record="capacity", text=capacity),
    "scheduler-cost": Block(document=PLACEMENT, record="scheduler-cost", text=scheduler_cost),
}
"""All blocks by name."""


def with_block(text: str, name: str, record: Mapping[str, Unstructured]) -> str:
    """Return the text of a document with one block rendered again."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{BLOCKS[name].text(record)}\n{end}{rest.partition(end)[2]}"


def with_constants(source: str, record: Mapping[str, Unstructured]) -> str:
    """Return the source of the recommendations with new figures for `review --explain`."""
    for name, value in placement_text.constants(record):
        source = re.sub(rf'^{name} = ".*"$', f'{name} = "{value}"', source, flags=re.MULTILINE)
    return source


def recorded(name: str) -> Mapping[str, Unstructured]:
    """Return the last record of a benchmark."""
    record: Mapping[str, Unstructured] = json.loads((RECORDS / f"{name}.json").read_text())
    return record


def main() -> None:
    """Write all figures to the documents."""
    for name, block in BLOCKS.items():
        block.document.write_text(with_block(block.document.read_text(), name, recorded(block.record)))
    RECOMMENDATIONS.write_text(with_constants(RECOMMENDATIONS.read_text(), recorded("placement")))


if __name__ == "__main__":
    main()
