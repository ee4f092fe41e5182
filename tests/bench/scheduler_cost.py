"""Cost of the placement terms to kube-scheduler: pods created and bound in a large cluster, strategy by strategy.

Each Dask cluster has a scheduler with a GPU, whose pod is created before the workers; its cost counts as part of the
workers'. The strategies take turns in each round, and every round starts with another one, so that other load on the
machine affects all of them alike. Pods are created in batches, and the fastest round of each batch counts, because
other load only adds time. kwok and the controllers are stopped, which leaves the API server, kube-scheduler and the
webhook. Both wall time and kube-scheduler's own processor time are measured.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import mean

from tests.bench.costs import CASES, GPUS, WHOLE, WORKERS, Case, Sample, Size, costs, folder, show
from tests.bench.machine import machine, versions
from tests.bench.manifests import ClusterManifest, default_group, scheduler_pod, worker_pod
from tests.bench.node_pools import RACK, namespace, rest
from tests.bench.placements import Placements
from tests.bench.plane import control_plane
from tests.bench.strategies import SPELLING, annotated
from tests.e2e.bed.api import DASK, Object
from tests.e2e.bed.bed import Bed
from tests.e2e.bed.nodes import NODES
from tests.e2e.bed.process import Process
from tests.e2e.bed.waiting import until
from tests.e2e.webhook_process import installed

BATCH = 25  # clusters that are timed together: 400 pods, a few seconds
RACK_SIZE = 16  # nodes
CREATORS = 8  # threads that create pods: enough to keep kube-scheduler busy


def measure(cases: Sequence[Case], size: Size) -> tuple[list[Sample], dict[str, str]]:
    """Run all rounds on a new control plane; return the samples and the versions of all programs."""
    with control_plane() as bed, installed(bed), _nodes(bed, size):
        namespaces = {case.name: namespace(bed, case.strategy.annotations) for case in cases}
        rest(bed)
        placements = Placements(bed.plane)
        placements.start()
        samples = []
        for number in range(size.rounds):
            shift = number * (len(cases) // 2) % len(cases)
            for case in (*cases[shift:], *cases[:shift]):
                samples += _samples(bed, placements, case, namespaces[case.name], (size, number))
                print(f"round {number}: {case.name}", flush=True)
        placements.stop()
        return samples, versions(bed)


@contextmanager
def _nodes(bed: Bed, size: Size) -> Iterator[None]:
    """Create nodes in racks of `RACK_SIZE` and wait until they are ready."""
    with ExitStack() as stack:
        for first in range(0, size.nodes, RACK_SIZE):
            count, labels = min(RACK_SIZE, size.nodes - first), {RACK: f"rack-{first // RACK_SIZE:02}"}
            stack.enter_context(bed.nodes(count, GPUS, labels))
        until(lambda: _ready(bed) == size.nodes, 300, "the nodes are ready", str)
        yield


def _ready(bed: Bed) -> int:
    return sum(not node["spec"].get("taints") for node in bed.api.items(NODES))


def _samples(bed: Bed, placements: Placements, case: Case, namespace: str, when: tuple[Size, int]) -> list[Sample]:
    """Run one round of a strategy, batch by batch, and delete its pods."""
    size, number = when
    samples = []
    for batch, first in enumerate(range(0, len(size.clusters), BATCH)):
        clusters = size.clusters[first : first + BATCH]
        pods = [_pods(bed, case, namespace, cluster) for cluster in clusters]
        start = (time.monotonic(), _scheduler_seconds(bed))
        over_minimum = _create(bed, placements, namespace, dict(zip(clusters, pods, strict=True)))
        wall, cpu = time.monotonic() - start[0], _scheduler_seconds(bed) - start[1]
        samples.append(
            Sample(
                strategy=case.name,
                round=number,
                batch=batch,
                pods=len(clusters) * WORKERS,
                seconds=round(wall, 3),
                scheduler_seconds=round(cpu, 2),
                nodes_over_minimum=round(over_minimum, 3),
            )
        )
    _delete(bed, placements, namespace, size)
    return samples


def _delete(bed: Bed, placements: Placements, namespace: str, size: Size) -> None:
    """Delete the pods cluster by cluster: a request for thousands exceeds the client's timeout."""
    for cluster in size.clusters:
        selector = f"dask.org/cluster-name={cluster}"
        bed.api.delete(f"/api/v1/namespaces/{namespace}/pods", gracePeriodSeconds="0", labelSelector=selector)
        placements.gone((namespace, cluster))


def _create(bed: Bed, placements: Placements, namespace: str, clusters: Mapping[str, Sequence[Object]]) -> float:
    """Create the pods of clusters and wait until they are bound; return the mean of the nodes over the minimum."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    with ThreadPoolExecutor(CREATORS) as creators:
        for role in (slice(1), slice(1, None)):  # the schedulers first
            list(
                creators.map(
                    lambda pod: bed.api.create(path, pod), [pod for pods in clusters.values() for pod in pods[role]]
                )
            )
    bound = [placements.nodes((namespace, cluster), WORKERS + 1) for cluster in clusters]
    workers = [{node for pod, node in nodes.items() if "-worker-" in pod} for nodes in bound]
    return mean(len(nodes) / (WORKERS / GPUS) for nodes in workers)


def _pods(bed: Bed, case: Case, namespace: str, name: str) -> list[Object]:
    """Return the scheduler pod and the worker pods of a DaskCluster that the webhook mutated in a dry run."""
    manifest = ClusterManifest(
        name=name, workers=WORKERS, number=0, shape=case.shape, strategy=case.strategy, node_selector={}
    )
    cluster = bed.api.create(f"{DASK}/namespaces/{namespace}/daskclusters?dryRun=All", manifest.cluster())
    group = default_group(cluster)
    group["metadata"]["namespace"] = namespace
    return [scheduler_pod(cluster), *(worker_pod(group, number) for number in range(WORKERS))]


def _scheduler_seconds(bed: Bed) -> float:
    return _processor_seconds(next(process for process in bed.plane.processes if process.name == "kube-scheduler"))


def _processor_seconds(process: Process) -> float:
    """Return user and system time of a process; the name before the fields may contain blanks and parentheses."""
    fields = Path(f"/proc/{process.child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, and write `scheduler-cost.json`."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scheduler_cost", description=__doc__)
    parser.add_argument("--nodes", type=int, default=WHOLE.nodes)
    parser.add_argument("--pods", type=int, default=WHOLE.pods)
    parser.add_argument("--rounds", type=int, default=WHOLE.rounds)
    parser.add_argument("--also", action="append", default=[], metavar=SPELLING, help="another strategy")
    parser.add_argument(
        "--out", type=Path, help="folder of the record (default for the whole size: tests/bench/results)"
    )
    options = parser.parse_args(arguments)
    also = [annotated(text) for text in options.also]
    if any(strategy.hinted for strategy in also):
        parser.error("capacity hints need stored clusters; this benchmark creates pods only")
    size = Size(nodes=options.nodes, pods=options.pods, rounds=options.rounds)
    host = machine()
    samples, programs = measure((*CASES, *(Case(strategy=strategy) for strategy in also)), size)
    rows = costs(samples)
    show(rows, size)
    if out := folder(size, options.out):
        record = {"machine": host, "versions": programs, "size": asdict(size), "costs": [*map(asdict, rows)]}
        record["samples"] = [asdict(sample) for sample in samples]
        out.mkdir(parents=True, exist_ok=True)
        (out / "scheduler-cost.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
