"""Decisions that are kept: the hot path decides once on what comes again.

A thousand workers of a cluster are a thousand reviews and one decision: what their pods share with each other is the
same to the byte. The pod of a Dask scheduler is cached like that of a worker; its role is part of the key. Everything
here is bounded, and a pure function of its key, so that nothing can go stale.
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

# Distinct sets of annotations, not namespaces: a cluster has a handful. About 1.5 KiB each.
POLICIES_KEPT = 128
# Worker groups that start workers at about the same time: usually 10 KiB each, 0.6 MiB in all. A pod of 4 KiB that is
# all words of two letters takes 60 KiB once it is parsed: 4 MiB.
WORKERS_KEPT = 64
LARGEST_KEPT = 4 * 1024  # bytes of one pod, as `dask.shared` leaves it; usually 1 KiB
# Containers that run Dask under the policies there are: teams use a few commands for all their clusters. At most
# 256 * (1 KiB + 12 KiB, a list of words of two letters each), usually 0.6 MiB.
CONTAINERS_KEPT = 256
LARGEST_CONTAINER_KEPT = 1024  # bytes, as `dask.contained` leaves it; usually 200


class DecisionCache:
    """Answers for subjects under namespaces' annotations."""

    def __init__(self, defaults: Policy, ask: Callable[[Questions], Hints]) -> None:
        """Decide with the installation's `defaults`; `ask` about free capacity, of which nothing is kept."""
        self._ask = ask
        self._policy = lru_cache(POLICIES_KEPT)(lambda annotations: resolve(dict(annotations), defaults))
        self._subject = lru_cache(WORKERS_KEPT)(lambda seen: pod_templates.pod_subject(orjson.loads(seen)))
        self._of_pod = lru_cache(WORKERS_KEPT)(self._decide)
        self._contained = lru_cache(CONTAINERS_KEPT)(
            lambda seen, policy: of_container(cache_keys.container_target(orjson.loads(seen)), policy)
        )

    def consider(self, review: AdmissionRequest) -> DaskObject | AdmissionResponse:
        """Return what `admission.consider` returns, with one Subject for all pods of a worker group."""
        return handler.consider(review, self._read)

    def answer(self, review: AdmissionRequest, subject: DaskObject, annotations: Annotations) -> RenderedResponse:
        """What is answered for a review's subject from `consider`, whose namespace carries `annotations`."""
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
    """The bytes of what `dask` leaves of an object; None where it leaves nothing, and for what nests too deep."""
    if seen is None:
        return None
    try:
        # With a blank before them the bytes are copied: those of orjson hold the room they were written in, 7 KiB for
        # a key of one.
        return b" " + orjson.dumps(seen)
    except orjson.JSONEncodeError:  # it writes 254 levels and reads 1,024
        return None
