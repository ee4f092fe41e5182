"""Helm release of the chart on the cluster of a kubeconfig, and access by helm and kubectl."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.bed.binaries import CHART_TOOLS, CONTROL_PLANE, locate

if TYPE_CHECKING:
    from collections.abc import Sequence

Object = dict[str, Any]

CHART = Path(__file__).parents[3] / "deploy" / "chart"
# Kinds that an installation may create or delete. Objects of other kinds change without it.
KINDS = (
    "mutatingwebhookconfigurations,validatingwebhookconfigurations,clusterroles,clusterrolebindings,customresourcedefinitions,"
    "priorityclasses,apiservices"
)
NAMESPACED = (
    "deployments,replicasets,services,endpointslices,serviceaccounts,secrets,configmaps,roles,rolebindings,pods,leases,"
    "poddisruptionbudgets,networkpolicies,resourcequotas"
)


class FailedError(Exception):
    """Failure of helm or kubectl, with its stderr."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Cluster that helm and kubectl access with a kubeconfig."""

    kubeconfig: Path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return its stdout.

        Raises:
            FailedError: kubectl failed.
        """
        (program,) = locate(tuple(binary for binary in CONTROL_PLANE if binary.name == "kubectl")).values()
        return self._run([str(program), f"--kubeconfig={self.kubeconfig}", *arguments], stdin)

    def json(self, *arguments: str) -> Object:
        """Run `kubectl ... -o json` and return the parsed output."""
        parsed: Object = json.loads(self.kubectl(*arguments, "-o", "json"))
        return parsed

    def helm(self, *arguments: str) -> str:
        """Run helm and return its stdout.

        Raises:
            FailedError: helm failed.
        """
        (program,) = locate(CHART_TOOLS).values()
        return self._run([str(program), f"--kubeconfig={self.kubeconfig}", *arguments])

    def names(self, namespace: str) -> set[str]:
        """Return all objects that an installation into a namespace could leave behind, as `kind/name`."""
        cluster_wide = self.kubectl("get", KINDS, "-o", "name")
        namespaced = self.kubectl("get", NAMESPACED, "-n", namespace, "-o", "name")
        return {*cluster_wide.split(), *namespaced.split()}

    @staticmethod
    def _run(argv: Sequence[str], stdin: str | None = None) -> str:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=400, check=False)
        if done.returncode:
            raise FailedError(f"{' '.join(argv[:6])} ...: {done.stderr}{done.stdout[-2000:]}")
        return done.stdout


@dataclass(frozen=True, kw_only=True)
class Release:
    """Release of the chart with a name in a namespace; `settings` are values of `--set`."""

    cluster: Cluster
    name: str
    namespace: str
    settings: tuple[str, ...] = ()

    def install(self, *flags: str) -> str:
        """Run `helm install` and return its notes."""
        return self._put("install", *flags)

    def upgrade(self, *flags: str) -> str:
        """Run `helm upgrade` and return its notes."""
        return self._put("upgrade", *flags)

    def rollback(self, revision: int, *flags: str) -> str:
        """Run `helm rollback` and return its output."""
        return self.cluster.helm("rollback", self.name, str(revision), "-n", self.namespace, *flags)

    def uninstall(self) -> str:
        """Run `helm uninstall` and wait until all objects are deleted."""
        return self.cluster.helm("uninstall", self.name, "-n", self.namespace, "--wait", "--timeout=300s")

    def _put(self, command: str, *flags: str) -> str:
        chosen = [flag for setting in self.settings for flag in ("--set", setting)]
        return self.cluster.helm(command, self.name, str(CHART), "-n", self.namespace, *chosen, *flags)
