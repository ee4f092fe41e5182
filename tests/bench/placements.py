"""Nodes of all Dask pods from one watch; polling would cost more than the scheduling itself."""

from __future__ import annotations

import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import httpx
import orjson

from tests.e2e.bed.api import Object
from tests.e2e.bed.controlplane import ControlPlane

TIMEOUT = 120.0  # seconds; a binding takes milliseconds, so only a pod that fits no node takes so long
Key = tuple[str, str]  # namespace and cluster


class UnplacedError(Exception):
    """The pods of a cluster were not all bound, or not all deleted, in time."""


class Placements(threading.Thread):
    """Node of every Dask pod, kept up to date by a watch."""

    def __init__(self, plane: ControlPlane) -> None:
        """Connect as the administrator; `start` begins to watch."""
        super().__init__(name="placements", daemon=True)
        self._client = httpx.Client(
            base_url=plane.url,
            headers={"Authorization": f"Bearer {plane.token}"},
            verify=ssl.create_default_context(cafile=str(plane.ca)),
            timeout=httpx.Timeout(10, read=None),
            trust_env=False,
        )
        self._changed = threading.Condition()
        self._pods: defaultdict[Key, dict[str, str | None]] = defaultdict(dict)
        self._over = False

    def run(self) -> None:
        """Watch until `stop`; when the API server ends the watch, list all pods again."""
        with self._client:
            while not self._over:
                with self._changed:
                    self._pods.clear()
                with suppress(httpx.HTTPError):
                    for event in self._events():
                        if event["type"] == "ERROR":  # the resource version is too old, or the API server stops
                            break
                        self._apply(event)

    def stop(self) -> None:
        """Stop the thread when the API server ends the watch, at the latest when the API server itself ends."""
        self._over = True

    def nodes(self, key: Key, pods: int) -> Mapping[str, str]:
        """Return the node of each pod of a cluster once exactly `pods` pods are bound.

        Raises:
            UnplacedError: They were not bound within `TIMEOUT`.
        """
        self._wait(key, lambda nodes: len(nodes) == pods and all(nodes.values()), f"{pods} pods bound")
        with self._changed:
            return {pod: node for pod, node in self._pods[key].items() if node}

    def gone(self, key: Key) -> None:
        """Wait until the last pod of a cluster is deleted.

        Raises:
            UnplacedError: Some were left after `TIMEOUT`.
        """
        self._wait(key, lambda nodes: not nodes, "deleted")

    def _wait(self, key: Key, holds: Callable[[dict[str, str | None]], bool], what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: holds(self._pods[key]), TIMEOUT):
                raise UnplacedError(f"{key}: not {what} within {TIMEOUT:g} s: {self._pods[key]}")

    def _events(self) -> Iterator[Object]:
        parameters = {"watch": "1", "labelSelector": "dask.org/cluster-name"}
        with self._client.stream("GET", "/api/v1/pods", params=parameters) as response:
            rest = b""
            for chunk in response.iter_raw():
                *lines, rest = (rest + chunk).split(b"\n")
                yield from map(orjson.loads, lines)

    def _apply(self, event: Object) -> None:
        metadata, node = event["object"]["metadata"], event["object"]["spec"].get("nodeName")
        key = (metadata["namespace"], metadata["labels"]["dask.org/cluster-name"])
        with self._changed:
            pods = self._pods[key]
            if event["type"] == "DELETED":
                pods.pop(metadata["name"], None)
            elif metadata["name"] not in pods or pods[metadata["name"]] != node:
                pods[metadata["name"]] = node
            else:
                return
            self._changed.notify_all()
