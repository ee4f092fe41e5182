"""Record fixture cases from a real API server and the real Dask operator.

    python -m tests.e2e.record_cases            # every case in RECORDED
    python -m tests.e2e.record_cases NAME ...   # only these

Starts the test bed, registers `deploy/kustomize/webhook-configuration.yaml` with the URL of the bed's recorder,
performs the actions of a user, and writes each review to `tests/cases/NAME/review.json`. Only the white space of a
review changes. A folder without `namespace.yaml` gets that of an enabled namespace. Afterwards
`pytest tests/unit --update-cases` writes `expected.json`.

The registered configuration has no match conditions and no object selector, and it matches all operations and the scale
subresource: requests that the deployed configuration excludes are recorded too.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import jsonpatch
import yaml
from dask_kubernetes.operator import make_cluster_spec  # type: ignore[import-untyped] # no py.typed

from tests.e2e.bed import binaries
from tests.e2e.bed.api import DASK, ApiError, Object
from tests.e2e.bed.bed import Bed, running
from webhook.mutators import plan
from webhook.policy import Policy
from webhook.workloads.pod_templates import read

if TYPE_CHECKING:
    from tests.e2e.bed.webhooks import Recorder

CASES = Path(__file__).parent.parent / "cases"
CONFIGURATION = Path(__file__).parent.parent.parent / "deploy/kustomize/webhook-configuration.yaml"
NAMESPACE = "rapids"
CLUSTER = "rapids-dask-cluster"  # of the guide
OPERATOR, REPLICASETS = "kopf", "system:serviceaccount:kube-system:replicaset-controller"

Request = Object
Condition = Callable[[Request], bool]


@dataclass(frozen=True, slots=True)
class Case:
    """Fixture case and the condition for its review; the first review that meets it is recorded.

    Attributes:
        name: The folder in `tests/cases`.
        kind: Kind of the object.
        operation: CREATE, UPDATE or DELETE.
        condition: Further condition for the request.
    """

    name: str
    kind: str
    operation: str
    condition: Condition

    def fits(self, request: Request) -> bool:
        """Return whether `request` belongs to this case."""
        return (request["kind"]["kind"], request["operation"]) == (self.kind, self.operation) and self.condition(
            request
        )


def _named(name: str) -> Condition:
    return lambda request: request.get("name") == name


def _at(namespace: str, name: str) -> Condition:
    return lambda request: (request["namespace"], request.get("name")) == (namespace, name)


def _in(namespace: str) -> Condition:
    return lambda request: request["namespace"] == namespace


def _dry_run(request: Request) -> bool:
    return bool(request["dryRun"])


def _real(namespace: str) -> Condition:
    return lambda request: request["namespace"] == namespace and not request["dryRun"]


def _by_manager(word: str) -> Condition:
    """Match an update of the spec with `fieldManager: word` in the request's options."""
    return lambda request: request["options"].get("fieldManager") == word and _spec_changes(request)


def _spec_changes(request: Request) -> bool:
    return bool(request["object"]["spec"] != request["oldObject"]["spec"])


def _only_metadata(request: Request) -> bool:
    return not _spec_changes(request) and "deletionTimestamp" not in request["object"]["metadata"]


def _being_deleted(request: Request) -> bool:
    return "deletionTimestamp" in request["object"]["metadata"]


def _component(name: str) -> Condition:
    """Match a pod of this component in the namespace of the stripped cluster."""
    wanted = {"dask.org/component": name, "dask.org/cluster-name": CLUSTER}.items()
    return lambda request: (
        request["namespace"] == NAMESPACE and wanted <= request["object"]["metadata"].get("labels", {}).items()
    )


RECORDED = (
    Case("guide-cluster-as-it-is", "DaskCluster", "CREATE", _real("guide")),
    Case("guide-cluster-dry-run", "DaskCluster", "CREATE", _dry_run),
    Case("stripped-guide-cluster", "DaskCluster", "CREATE", _real(NAMESPACE)),
    Case("group-made-by-the-operator", "DaskWorkerGroup", "CREATE", _at(NAMESPACE, f"{CLUSTER}-default")),
    Case("pod-made-by-the-replicaset-controller", "Pod", "CREATE", _component("worker")),
    Case("scheduler-pod", "Pod", "CREATE", _component("scheduler")),
    Case("pod-relabelled", "Pod", "UPDATE", lambda request: "seen" in request["object"]["metadata"]["labels"]),
    Case("operator-updates-metadata-only", "DaskCluster", "UPDATE", _only_metadata),
    Case("applied-again-client-side", "DaskCluster", "UPDATE", _by_manager("kubectl-client-side-apply")),
    Case("applied-again-server-side", "DaskCluster", "UPDATE", _by_manager("kubectl")),
    Case("scale-subresource", "Scale", "UPDATE", _named(CLUSTER)),
    Case("cluster-being-deleted", "DaskCluster", "UPDATE", _being_deleted),
    Case("cluster-deleted", "DaskCluster", "DELETE", _in("guide")),
    Case("cluster-with-a-generated-name", "DaskCluster", "CREATE", _in("generated")),
    Case("make-cluster-spec-with-nulls", "DaskCluster", "CREATE", _named("nulls")),
    Case("integer-quantities", "DaskCluster", "CREATE", _named("integers")),
    Case("args-with-a-null-item", "DaskCluster", "CREATE", _named("null-item")),
    Case("cluster-made-by-kubecluster", "DaskCluster", "CREATE", _named("kube")),
    Case("group-scaled-by-kubecluster", "DaskWorkerGroup", "UPDATE", lambda request: _kr8s(request, "kube-default")),
    Case("group-added-by-kubecluster", "DaskWorkerGroup", "CREATE", _named("kube-more")),
    Case("job", "DaskJob", "CREATE", _named("job")),
    Case("cluster-made-for-a-job", "DaskCluster", "CREATE", _named("job")),
)
"""All cases that were recorded from a real API server; the other cases are written by hand."""


def _kr8s(request: Request, name: str) -> bool:
    return request["name"] == name and _spec_changes(request)


# ---- actions of a user -----------------------------------------------------------------------------


def act(bed: Bed) -> None:
    """Perform the actions that cause every review in `RECORDED`."""
    for namespace in ("guide", NAMESPACE, "generated", "kube"):
        bed.api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        bed.wait(partial(_has_account, bed, namespace), namespace, "the default service account")
    with bed.nodes(8):
        _guide(bed)
        _stripped(bed)
        _odd(bed)
        _kubecluster(bed)
        _job(bed)


def _has_account(bed: Bed, namespace: str) -> bool:
    return bool(bed.api.items(f"/api/v1/namespaces/{namespace}/serviceaccounts"))


def _guide(bed: Bed) -> None:
    manifest = json.dumps(_example("guide-cluster.yaml"))
    bed.kubectl("apply", "-n", "guide", "-f", "-", "--dry-run=server", stdin=manifest)
    bed.kubectl("apply", "-n", "guide", "-f", "-", stdin=manifest)
    bed.wait_for_workers("guide", CLUSTER, 2)
    bed.kubectl("delete", "daskcluster", "-n", "guide", CLUSTER)


def _stripped(bed: Bed) -> None:
    cluster = _example("cluster.yaml", namespace=NAMESPACE)
    manifest = json.dumps(cluster)
    path = f"{DASK}/namespaces/{NAMESPACE}/daskclusters/{CLUSTER}"
    bed.kubectl("apply", "-f", "-", stdin=manifest)
    pods = bed.wait_for_workers(NAMESPACE, CLUSTER, 2)
    bed.kubectl("label", "pod", "-n", NAMESPACE, pods[0]["metadata"]["name"], "seen=true")
    for extra in ((), ("--server-side", "--force-conflicts")):
        bed.api.merge(path, {"spec": _mutated(cluster)["spec"]})
        bed.kubectl("apply", "-f", "-", *extra, stdin=manifest)
    bed.kubectl("scale", "daskcluster", "-n", NAMESPACE, CLUSTER, "--replicas=3")
    nameless = _example("cluster.yaml", namespace="generated", generateName="rapids-")
    del nameless["metadata"]["name"]
    bed.kubectl("create", "-f", "-", stdin=json.dumps(nameless))


def _odd(bed: Bed) -> None:
    """Create clusters with values that the schema prunes or rejects, after the webhooks were called."""
    clusters = f"{DASK}/namespaces/{NAMESPACE}/daskclusters"
    bed.api.create(clusters, make_cluster_spec(name="nulls", n_workers=1, image="rapidsai/base:26.08"))
    for name, field, value in (
        ("integers", "resources", {"limits": {"nvidia.com/gpu": 2}}),
        ("null-item", "args", ["dask-worker", None]),
    ):
        cluster = _example("cluster.yaml", namespace=NAMESPACE, name=name)
        cluster["spec"]["worker"]["spec"]["containers"][0][field] = value
        with suppress(ApiError):
            bed.api.create(clusters, cluster)


KUBECLUSTER = """
from dask_kubernetes.operator import KubeCluster
with KubeCluster(name="kube", image="dask", n_workers=1, quiet=True) as cluster:
    cluster.scale(2)
    cluster.add_worker_group("more", n_workers=1)
"""


def _kubecluster(bed: Bed) -> None:
    with bed.scheduler_for("kube"):
        bed.python("-c", KUBECLUSTER, namespace="kube")


def _job(bed: Bed) -> None:
    cluster = _example("cluster.yaml", namespace=NAMESPACE)
    runner = {"name": "job", "image": "dask", "args": ["python", "-c", "pass"]}
    job = {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskJob",
        "metadata": {"name": "job", "namespace": NAMESPACE},
        "spec": {"job": {"spec": {"containers": [runner]}}, "cluster": {"spec": cluster["spec"]}},
    }
    bed.kubectl("apply", "-f", "-", stdin=json.dumps(job))
    bed.wait_for_workers(NAMESPACE, "job", 2)


def _example(file: str, **metadata: str) -> Object:
    example: Object = yaml.safe_load((resources.files("webhook.cli") / "examples" / file).read_text())
    if not metadata:
        del example["metadata"]["namespace"]
    example["metadata"] |= metadata
    return example


def _mutated(cluster: Object) -> Object:
    """Return the cluster as the webhook mutates it; the recorder does not mutate."""
    dask_object = read(cluster)
    assert dask_object is not None
    operations = plan(dask_object.targets, Policy(enabled=True)).operations
    changed: Object = jsonpatch.apply_patch(cluster, [operation.as_json() for operation in operations])
    return changed


# ---- recording ------------------------------------------------------------------------------------


def without_filters(manifest: Path, folder: Path) -> Path:
    """Write the configuration in `manifest` without its filters to a file in `folder`; return the path."""
    documents = list(yaml.safe_load_all(manifest.read_text()))
    for webhook in documents[0]["webhooks"]:
        webhook |= {"matchConditions": [], "objectSelector": {}}
        for rule in webhook["rules"]:
            rule["operations"] = ["CREATE", "UPDATE", "DELETE"]
            rule["resources"] += ["daskclusters/scale"] if "daskclusters" in rule["resources"] else []
    path = folder / "configuration.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return path


def record(folder: Path) -> list[Object]:
    """Return all reviews that the API server sends during the user's actions, in order."""
    state = folder / "bed"
    state.mkdir()
    with running(state, binaries.locate()) as bed, bed.recorder(folder / "reviews") as recorder:
        with bed.webhook_configuration(without_filters(CONFIGURATION, folder), recorder.url, bed.plane.ca):
            act(bed)
        return _reviews(recorder)


def _reviews(recorder: Recorder) -> list[Object]:
    reviews = (json.loads(file.read_text()) for file in recorder.files())
    return [review for review in reviews if review["request"]["namespace"] != "bed-probes"]


def store(case: Case, reviews: Sequence[Object]) -> None:
    """Write the review of `case` to its folder."""
    review = next((review for review in reviews if case.fits(review["request"])), None)
    if review is None:
        sys.stdout.write(f"{case.name}: NOT SENT\n")
        return
    folder = CASES / case.name
    folder.mkdir(exist_ok=True)
    (folder / "review.json").write_text(json.dumps(review, indent=2) + "\n")
    namespace = folder / "namespace.yaml"
    if not namespace.exists():
        metadata = {"name": review["request"]["namespace"], "annotations": {"colocate.dask.org/enabled": "true"}}
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        namespace.write_text(yaml.safe_dump(document, sort_keys=False))
    sys.stdout.write(f"{case.name}: recorded\n")


def main(*names: str) -> None:
    """Record the cases `names`, or all cases."""
    with tempfile.TemporaryDirectory() as folder:
        reviews = record(Path(folder))
    for case in RECORDED:
        if not names or case.name in names:
            store(case, reviews)


if __name__ == "__main__":
    main(*sys.argv[1:])
