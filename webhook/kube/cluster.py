"""Access to a live cluster for the commands: Namespaces, Dask objects and annotations."""

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
    """Failed request to the cluster; the message says what to do next."""


@dataclass(frozen=True, kw_only=True)
class Kubeconfig:
    """Selection of a cluster.

    Attributes:
        path: Kubeconfig file. Default: KUBECONFIG, ~/.kube/config, or the cluster that this process runs in.
        context: Context of the kubeconfig. Default: the current context.
    """

    path: Path | None = None
    context: str | None = None

    def client(self) -> ApiClient:
        """Return the official client without sending a request.

        Raises:
            ClusterError: No kubeconfig can be loaded.
        """
        try:
            return load_client(self.path, self.context)
        except ApiError as error:
            raise ClusterError(f"{error}; set KUBECONFIG or use --kubeconfig FILE and --context NAME") from None


class ClusterClient:
    """Requests of the commands to a cluster."""

    def __init__(self, kubeconfig: Kubeconfig) -> None:
        """Load the kubeconfig without sending a request.

        Raises:
            ClusterError: No kubeconfig can be loaded.
        """
        self._api = Api(kubeconfig.client())

    def namespace(self, name: str) -> Manifest:
        """Read a Namespace.

        Raises:
            ClusterError: The Namespace does not exist or cannot be read.
        """
        with _cluster_errors():
            namespace = self._api.get(Resource(group="", plural="namespaces", name=name))
        if namespace is None:
            raise ClusterError(f"namespace {name!r} does not exist; list namespaces with `kubectl get namespaces`")
        return Manifest("cluster", 0, {"apiVersion": "v1", "kind": "Namespace", **namespace})

    def dask_objects(self, namespace: str) -> tuple[Manifest, ...]:
        """Read the DaskClusters, DaskWorkerGroups and DaskJobs of a namespace; kinds without a CRD are skipped.

        Raises:
            ClusterError: The objects cannot be read.
        """
        items = (item for plural in PLURALS for item in self.objects(GROUP, plural, namespace))
        return tuple(Manifest("cluster", 0, item) for item in items)

    def objects(self, group: str, plural: str, namespace: str | None = None) -> tuple[Unstructured, ...]:
        """Read all objects of a kind, in one namespace or in all namespaces.

        Raises:
            ClusterError: The objects cannot be read.
        """
        with _cluster_errors():
            return tuple(self._api.items(Resource(group=group, plural=plural, namespace=namespace)) or ())

    def annotate(self, namespace: str, annotations: Mapping[str, str], *, dry_run: bool) -> None:
        """Set annotations on a Namespace by a merge patch, which keeps all other annotations.

        Raises:
            ClusterError: The API server rejected the patch.
        """
        resource = Resource(group="", plural="namespaces", name=namespace)
        body = {"metadata": {"annotations": dict(annotations)}}
        with _cluster_errors():
            self._api.patch(resource, body, "application/merge-patch+json", dry_run=dry_run)


@contextmanager
def _cluster_errors() -> Iterator[None]:
    try:
        yield
    except (ForbiddenError, ConflictError) as error:
        raise ClusterError(str(error)) from None
    except ApiError as error:
        raise ClusterError(f"{error}; verify that --kubeconfig and --context name a running cluster") from None
