"""Command `review`: show what the webhook would change in manifests."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from webhook.cli.options import ReviewOptions
from webhook.cli.progress import console, progress
from webhook.kube.capacity import NOT_WATCHED, Capacity
from webhook.kube.capacity.static import StaticCapacity
from webhook.kube.manifests import Manifest
from webhook.policy.defaults import default_policy, parse_set_options
from webhook.policy.errors import InputError
from webhook.review import Reviewed, any_changed, report, review, sources
from webhook.review.rewrite import as_yaml
from webhook.review.sarif import sarif
from webhook.review.sources import Sources
from webhook.workloads.unstructured import text

WOULD_CHANGE = 1


def run(options: ReviewOptions) -> int:
    """Review manifests, print the result and return the exit status.

    Raises:
        InputError: An option or a file is invalid.
    """
    if not options.files and not options.namespace and sys.stdin.isatty():
        raise InputError("nothing to review: give files or directories, - for standard input, or --namespace NAME")
    with progress("reading") as update:
        found, reviewed = _review(options, update)
    if options.strict:
        _reject(found.skipped, reviewed)
    for line in found.skipped:
        sys.stderr.write(f"dask-colocate: skipped {report.printable(line)}\n")
    if any(sources.TEMPLATE_PROBLEM in line for line in found.skipped):
        sys.stderr.write(
            "dask-colocate: to review templates, render them: helm template CHART | dask-colocate review -\n"
        )
    if not found.objects:
        sys.stderr.write("dask-colocate: nothing to review: the input contains no Kubernetes object\n")
    _print(found.objects, reviewed, options)
    return WOULD_CHANGE if options.check and any_changed(reviewed) else 0


def _reject(skipped: Sequence[str], reviewed: Sequence[Reviewed]) -> None:
    """Reject skipped files and incomplete Dask objects.

    Raises:
        InputError: There are some; the message has one line for each.
    """
    problems = (f"{each.manifest.where}: {line}" for each in reviewed for line in each.problems)
    if lines := (*skipped, *problems):
        raise InputError("\n".join(lines))


def _review(options: ReviewOptions, update: Callable[[str], None]) -> tuple[Sources, tuple[Reviewed, ...]]:
    policy, annotations = default_policy(options.defaults), parse_set_options(options.tried)
    objects, namespaces = _read_cluster(options) if options.namespace else ((), ())
    found = Sources(objects)
    if options.files or not options.namespace:
        found = sources.read(options.files or (sources.STDIN,), sys.stdin, update, options.exclude)
    if options.namespace_file:
        namespaces = _read_kind(options.namespace_file, "Namespace", update)
    capacity: Capacity = NOT_WATCHED
    if options.capacity_file:
        policy = replace(policy, capacity_hint=True)
        capacity = StaticCapacity(each.item for each in _read_kind(options.capacity_file, "Node", update))
    update(f"reviewing {len(found.objects)} objects")
    return found, review(found.objects, namespaces, policy, annotations, capacity)


def _read_kind(file: Path, kind: str, update: Callable[[str], None]) -> tuple[Manifest, ...]:
    """Return the objects of a file.

    Raises:
        InputError: The file is invalid, or has no object of `kind`.
    """
    objects = sources.read((str(file),), sys.stdin, update).objects
    if not any(text(each.item, "kind") == kind for each in objects):
        raise InputError(f"{file}: contains no {kind}")
    return objects


def _read_cluster(options: ReviewOptions) -> tuple[tuple[Manifest, ...], tuple[Manifest, ...]]:
    """Return the Dask objects to review, none if files are given, and the Namespace."""
    from webhook.kube.cluster import ClusterClient, Kubeconfig  # noqa: PLC0415 - the import takes a second

    name = options.namespace or ""
    cluster = ClusterClient(Kubeconfig(path=options.kubeconfig, context=options.context))
    namespace = cluster.namespace(name)
    return () if options.files else cluster.dask_objects(name), (namespace,)


def _print(objects: Sequence[Manifest], reviewed: Sequence[Reviewed], options: ReviewOptions) -> None:
    match options.output:
        case "diff":
            report.print_diffs(console(), reviewed, explain=options.explain, verbose=options.verbose)
            return
        case "sarif":
            output = report.to_json(sarif(reviewed, version("dask-colocate"), include_skipped=options.explain))
        case "json":
            output = report.as_json(reviewed)
        case "yaml":
            output = as_yaml(objects, reviewed).rstrip("\n")
        case "patch":
            output = report.as_patch(reviewed)
    sys.stdout.write(f"{output}\n")
