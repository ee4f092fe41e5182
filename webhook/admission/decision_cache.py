"""Cache of decisions, so that requests with the same content are decided once.

A thousand workers of a cluster are a thousand requests and one decision: the fields that their pods share are equal
byte for byte. Pods of Dask schedulers are cached too, as the role is part of the key. All caches are bounded, and every
entry is a pure function of its key, so that no entry can be stale.
"""

from collections.abc import Callable
from functools import lru_cache

import orjson

from webhook.admission import handler
from webhook.admission.request import AdmissionRequest
from webhook.admission.response import AdmissionResponse, RenderedResponse, render
from webhook.mutators import Contained, contained, of_container
from webhook.placement.model import Hints, Questions
from webhook.policy import Annotations, Policy, resolve
from webhook.workloads import cache_keys, pod_templates
from webhook.workloads.pod_templates import DaskObject, PodTemplate
from webhook.workloads.unstructured import Unstructured

# Sizes below are without the keys: each takes 8 KiB, the minimum buffer of orjson (measured), 3 MiB in total.
# Entries are distinct sets of annotations, not namespaces: a cluster has a few. About 1.5 KiB each.
POLICIES_KEPT = 128
# Worker groups that start workers at about the same time: usually 10 KiB each, 0.6 MiB in total. In the worst case a
# pod of 4 KiB takes 60 KiB when parsed (strings of two characters): 4 MiB in total.
WORKERS_KEPT = 64
LARGEST_KEPT = 4 * 1024  # bytes of the shared part of one pod; usually 1 KiB
# Distinct Dask containers and policies: teams use a few commands for all their clusters. Usually 0.6 MiB in total, at
# most 256 * (1 KiB + 12 KiB for a list of strings of two characters).
CONTAINERS_KEPT = 256
LARGEST_CONTAINER_KEPT = 1024  # bytes of the part of a container that the rules read; usually 200


class DecisionCache:
    """Cache of responses by Dask object and namespace annotations."""

    def __init__(self, defaults: Policy, ask: Callable[[Questions], Hints]) -> None:
        """Decide with the installation's `defaults`, and call `ask` for capacity hints, which are not cached."""
        self._ask = ask
        self._policy = lru_cache(POLICIES_KEPT)(lambda annotations: resolve(dict(annotations), defaults))
        self._subject = lru_cache(WORKERS_KEPT)(lambda seen: pod_templates.pod_subject(orjson.loads(seen)))
        self._of_pod = lru_cache(WORKERS_KEPT)(self._decide)
        self._contained = lru_cache(CONTAINERS_KEPT)(
            lambda seen, policy: of_container(cache_keys.container_target(orjson.loads(seen)), policy)
        )

    def consider(self, review: AdmissionRequest) -> DaskObject | AdmissionResponse:
        """Return the result of `handler.match`, with one Dask object for all pods of a worker group."""
        return handler.match(review, self._read)

    def answer(self, review: AdmissionRequest, subject: DaskObject, annotations: Annotations) -> RenderedResponse:
        """Return the response for a Dask object from `consider`, in a namespace with these annotations."""
        policy = self._policy(annotations)
        asked = handler.questions(review, subject, policy)
        hints = asked if isinstance(asked, Hints) else self._ask(asked)
        if subject.kind == "Pod":
            answer: RenderedResponse = self._of_pod(subject, annotations, hints)
            return answer
        return render(handler.decide(subject, policy, hints, self._of_container))

    def _read(self, item: Unstructured) -> DaskObject | None:
        key = _key(pod_templates.shared(item))
        if key is None or len(key) > LARGEST_KEPT:
            return pod_templates.read(item)
        subject: DaskObject = self._subject(key)
        return subject

    def _decide(self, subject: DaskObject, annotations: Annotations, hints: Hints) -> RenderedResponse:
        return render(handler.decide(subject, self._policy(annotations), hints, self._of_container))

    def _of_container(self, target: PodTemplate, policy: Policy) -> Contained:
        key = _key(contained(target, policy))
        if key is None or len(key) > LARGEST_CONTAINER_KEPT:
            return of_container(target, policy)
        decided: Contained = self._contained(key, policy)
        return decided


def _key(seen: Unstructured | None) -> bytes | None:
    """Return the JSON of the fields that a decision depends on; None if it cannot be cached."""
    if seen is None:
        return None
    try:
        return orjson.dumps(seen)
    except orjson.JSONEncodeError:  # orjson parses 1,024 levels and writes 254
        return None
