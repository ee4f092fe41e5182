"""A release of the chart: helm and kubectl on any cluster that a kubeconfig names."""

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
# What an installation may leave or take away, beside Dask's own; the rest of a cluster changes by itself.
KINDS = (
    "mutatingwebhookconfigurations,validatingwebhookconfigurations,clusterroles,clusterrolebindings,customresourcedefinitions,"
    "priorityclasses,apiservices"
)
NAMESPACED = (
    "deployments,replicasets,services,endpointslices,serviceaccounts,secrets,configmaps,roles,rolebindings,pods,leases,"
    "poddisruptionbudgets,networkpolicies,resourcequotas"
)


class FailedError(Exception):
    """helm or kubectl ended with an error; the text is what it wrote to stderr."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster and the two programs that its administrator has."""

    kubeconfig: Path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl printed.

        Raises:
            FailedError: it ended with an error.
        """
        (program,) = locate(tuple(each for each in CONTROL_PLANE if each.name == "kubectl")).values()
        return self._run([str(program), f"--kubeconfig={self.kubeconfig}", *arguments], stdin)

    def json(self, *arguments: str) -> Object:
        """What `kubectl ... -o json` printed."""
        answer: Object = json.loads(self.kubectl(*arguments, "-o", "json"))
        return answer

    def helm(self, *arguments: str) -> str:
        """What helm printed.

        Raises:
            FailedError: it ended with an error.
        """
        (program,) = locate(CHART_TOOLS).values()
        return self._run([str(program), f"--kubeconfig={self.kubeconfig}", *arguments])

    def names(self, namespace: str) -> set[str]:
        """All objects that an installation into a namespace could leave behind, as `kind/name`."""
        found = self.kubectl("get", KINDS, "-o", "name") + self.kubectl(
            "get", NAMESPACED, "-n", namespace, "-o", "name"
        )
        return set(found.split())

    @staticmethod
    def _run(argv: Sequence[str], stdin: str | None = None) -> str:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=400, check=False)
        if done.returncode:
            raise FailedError(f"{' '.join(argv[:6])} ...: {done.stderr}{done.stdout[-2000:]}")
        return done.stdout


@dataclass(frozen=True, kw_only=True)
class Release:
    """The chart installed under a name in a namespace; `settings` are `--set` ones."""

    cluster: Cluster
    name: str
    namespace: str
    settings: tuple[str, ...] = ()

    def install(self, *flags: str) -> str:
        """`helm install`; its notes."""
        return self._put("install", *flags)

    def upgrade(self, *flags: str) -> str:
        """`helm upgrade`; its notes."""
        return self._put("upgrade", *flags)

    def rollback(self, revision: int, *flags: str) -> str:
        """`helm rollback`."""
        return self.cluster.helm("rollback", self.name, str(revision), "-n", self.namespace, *flags)

    def uninstall(self) -> str:
        """`helm uninstall`, until all is gone."""
        return self.cluster.helm("uninstall", self.name, "-n", self.namespace, "--wait", "--timeout=300s")

    def _put(self, command: str, *flags: str) -> str:
        chosen = [flag for setting in self.settings for flag in ("--set", setting)]
        return self.cluster.helm(command, self.name, str(CHART), "-n", self.namespace, *chosen, *flags)
