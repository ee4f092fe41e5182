"""Snapshots of clusters that do not exist: what an API server would have answered."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from certs.x509.issue import Entropy, KeyPair, issue_authority, issue_leaf
from webhook.status.snapshot import Snapshot

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ZONE = "topology.kubernetes.io/zone"
GPU = "nvidia.com/gpu"


def ago(**span: float) -> str:
    """An instant before `NOW`, as the API server writes it: `ago(hours=1)`."""
    return f"{NOW - timedelta(**span):%Y-%m-%dT%H:%M:%SZ}"


def node(name: str, gpus: int = 2, **labels: str) -> Unstructured:
    """A node that is ready; `zone` is short for the zone's label."""
    held = {ZONE if key == "zone" else key: value for key, value in labels.items()}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **held}},
        "spec": {},
        "status": {
            "allocatable": {"cpu": "64", **({GPU: str(gpus)} if gpus else {})},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def namespace(name: str = "rapids", changed: str = "", **annotations: str) -> Unstructured:
    """A served namespace, two days old; `changed` is when its annotations were, `_` stands for `-` in their names."""
    values = {"enabled": "true"} | {key.replace("_", "-"): value for key, value in annotations.items()}
    ours = {f"colocate.dask.org/{key}": value for key, value in values.items()}
    fields = {"f:metadata": {"f:annotations": {f"f:{key}": {} for key in ours}}}
    entry = {"manager": "kubectl-annotate", "time": changed or ago(days=2), "fieldsV1": fields}
    about = {"name": name, "creationTimestamp": ago(days=2), "annotations": ours, "managedFields": [entry]}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {**about, "labels": {"kubernetes.io/metadata.name": name}},
    }


def cluster(name: str = "demo", where: str = "rapids") -> Unstructured:
    """A DaskCluster."""
    about = {"name": name, "namespace": where, "creationTimestamp": ago(hours=1)}
    return {"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "metadata": about, "spec": {}}


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker pod to be made.

    Attributes:
        name: Of the pod.
        node: Where it stands; empty while it waits.
        of: Its Dask cluster.
        where: Its namespace.
        mutated: Whether it has what the webhook gives.
        gpus: Its GPU limit; with 0 it has none.
        born: When it was created.
    """

    name: str
    node: str = "a"
    of: str = "demo"
    where: str = "rapids"
    mutated: bool = True
    gpus: int = 1
    born: str = ago(hours=1)

    def pod(self, **metadata: Unstructured) -> Unstructured:
        """The pod, with more `metadata`."""
        labels = {"dask.org/component": "worker", "dask.org/cluster-name": self.of}
        about = {
            "name": self.name,
            "namespace": self.where,
            "creationTimestamp": self.born,
            "labels": labels,
            "ownerReferences": [{"kind": "ReplicaSet", "name": self.name}],
            **metadata,
        }
        spec = {"nodeName": self.node, **(self._mutated(labels) if self.mutated else self._plain())}
        phase = "Running" if self.node else "Pending"
        return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec, "status": {"phase": phase}}

    def _plain(self) -> Unstructured:
        limits = {GPU: str(self.gpus)} if self.gpus else {}
        return {
            "containers": [{"name": "worker", "args": ["dask-worker", "--name", "x"], "resources": {"limits": limits}}]
        }

    def _mutated(self, labels: Unstructured) -> Unstructured:
        selector = {"matchExpressions": [{"key": key, "operator": "In", "values": [labels[key]]} for key in labels]}
        terms = [
            {"weight": weight, "podAffinityTerm": {"labelSelector": selector, "topologyKey": key}}
            for key, weight in (("kubernetes.io/hostname", 100), (ZONE, 30))
        ]
        spread = {"maxSkew": 32, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        resources = {"limits": {GPU: str(self.gpus)}, "requests": {GPU: str(self.gpus)}}
        return {
            "containers": [{"name": "worker", "args": ["dask-cuda-worker"], "resources": resources}],
            "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}},
            "topologySpreadConstraints": [spread],
        }


def other_pod(name: str, on: str, gpus: int) -> Unstructured:
    """A pod of somebody else that holds GPUs."""
    spec = {"nodeName": on, "containers": [{"name": "main", "resources": {"limits": {GPU: str(gpus)}}}]}
    about = {"name": name, "namespace": "others", "creationTimestamp": ago(hours=3), "labels": {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec, "status": {"phase": "Running"}}


# ---- the webhook itself ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Installed:
    """An installation as the chart makes it.

    Attributes:
        since: When its webhook configuration was created.
        ready: Replicas that are ready, of two.
        ca: The authority that `caBundle` holds.
        served: The certificate in the Secret.
        mode: How its certificates come.
        arguments: More of the Deployment's arguments.
        progress: Why the Deployment's controller takes it as progressing.
    """

    since: str
    ready: int
    ca: bytes
    served: KeyPair
    mode: str = "self-managed"
    arguments: tuple[str, ...] = ()
    progress: str = "NewReplicaSetAvailable"

    def objects(self) -> dict[str, tuple[Unstructured, ...]]:
        """The fields of a Snapshot that it fills."""
        ready = [
            {
                "addresses": [f"10.0.0.{index}"],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": f"pod-{index}"},
            }
            for index in range(self.ready)
        ]
        about = {"namespace": "dask-colocate", "labels": {"kubernetes.io/service-name": "dask-colocate"}}
        return {
            "configurations": (self._configuration(),),
            "services": (_there("Service", "v1", {"selector": {"app": "x"}}),),
            "slices": (
                {"apiVersion": "discovery.k8s.io/v1", "metadata": about, "endpoints": ready, "ports": [{"port": 8443}]},
            ),
            "deployments": (self._deployment(),),
            "secrets": (self._secret(),),
        }

    def _configuration(self) -> Unstructured:
        service = {"namespace": "dask-colocate", "name": "dask-colocate"}
        excluded = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]}
        webhooks = [
            {
                "name": f"{kind}.colocate.dask.org",
                "clientConfig": {"service": service, "caBundle": base64.b64encode(self.ca).decode()},
                "namespaceSelector": {"matchExpressions": [excluded]},
                "failurePolicy": "Ignore",
                "rules": [{"resources": resources}],
            }
            for kind, resources in (("resources", ["daskclusters", "daskjobs", "daskworkergroups"]), ("pods", ["pods"]))
        ]
        labels = {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": "colocate"}
        about = {"name": "dask-colocate", "creationTimestamp": self.since, "labels": labels}
        return {"kind": "MutatingWebhookConfiguration", "metadata": about, "webhooks": webhooks}

    def _deployment(self) -> Unstructured:
        arguments = ["serve", f"--certs={self.mode}", "--secret=dask-colocate-certificates", *self.arguments]
        template = {
            "metadata": {"labels": {"app": "x", "app.kubernetes.io/part-of": "dask-colocate"}},
            "spec": {"containers": [{"name": "webhook", "args": arguments}]},
        }
        spec = {"replicas": 2, "template": template, "selector": {"matchLabels": {"app": "x"}}}
        progress = {"type": "Progressing", "status": "True", "reason": self.progress}
        made = _there("Deployment", "apps/v1", spec)
        return {**made, "status": {"readyReplicas": self.ready, "conditions": [progress]}}

    def _secret(self) -> Unstructured:
        made = _there("Secret", "v1", {}, "dask-colocate-certificates")
        return {**made, "data": {"tls.crt": base64.b64encode(self.served.certificate).decode()}}


def _there(kind: str, version: str, spec: Unstructured, name: str = "dask-colocate") -> Unstructured:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": "dask-colocate"},
        "spec": spec,
    }


def installed(
    ready: int = 2, since: str = "", *, aged: float = 10, trusted: bool = True, **more: Unstructured
) -> Installed:
    """An installation whose certificate was made `aged` days ago, by an authority that is `trusted` or another one."""
    made = NOW - timedelta(days=aged)
    ca = issue_authority("ca", now=made, entropy=Entropy.fresh())
    other = issue_authority("other", now=made, entropy=Entropy.fresh())
    pair = issue_leaf(ca, ["dask-colocate.dask-colocate.svc"], now=made, entropy=Entropy.fresh())
    bundle = (ca if trusted else other).certificate
    return Installed(since=since or ago(days=1), ready=ready, ca=bundle, served=pair, **more)


def snapshot(**fields: Unstructured) -> Snapshot:
    """A snapshot at `NOW` with the served namespace `rapids` and a webhook in order, unless `fields` say otherwise."""
    webhook = fields.pop("webhook", None)
    objects = webhook.objects() if webhook else installed().objects()
    return Snapshot(**{"at": NOW, "namespaces": (namespace(),), **objects, **fields})
