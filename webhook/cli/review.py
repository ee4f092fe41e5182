"""The command `review`: from what the user gave to text on stdout and a status."""

import sys
from dataclasses import replace
from importlib.metadata import version

from webhook.cli.options import ReviewOptions
from webhook.cli.progress import console, waiting
from webhook.kube.capacity import NOT_WATCHED, Capacity
from webhook.kube.capacity.static import Static
from webhook.kube.manifests import Manifest
from webhook.policy.defaults import default_policy, parse_set_options
from webhook.policy.errors import InputError
from webhook.review import Reviewed, any_changed, report, review, sources
from webhook.review.sarif import sarif

WOULD_CHANGE = 1


def run(files: tuple[str, ...], options: ReviewOptions) -> int:
    """Review, print, and say with which status to end.

    Raises:
        InputError: Something that was given cannot be used.
    """
    if not files and not options.namespace and sys.stdin.isatty():
        raise InputError("nothing to review: name FILES or directories, - to type it in, or a --namespace of a cluster")
    policy, annotations = default_policy(options.defaults), parse_set_options(options.tried)
    with waiting("reading") as tell:
        given, namespaces = _live(files, options) if options.namespace else ((), ())
        if files or not options.namespace:
            given = sources.read(files or (sources.STDIN,), sys.stdin, tell)
        if options.namespace_file:
            namespaces = sources.read((str(options.namespace_file),), sys.stdin, tell)
        capacity: Capacity = NOT_WATCHED
        if options.capacity_file:
            policy = replace(policy, capacity_hint=True)
            capacity = Static(each.item for each in sources.read((str(options.capacity_file),), sys.stdin, tell))
        tell(f"reviewing {len(given)} objects")
        reviewed = review(given, namespaces, policy, annotations, capacity)
    if not given:
        sys.stderr.write("dask-colocate: nothing to review: no Kubernetes object in what was given\n")
    _show(reviewed, options)
    return WOULD_CHANGE if options.check and any_changed(reviewed) else 0


def _live(files: tuple[str, ...], options: ReviewOptions) -> tuple[tuple[Manifest, ...], tuple[Manifest, ...]]:
    """The objects to review where no files are given, and the Namespace."""
    from webhook.kube.cluster import Cluster, Connection  # noqa: PLC0415 - the Kubernetes client takes a second to load

    name = options.namespace or ""
    cluster = Cluster(Connection(kubeconfig=options.kubeconfig, context=options.context))
    namespace = cluster.namespace(name)
    return () if files else cluster.dask_objects(name), (namespace,)


def _show(reviewed: tuple[Reviewed, ...], options: ReviewOptions) -> None:
    match options.output:
        case "diff":
            report.show_diffs(console(), reviewed, explain=options.explain)
            return
        case "sarif":
            text = report.as_text(sarif(reviewed, version("dask-colocate"), every=options.explain))
        case "json":
            text = report.as_json(reviewed)
        case "yaml":
            text = report.as_yaml(reviewed).rstrip("\n")
        case "patch":
            text = report.as_patch(reviewed)
    sys.stdout.write(f"{text}\n")
