"""Constant admissions through the API server while something breaks, and what became of each."""

from __future__ import annotations

import json
import secrets
import ssl
import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Self

import httpx

from tests.e2e.examples import manifest

if TYPE_CHECKING:
    from tests.e2e.bed.bed import Bed
    from webhook.workloads.unstructured import Unstructured

PATH = "/apis/kubernetes.dask.org/v1/namespaces/{}/daskclusters?dryRun=All"
THREADS = 2


class Became(StrEnum):
    """Of one call."""

    MUTATED = "mutated"
    MISSED = "missed"  # created as its user wrote it
    FAILED = "failed"
    WRONG = "wrong"


@dataclass(kw_only=True)
class Admissions:
    """Server-side dry runs of a plain cluster, `rate` a second, while the block runs; workers get one of `limits`."""

    bed: Bed
    namespace: str
    rate: float = 10.0
    limits: tuple[str, ...] = ("1",)
    calls: list[tuple[float, Became]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Begin."""
        self._threads += [threading.Thread(target=self._run) for _ in range(THREADS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, and wait for the last answers."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def forget(self) -> None:
        """Count from now on."""
        self.calls.clear()
        self.failures.clear()

    def count(self, became: Became) -> int:
        """How many calls became that."""
        return sum(each is became for _, each in self.calls)

    def last_bad(self, since: float) -> float:
        """Seconds from an instant to the end of the last call that was not mutated; 0 where there was none."""
        return max((at - since for at, became in self.calls if became is not Became.MUTATED), default=0.0)

    def told(self, since: float) -> str:
        """The figures of a fault that began at `since`."""
        bad = ", ".join(f"{self.count(each)} {each}" for each in (Became.FAILED, Became.MISSED, Became.WRONG))
        return f"{len(self.calls)} calls: {bad}; the last of these {self.last_bad(since):.1f} s after it began"

    def _run(self) -> None:
        context = ssl.create_default_context(cafile=str(self.bed.plane.ca))
        headers = {"Authorization": f"Bearer {self.bed.plane.token}"}
        url = self.bed.plane.url
        with httpx.Client(base_url=url, headers=headers, verify=context, timeout=15, trust_env=False) as client:
            while not self._over.wait(THREADS / self.rate):
                became = self._one(client)
                self.calls.append((time.monotonic(), became))

    def _one(self, client: httpx.Client) -> Became:
        item = json.loads(manifest("cluster", workers=1, scheduler_gpu=False, name=f"load-{secrets.token_hex(4)}"))
        try:
            answer = client.post(PATH.format(self.namespace), json=item)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            self.failures.append(repr(error))
            return Became.FAILED
        return judged(item, answer.json(), self.limits)


def judged(sent: Unstructured, stored: Unstructured, limits: tuple[str, ...]) -> Became:
    """Whether a worker has all that the rules give it, or nothing of it."""
    worker, written = stored["spec"]["worker"]["spec"], sent["spec"]["worker"]["spec"]
    container = worker["containers"][0]
    signs = (
        container["args"][0] == "dask-cuda-worker",
        container.get("resources", {}).get("limits") in [{"nvidia.com/gpu": limit} for limit in limits],
        "podAffinity" in worker.get("affinity", {}),
    )
    if all(signs):
        return Became.MUTATED
    return Became.MISSED if not any(signs) and container["args"] == written["containers"][0]["args"] else Became.WRONG
