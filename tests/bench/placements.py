"""Where worker pods stand, told by one watch for all rooms: a poll of every room would cost more than scheduling."""

from __future__ import annotations

import ssl
import threading
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.bed.api import Object
    from tests.e2e.bed.controlplane import ControlPlane

PATIENCE = 120.0  # seconds; a binding takes milliseconds, so only a pod that fits nowhere is waited for so long
Key = tuple[str, str]  # namespace and cluster


class UnplacedError(Exception):
    """A cluster's workers were not all bound, or not all gone, in time."""


class Placements(threading.Thread):
    """The node of every worker pod, kept up to date by a watch."""

    def __init__(self, plane: ControlPlane) -> None:
        """Connect as the administrator; `start` begins, `stop` ends."""
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
        """Watch until `stop`; when the API server ends a watch, by time or with an error, all is told again."""
        with self._client:
            while not self._over:
                with self._changed:
                    self._pods.clear()
                with suppress(httpx.HTTPError):
                    for event in self._events():
                        if event["type"] == "ERROR":  # the version is too old, or the API server cannot go on
                            break
                        self._note(event)

    def stop(self) -> None:
        """End the thread when the API server ends the watch, at the latest with itself."""
        self._over = True

    def nodes(self, key: Key, workers: int) -> tuple[str, ...]:
        """The nodes of a cluster's workers once `workers` of them are bound.

        Raises:
            UnplacedError: They were not within `PATIENCE`.
        """
        self._wait(key, lambda pods: len(pods) == workers and all(pods.values()), f"{workers} bound")
        with self._changed:
            return tuple(sorted(filter(None, self._pods[key].values())))

    def gone(self, key: Key) -> None:
        """Wait until the last worker of a cluster is deleted.

        Raises:
            UnplacedError: Some were left after `PATIENCE`.
        """
        self._wait(key, lambda pods: not pods, "gone")

    def _wait(self, key: Key, holds: Callable[[dict[str, str | None]], bool], what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: holds(self._pods[key]), PATIENCE):
                raise UnplacedError(f"{key}: not {what} within {PATIENCE:g} s: {self._pods[key]}")

    def _events(self) -> Iterator[Object]:
        parameters = {"watch": "1", "labelSelector": "dask.org/cluster-name"}
        with self._client.stream("GET", "/api/v1/pods", params=parameters) as response:
            rest = b""
            for chunk in response.iter_raw():
                *lines, rest = (rest + chunk).split(b"\n")
                yield from map(orjson.loads, lines)

    def _note(self, event: Object) -> None:
        about, node = event["object"]["metadata"], event["object"]["spec"].get("nodeName")
        key = (about["namespace"], about["labels"]["dask.org/cluster-name"])
        with self._changed:
            pods = self._pods[key]
            if event["type"] == "DELETED":
                pods.pop(about["name"], None)
            elif about["name"] not in pods or pods[about["name"]] != node:
                pods[about["name"]] = node
            else:
                return
            self._changed.notify_all()
