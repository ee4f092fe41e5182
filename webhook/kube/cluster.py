"""A live cluster, for the commands that look at one: a Namespace, and the Dask objects in it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kubernetes.client import ApiClient

from webhook.kube.api import Api, ApiError, ConflictError, ForbiddenError, Resource
from webhook.kube.kubeconfig import load_client
from webhook.kube.manifests import Manifest
from webhook.policy.errors import InputError
from webhook.workloads.pod_templates import GROUP
from webhook.workloads.unstructured import Unstructured

PLURALS = ("daskclusters", "daskworkergroups", "daskjobs")


class ClusterError(InputError):
    """The cluster did not do what was asked; one sentence with what to do next."""


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Which cluster.

    Attributes:
        kubeconfig: File that says how to reach the cluster; without it KUBECONFIG, ~/.kube/config, or the cluster that
            this process runs in.
        context: Context of the kubeconfig; without it the current one.
    """

    kubeconfig: Path | None = None
    context: str | None = None

    def client(self) -> ApiClient:
        """The official client; nothing is sent.

        Raises:
            ClusterError: There is no way to a cluster.
        """
        try:
            return load_client(self.kubeconfig, self.context)
        except ApiError as error:
            next_step = "give --kubeconfig FILE, or set KUBECONFIG, and with --context one of its contexts"
            raise ClusterError(f"{error}; {next_step}") from None


class Cluster:
    """What the commands ask of a cluster."""

    def __init__(self, connection: Connection) -> None:
        """Find the way; nothing is sent.

        Raises:
            ClusterError: There is none.
        """
        self._api = Api(connection.client())

    def namespace(self, name: str) -> Manifest:
        """A Namespace as it is now.

        Raises:
            ClusterError: There is none, or it cannot be read.
        """
        with _explained():
            found = self._api.get(Resource(group="", plural="namespaces", name=name))
        if found is None:
            raise ClusterError(f"namespace {name!r} does not exist: `kubectl get namespaces` shows those that do")
        return Manifest("cluster", 0, {"apiVersion": "v1", "kind": "Namespace", **found})

    def dask_objects(self, namespace: str) -> tuple[Manifest, ...]:
        """The DaskClusters, DaskWorkerGroups and DaskJobs of a namespace; none where Dask's kinds are not installed.

        Raises:
            ClusterError: They cannot be read.
        """
        with _explained():
            return tuple(
                Manifest("cluster", 0, item)
                for plural in PLURALS
                for item in self._api.items(Resource(group=GROUP, plural=plural, namespace=namespace)) or ()
            )

    def objects(self, group: str, plural: str, namespace: str | None = None) -> tuple[Unstructured, ...]:
        """All objects of a kind, in all namespaces or one.

        Raises:
            ClusterError: They cannot be read.
        """
        with _explained():
            return tuple(self._api.items(Resource(group=group, plural=plural, namespace=namespace)) or ())

    def annotate(self, namespace: str, annotations: Mapping[str, str], *, dry_run: bool) -> None:
        """Put annotations on a Namespace by a merge patch, all others staying; a dry run changes nothing.

        Raises:
            ClusterError: It was not done.
        """
        resource = Resource(group="", plural="namespaces", name=namespace)
        body = {"metadata": {"annotations": dict(annotations)}}
        with _explained():
            self._api.patch(resource, body, "application/merge-patch+json", dry_run=dry_run)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (ForbiddenError, ConflictError) as error:
        raise ClusterError(str(error)) from None
    except ApiError as error:
        raise ClusterError(f"{error}; see that --kubeconfig and --context name a cluster that runs") from None
