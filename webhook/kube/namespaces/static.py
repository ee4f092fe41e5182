"""Namespaces from manifests, for `serve --namespaces-file`, `review`, `demo` and tests."""

from collections.abc import Iterable, Mapping

from webhook.kube.namespaces import NamespaceUnknownError, policy_annotations
from webhook.policy import Annotations
from webhook.workloads.unstructured import Unstructured, text


class StaticNamespaces:
    """Fixed set of namespaces."""

    def __init__(self, manifests: Iterable[Unstructured]) -> None:
        """Take the Namespaces among `manifests`; the last one of a name wins, as with `kubectl apply`."""
        self._namespaces: Mapping[str, Annotations] = {
            name: policy_annotations(item)
            for item in manifests
            if text(item, "kind") == "Namespace" and (name := text(item, "metadata", "name"))
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the namespaces in the order of the manifests."""
        return tuple(self._namespaces)

    @property
    def ready(self) -> bool:
        """Return True: the set is complete from the start."""
        return True

    def find(self, name: str) -> Annotations | None:
        """Return the policy annotations of namespace `name`, or None if the namespace is unknown."""
        return self._namespaces.get(name)

    def cached(self, name: str) -> Annotations | None:
        """Return the policy annotations of namespace `name`; see `Namespaces`."""
        return self.find(name)

    async def annotations(self, name: str) -> Annotations:
        """Return the policy annotations of namespace `name`; see `Namespaces`."""
        annotations = self.find(name)
        if annotations is None:
            raise NamespaceUnknownError(f"namespace {name!a} is not in the namespaces file")
        return annotations
