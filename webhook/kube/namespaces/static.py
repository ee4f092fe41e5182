"""Namespaces from manifests: no Kubernetes anywhere. For `serve --namespaces-file`, `review`, `demo` and tests."""

from collections.abc import Iterable, Mapping

from webhook.kube.namespaces import NamespaceUnknownError, ours
from webhook.policy import Annotations
from webhook.workloads.unstructured import Unstructured, text


class Static:
    """A fixed set of namespaces."""

    def __init__(self, manifests: Iterable[Unstructured]) -> None:
        """Take the Namespaces among `manifests`; of two with one name the later counts, as with `kubectl apply`."""
        self._namespaces: Mapping[str, Annotations] = {
            name: ours(item)
            for item in manifests
            if text(item, "kind") == "Namespace" and (name := text(item, "metadata", "name"))
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The namespaces known, in the order of the manifests."""
        return tuple(self._namespaces)

    @property
    def ready(self) -> bool:
        """Always: there is nothing to wait for."""
        return True

    def find(self, name: str) -> Annotations | None:
        """Our annotations on the namespace `name`, or None where it is not known."""
        return self._namespaces.get(name)

    async def annotations(self, name: str) -> Annotations:
        """Our annotations on the namespace `name`; see `Namespaces`."""
        known = self.find(name)
        if known is None:
            raise NamespaceUnknownError(f"namespace {name!a} is not among the given manifests")
        return known
