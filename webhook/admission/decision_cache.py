"""Cache of decisions: requests with equal inputs get one decision.

A cluster's thousand worker pods cause a thousand requests and one decision, since the fields that rules read are equal
byte for byte. Pods of Dask schedulers are cached in the same way; the role is part of the key. Every cache is bounded,
and every entry is a pure function of its key, so no entry becomes stale.
"""

from collections.abc import Callable
from functools import lru_cache

import orjson

from webhook.admission import handler
from webhook.admission.handler import AdmissionRequest, AdmissionResponse, RenderedResponse
from webhook.mutators import Contained, contained, of_container
from webhook.placement.model import Hints, Questions
from webhook.policy import Annotations, Policy, resolve
from webhook.workloads import cache_keys, pod_templates
from webhook.workloads.pod_templates import DaskObject, PodTemplate
from webhook.workloads.unstructured import Unstructured

# Distinct sets of annotations, not namespaces: a cluster has fewer than ten. About 1.5 KiB each.
POLICIES_KEPT = 128
# Worker groups that start workers at about the same time: usually 10 KiB each, 0.6 MiB in all. In the worst case, a key
# of 4 KiB with strings of two letters, a parsed pod takes 60 KiB: 4 MiB in all.
WORKERS_KEPT = 64
LARGEST_KEPT = 4 * 1024  # bytes of one key from `pod_templates.shared`; usually 1 KiB
# Pairs of a Dask container and a policy: teams use few commands for all their clusters. At most 256 * (1 KiB + 12 KiB,
# a list of strings of two letters), usually 0.6 MiB.
CONTAINERS_KEPT = 256
LARGEST_CONTAINER_KEPT = 1024  # bytes of one key from `cache_keys.contained`; usually 200


class DecisionCache:
    """Cached responses by Dask object and annotations of the namespace."""

    def __init__(self, defaults: Policy, ask: Callable[[Questions], Hints]) -> None:
        """Create an empty cache.

        Args:
            defaults: The installation's policy.
            ask: Function that returns capacity hints, which are not cached.
        """
        self._ask = ask
        self._policy = lru_cache(POLICIES_KEPT)(lambda annotations: resolve(dict(annotations), defaults))
        self._subject = lru_cache(WORKERS_KEPT)(lambda seen: pod_templates.pod_subject(orjson.loads(seen)))
        self._of_pod = lru_cache(WORKERS_KEPT)(self._decide)
        self._contained = lru_cache(CONTAINERS_KEPT)(
            lambda seen, policy: of_container(cache_keys.container_target(orjson.loads(seen)), policy)
        )

    def consider(self, review: AdmissionRequest) -> DaskObject | AdmissionResponse:
        """Return the result of `handler.consider`, with one DaskObject for all pods of a worker group."""
        return handler.consider(review, self._read)

    def answer(self, review: AdmissionRequest, subject: DaskObject, annotations: Annotations) -> RenderedResponse:
        """Return the response for a DaskObject from `consider` in a namespace with these annotations."""
        policy = self._policy(annotations)
        asked = handler.questions(review, subject, policy)
        hints = asked if isinstance(asked, Hints) else self._ask(asked)
        if subject.kind == "Pod":
            answer: RenderedResponse = self._of_pod(subject, annotations, hints)
            return answer
        return handler.answer(handler.decide(subject, policy, hints, self._of_container))

    def _read(self, item: Unstructured) -> DaskObject | None:
        key = _key(pod_templates.shared(item))
        if key is None or len(key) > LARGEST_KEPT:
            return pod_templates.read(item)
        subject: DaskObject = self._subject(key)
        return subject

    def _decide(self, subject: DaskObject, annotations: Annotations, hints: Hints) -> RenderedResponse:
        return handler.answer(handler.decide(subject, self._policy(annotations), hints, self._of_container))

    def _of_container(self, target: PodTemplate, policy: Policy) -> Contained:
        key = _key(contained(target, policy))
        if key is None or len(key) > LARGEST_CONTAINER_KEPT:
            return of_container(target, policy)
        decided: Contained = self._contained(key, policy)
        return decided


def _key(seen: Unstructured | None) -> bytes | None:
    """Return the fields of an object as bytes; None without fields, and where they are nested too deeply."""
    if seen is None:
        return None
    try:
        # The leading blank makes a copy of the bytes: orjson's result keeps its whole buffer, 7 KiB for a key of 1 KiB.
        return b" " + orjson.dumps(seen)
    except orjson.JSONEncodeError:  # orjson writes 254 levels and reads 1,024
        return None
