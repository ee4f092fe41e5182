"""Cost of the placement terms to kube-scheduler: pods created and bound in a large cluster, strategy by strategy.

Each Dask cluster has a scheduler with a GPU, whose pod is created before the workers; its cost counts as part of the
workers'. The strategies take turns in each round, and every round begins with another one, so that other load on the
machine affects all of them alike. Pods are created in batches, and of each batch the fastest round counts: other load
only ever adds time. kwok and the controllers are stopped, which leaves the API server, kube-scheduler and the webhook.
Both wall time and kube-scheduler's own processor time are measured.
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

BATCH = 25  # clusters that are timed together: 400 pods, some seconds
RACK_SIZE = 16  # nodes
CREATORS = 8  # threads that create pods: enough that the scheduler is never without work


def measure(cases: Sequence[Case], size: Size) -> tuple[list[Sample], dict[str, str]]:
    """Run all rounds on a new control plane; return the samples and the versions of all programs."""
    with control_plane() as bed, installed(bed), _nodes(bed, size):
        spaces = {each.name: namespace(bed, each.strategy.annotations) for each in cases}
        rest(bed)
        placements = Placements(bed.plane)
        placements.start()
        samples = []
        for number in range(size.rounds):
            shift = number * (len(cases) // 2) % len(cases)
            for each in (*cases[shift:], *cases[:shift]):
                samples += _samples(bed, placements, each, spaces[each.name], (size, number))
                print(f"round {number}: {each.name}", flush=True)
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
    return sum(not each["spec"].get("taints") for each in bed.api.items(NODES))


def _samples(bed: Bed, placements: Placements, case: Case, space: str, when: tuple[Size, int]) -> list[Sample]:
    """Run one round of a strategy, batch by batch, and delete its pods."""
    size, number = when
    samples = []
    for batch, first in enumerate(range(0, len(size.clusters), BATCH)):
        clusters = size.clusters[first : first + BATCH]
        pods = [_pods(bed, case, space, cluster) for cluster in clusters]
        began = (time.monotonic(), _scheduler_seconds(bed))
        over_minimum = _create(bed, placements, space, dict(zip(clusters, pods, strict=True)))
        took = (time.monotonic() - began[0], _scheduler_seconds(bed) - began[1])
        samples.append(
            Sample(
                strategy=case.name,
                round=number,
                batch=batch,
                pods=len(clusters) * WORKERS,
                seconds=round(took[0], 3),
                scheduler_seconds=round(took[1], 2),
                nodes_over_minimum=round(over_minimum, 3),
            )
        )
    _delete(bed, placements, space, size)
    return samples


def _delete(bed: Bed, placements: Placements, space: str, size: Size) -> None:
    """Delete the pods cluster by cluster: thousands at once take the API server longer than a client waits."""
    for cluster in size.clusters:
        only = f"dask.org/cluster-name={cluster}"
        bed.api.delete(f"/api/v1/namespaces/{space}/pods", gracePeriodSeconds="0", labelSelector=only)
        placements.gone((space, cluster))


def _create(bed: Bed, placements: Placements, space: str, clusters: Mapping[str, Sequence[Object]]) -> float:
    """Create the pods of clusters and wait until they are bound; return the mean of the nodes over the minimum."""
    path = f"/api/v1/namespaces/{space}/pods"
    with ThreadPoolExecutor(CREATORS) as creators:
        for role in (slice(1), slice(1, None)):  # the schedulers first
            list(
                creators.map(
                    lambda pod: bed.api.create(path, pod), [pod for pods in clusters.values() for pod in pods[role]]
                )
            )
    bound = [placements.nodes((space, cluster), WORKERS + 1) for cluster in clusters]
    workers = [{node for pod, node in nodes.items() if "-worker-" in pod} for nodes in bound]
    return mean(len(nodes) / (WORKERS / GPUS) for nodes in workers)


def _pods(bed: Bed, case: Case, space: str, name: str) -> list[Object]:
    """Return the scheduler pod and the worker pods of a DaskCluster that the webhook mutated in a dry run."""
    manifest = ClusterManifest(
        name=name, workers=WORKERS, number=0, shape=case.shape, strategy=case.strategy, node_selector={}
    )
    cluster = bed.api.create(f"{DASK}/namespaces/{space}/daskclusters?dryRun=All", manifest.cluster())
    group = default_group(cluster)
    group["metadata"]["namespace"] = space
    return [scheduler_pod(cluster), *(worker_pod(group, number) for number in range(WORKERS))]


def _scheduler_seconds(bed: Bed) -> float:
    return _processor_seconds(next(each for each in bed.plane.processes if each.name == "kube-scheduler"))


def _processor_seconds(process: Process) -> float:
    """Return user and system time of a process; the name before the fields may contain blanks and parentheses."""
    fields = Path(f"/proc/{process.child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, show, and write `scheduler-cost.json`."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scheduler_cost", description=__doc__)
    parser.add_argument("--nodes", type=int, default=WHOLE.nodes)
    parser.add_argument("--pods", type=int, default=WHOLE.pods)
    parser.add_argument("--rounds", type=int, default=WHOLE.rounds)
    parser.add_argument("--also", action="append", default=[], metavar=SPELLING, help="a namespace's annotations")
    parser.add_argument("--out", type=Path, help="a folder; the whole size goes to tests/bench/results, others nowhere")
    options = parser.parse_args(arguments)
    also = [annotated(text) for text in options.also]
    if any(each.hinted for each in also):
        parser.error("capacity hints need stored clusters; here are only pods")
    size = Size(nodes=options.nodes, pods=options.pods, rounds=options.rounds)
    where = machine()
    samples, ran = measure((*CASES, *(Case(strategy=each) for each in also)), size)
    found = costs(samples)
    show(found, size)
    if out := folder(size, options.out):
        record = {"machine": where, "versions": ran, "size": asdict(size), "costs": [*map(asdict, found)]}
        record["samples"] = [asdict(each) for each in samples]
        out.mkdir(parents=True, exist_ok=True)
        (out / "scheduler-cost.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
