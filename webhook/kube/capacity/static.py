"""Capacity from manifests of Nodes and Pods: no Kubernetes anywhere. For `review` and tests."""

from collections.abc import Iterable

from webhook.placement import objects
from webhook.placement.allocator import Allocator
from webhook.placement.model import Hint, NoHint, Question
from webhook.workloads.unstructured import Unstructured, text


class Static:
    """What `kubectl get nodes,pods --all-namespaces --output yaml` said at one instant; promises last for ever."""

    def __init__(self, manifests: Iterable[Unstructured], problem: NoHint | None = None) -> None:
        """Take the Nodes and Pods among `manifests`; with a `problem`, answer that and nothing else."""
        self._problem = problem
        self._stock = Allocator(patience=float("inf"))
        for item in manifests:
            if text(item, "kind") == "Node":
                self._stock.index.put_node(objects.node(item))
            elif text(item, "kind") == "Pod" and (held := objects.held(item)):
                self._stock.index.put_pod(
                    f"{text(item, 'metadata', 'namespace')}/{text(item, 'metadata', 'name')}", held
                )

    def hint(self, question: Question) -> Hint:
        """The hosts to prefer; see `Capacity`."""
        return self._problem or self._stock.hint(question, 0)
