"""Factories of raw Kubernetes objects and snapshots."""

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
    """Return a time before `NOW` in the API server's format: `ago(hours=1)`."""
    return f"{NOW - timedelta(**span):%Y-%m-%dT%H:%M:%SZ}"


def node(name: str, gpus: int = 2, **labels: str) -> Unstructured:
    """Return a ready node; `zone` is short for the zone label."""
    zoned = {ZONE if key == "zone" else key: value for key, value in labels.items()}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **zoned}},
        "spec": {},
        "status": {
            "allocatable": {"cpu": "64", **({GPU: str(gpus)} if gpus else {})},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def namespace(name: str = "rapids", changed: str = "", **annotations: str) -> Unstructured:
    """Return an enabled namespace that is two days old.

    Args:
        name: Namespace name.
        changed: Time of the last change of its annotations.
        annotations: Annotations without their prefix, `_` for `-`.
    """
    values = {"enabled": "true"} | {key.replace("_", "-"): value for key, value in annotations.items()}
    prefixed = {f"colocate.dask.org/{key}": value for key, value in values.items()}
    fields = {"f:metadata": {"f:annotations": {f"f:{key}": {} for key in prefixed}}}
    entry = {"manager": "kubectl-annotate", "time": changed or ago(days=2), "fieldsV1": fields}
    about = {"name": name, "creationTimestamp": ago(days=2), "annotations": prefixed, "managedFields": [entry]}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {**about, "labels": {"kubernetes.io/metadata.name": name}},
    }


def cluster(name: str = "demo", where: str = "rapids") -> Unstructured:
    """Return a DaskCluster."""
    metadata = {"name": name, "namespace": where, "creationTimestamp": ago(hours=1)}
    return {"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "metadata": metadata, "spec": {}}


@dataclass(frozen=True, kw_only=True)
class WorkerPod:
    """Parameters of a worker pod.

    Attributes:
        name: Pod name.
        node: Node name; empty if the pod is not scheduled.
        cluster: Name of its Dask cluster.
        namespace: Its namespace.
        mutated: Whether the webhook mutated it.
        gpus: GPU limit; 0 for none.
        created: Creation time.
    """

    name: str
    node: str = "a"
    cluster: str = "demo"
    namespace: str = "rapids"
    mutated: bool = True
    gpus: int = 1
    created: str = ago(hours=1)

    def pod(self, **metadata: Unstructured) -> Unstructured:
        """Return the raw pod, with more `metadata`."""
        labels = {"dask.org/component": "worker", "dask.org/cluster-name": self.cluster}
        about = {
            "name": self.name,
            "namespace": self.namespace,
            "creationTimestamp": self.created,
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
    """Return a pod that holds GPUs and is not a Dask worker."""
    spec = {"nodeName": on, "containers": [{"name": "main", "resources": {"limits": {GPU: str(gpus)}}}]}
    about = {"name": name, "namespace": "others", "creationTimestamp": ago(hours=3), "labels": {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec, "status": {"phase": "Running"}}


# ---- installation -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ChartInstallation:
    """Parameters of an installation by the chart.

    Attributes:
        created: Creation time of its webhook configuration.
        ready: Number of ready replicas, of two.
        ca: CA certificate in `caBundle`.
        served: Certificate in the Secret.
        mode: Certificate mode.
        arguments: More arguments of the Deployment's container.
        progress: Reason of the Deployment's condition Progressing.
    """

    created: str
    ready: int
    ca: bytes
    served: KeyPair
    mode: str = "self-managed"
    arguments: tuple[str, ...] = ()
    progress: str = "NewReplicaSetAvailable"

    def objects(self) -> dict[str, tuple[Unstructured, ...]]:
        """Return the fields of a Snapshot."""
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
            "services": (_object("Service", "v1", {"selector": {"app": "x"}}),),
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
        about = {"name": "dask-colocate", "creationTimestamp": self.created, "labels": labels}
        return {"kind": "MutatingWebhookConfiguration", "metadata": about, "webhooks": webhooks}

    def _deployment(self) -> Unstructured:
        arguments = ["serve", f"--certs={self.mode}", "--secret=dask-colocate-certificates", *self.arguments]
        template = {
            "metadata": {"labels": {"app": "x", "app.kubernetes.io/part-of": "dask-colocate"}},
            "spec": {"containers": [{"name": "webhook", "args": arguments}]},
        }
        spec = {"replicas": 2, "template": template, "selector": {"matchLabels": {"app": "x"}}}
        progress = {"type": "Progressing", "status": "True", "reason": self.progress}
        item = _object("Deployment", "apps/v1", spec)
        return {**item, "status": {"readyReplicas": self.ready, "conditions": [progress]}}

    def _secret(self) -> Unstructured:
        item = _object("Secret", "v1", {}, "dask-colocate-certificates")
        return {**item, "data": {"tls.crt": base64.b64encode(self.served.certificate).decode()}}


def _object(kind: str, version: str, spec: Unstructured, name: str = "dask-colocate") -> Unstructured:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": "dask-colocate"},
        "spec": spec,
    }


def installed(
    ready: int = 2, created: str = "", *, age: float = 10, trusted: bool = True, **more: Unstructured
) -> ChartInstallation:
    """Return an installation whose certificate was issued `age` days ago; `caBundle` trusts it if `trusted`."""
    issued = NOW - timedelta(days=age)
    ca = issue_authority("ca", now=issued, entropy=Entropy.fresh())
    other = issue_authority("other", now=issued, entropy=Entropy.fresh())
    pair = issue_leaf(ca, ["dask-colocate.dask-colocate.svc"], now=issued, entropy=Entropy.fresh())
    bundle = (ca if trusted else other).certificate
    return ChartInstallation(created=created or ago(days=1), ready=ready, ca=bundle, served=pair, **more)


def snapshot(**fields: Unstructured) -> Snapshot:
    """Return a snapshot at `NOW` with the enabled namespace `rapids` and a healthy webhook, changed by `fields`."""
    webhook = fields.pop("webhook", None)
    objects = webhook.objects() if webhook else installed().objects()
    return Snapshot(**{"at": NOW, "namespaces": (namespace(),), **objects, **fields})
