"""Command `review`: show what the webhook would change in manifests."""

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version

from webhook.cli.options import ReviewOptions
from webhook.cli.progress import console, progress
from webhook.kube.capacity import NOT_WATCHED, Capacity
from webhook.kube.capacity.static import StaticCapacity
from webhook.kube.manifests import Manifest
from webhook.policy.defaults import default_policy, parse_set_options
from webhook.policy.errors import InputError
from webhook.review import Reviewed, any_changed, report, review, sources
from webhook.review.sarif import sarif

WOULD_CHANGE = 1


def run(options: ReviewOptions) -> int:
    """Review manifests, print the result and return the exit status.

    Raises:
        InputError: An option or a file is invalid.
    """
    if not options.files and not options.namespace and sys.stdin.isatty():
        raise InputError("nothing to review: give files or directories, - for standard input, or --namespace NAME")
    with progress("reading") as update:
        manifests, reviewed = _review(options, update)
    if not manifests:
        sys.stderr.write("dask-colocate: nothing to review: the input contains no Kubernetes object\n")
    _print(reviewed, options)
    return WOULD_CHANGE if options.check and any_changed(reviewed) else 0


def _review(options: ReviewOptions, update: Callable[[str], None]) -> tuple[tuple[Manifest, ...], tuple[Reviewed, ...]]:
    policy, annotations = default_policy(options.defaults), parse_set_options(options.tried)
    manifests, namespaces = _read_cluster(options) if options.namespace else ((), ())
    if options.files or not options.namespace:
        manifests = sources.read(options.files or (sources.STDIN,), sys.stdin, update)
    if options.namespace_file:
        namespaces = sources.read((str(options.namespace_file),), sys.stdin, update)
    capacity: Capacity = NOT_WATCHED
    if options.capacity_file:
        policy = replace(policy, capacity_hint=True)
        objects = sources.read((str(options.capacity_file),), sys.stdin, update)
        capacity = StaticCapacity(manifest.item for manifest in objects)
    update(f"reviewing {len(manifests)} objects")
    return manifests, review(manifests, namespaces, policy, annotations, capacity)


def _read_cluster(options: ReviewOptions) -> tuple[tuple[Manifest, ...], tuple[Manifest, ...]]:
    """Return the Dask objects to review, none if files are given, and the Namespace."""
    from webhook.kube.cluster import ClusterClient, Kubeconfig  # noqa: PLC0415 - the import takes a second

    name = options.namespace or ""
    cluster = ClusterClient(Kubeconfig(path=options.kubeconfig, context=options.context))
    namespace = cluster.namespace(name)
    return () if options.files else cluster.dask_objects(name), (namespace,)


def _print(reviewed: tuple[Reviewed, ...], options: ReviewOptions) -> None:
    match options.output:
        case "diff":
            report.print_diffs(console(), reviewed, explain=options.explain)
            return
        case "sarif":
            text = report.to_json(sarif(reviewed, version("dask-colocate"), include_skipped=options.explain))
        case "json":
            text = report.as_json(reviewed)
        case "yaml":
            text = report.as_yaml(reviewed).rstrip("\n")
        case "patch":
            text = report.as_patch(reviewed)
    sys.stdout.write(f"{text}\n")
