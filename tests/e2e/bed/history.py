"""A control plane forgets what happened: its store is compacted, its API server begun anew. Who watched lists anew."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from tests.e2e.bed.controlplane import ControlPlane
    from tests.e2e.bed.process import Process

_KEY = "YmVk"  # etcd's JSON has keys and values in base64; "bed" is none of Kubernetes', whose begin with /registry


def forgotten(plane: ControlPlane) -> None:
    """Forget all that happened so far; on return the API server is ready again, some seconds later.

    Call it from a thread that stays: the new API server goes with it, see `process`.
    """
    compacted(plane)
    restarted(plane)


def compacted(plane: ControlPlane) -> None:
    """Compact the store, at a revision that no watch has heard of.

    Otherwise a watch that is up to date could be resumed from the very revision that is kept.
    """
    url = next(each for each in newest(plane, "etcd").argv if each.startswith("--listen-client-urls"))
    etcd = url.partition("=")[2]
    put = httpx.post(f"{etcd}/v3/kv/put", json={"key": _KEY, "value": _KEY}, trust_env=False).raise_for_status()
    compaction = {"revision": put.json()["header"]["revision"], "physical": True}
    httpx.post(f"{etcd}/v3/kv/compaction", json=compaction, trust_env=False).raise_for_status()


def restarted(plane: ControlPlane) -> float:
    """Kill the API server and start it again; the instant at which it is ready."""
    old = newest(plane, "kube-apiserver")
    old.child.kill()
    old.child.wait(10)
    plane.spawn(old.name, old.argv).wait_until(plane.api.ready, 60)
    return time.monotonic()


def newest(plane: ControlPlane, name: str) -> Process:
    """The last process that was started under that name."""
    return next(each for each in reversed(plane.processes) if each.name == name)
