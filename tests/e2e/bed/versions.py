"""Kubernetes versions that the tests run on; `KUBERNETES_VERSION` selects one of them or any other release."""

from __future__ import annotations

import os
from dataclasses import dataclass

VARIABLE = "KUBERNETES_VERSION"
# One version of each minor release that the chart's kubeVersion allows. 1.30 to 1.33 are the .0 releases: the Go module
# proxy serves later patches of k8s.io/kubernetes without their staging modules.
SUPPORTED = ("1.30.0", "1.31.0", "1.32.0", "1.33.0", "1.34.2", "1.35.0", "1.36.0", "1.37.2")
OLDEST, NEWEST = SUPPORTED[0], SUPPORTED[-1]


@dataclass(frozen=True)
class Release:
    """One Kubernetes release, such as 1.37.2."""

    version: str

    @property
    def tag(self) -> str:
        """Version of the module k8s.io/kubernetes."""
        return f"v{self.version}"

    @property
    def staging(self) -> str:
        """Version of the staging modules, such as k8s.io/api: the same with major version 0."""
        return f"v0.{self.version.removeprefix('1.')}"

    @property
    def minor(self) -> str:
        """Minor version as the API server reports it."""
        return self.version.split(".")[1]


def selected() -> Release:
    """Return the release of `KUBERNETES_VERSION`, or the newest supported one.

    Raises:
        ValueError: The variable does not hold a version such as 1.30.0.
    """
    version = os.environ.get(VARIABLE, "").removeprefix("v") or NEWEST
    parts = version.split(".")
    if len(parts) != 3 or parts[0] != "1" or not all(part.isdecimal() for part in parts):
        message = f"{VARIABLE} must be a Kubernetes version such as {OLDEST}, not {version!r}"
        raise ValueError(message)
    return Release(version)
