"""Installation of replicas on the test bed: a Secret, a webhook configuration, RBAC rules and processes."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import sys
import time
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from typing import TYPE_CHECKING

from certs.rotation.clock import system_clock
from certs.x509.check import is_trusted, pair_problems
from certs.x509.material import material_from_data
from tests.e2e.bed import waiting
from tests.e2e.bed.api import WEBHOOKS, ApiError, Object
from tests.e2e.bed.process import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from certs.x509.material import Material
    from tests.e2e.bed.bed import Bed
    from tests.e2e.bed.process import Process

ADDRESS = "127.0.0.1"
SECRET = "tls"  # noqa: S105 - name of a Secret
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ALL_VERBS = ("get", "watch", "patch")


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """Permissions of the replicas. Default: those of the chart, and to create the Secret."""

    create_secret: bool = True
    configuration: tuple[str, ...] = ALL_VERBS


@dataclass(frozen=True, kw_only=True)
class Replica:
    """Running replica with a port of its own."""

    process: Process
    port: int

    def get(self, path: str) -> tuple[int, str]:
        """Return the status and the text of a response; status 0 if nothing listens."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = HTTPSConnection(ADDRESS, self.port, timeout=5, context=context)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            return 0, "nothing listens"
        finally:
            connection.close()

    @property
    def ready(self) -> bool:
        """True if the readiness probe succeeds."""
        return self.get("/readyz")[0] == 200

    @property
    def served(self) -> bytes:
        """PEM certificate of a new handshake."""
        return ssl.get_server_certificate((ADDRESS, self.port), timeout=5).encode()

    def count(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        lines = (line for line in self.get("/metrics")[1].splitlines() if line.startswith(name))
        return sum(float(line.rpartition(" ")[2]) for line in lines)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """Webhook for all ConfigMaps of one namespace, with failurePolicy Fail."""

    bed: Bed
    namespace: str
    port: int = field(default_factory=lambda: free_ports(1)[0])
    name: str = field(default_factory=lambda: f"certs-{secrets.token_hex(4)}")
    replicas: list[Replica] = field(default_factory=list)
    keys: set[bytes] = field(default_factory=set, repr=False)
    """All private keys that were read from the Secret."""

    @property
    def secret(self) -> str:
        """Path of the Secret."""
        return f"/api/v1/namespaces/{self.namespace}/secrets/{SECRET}"

    @property
    def configuration(self) -> str:
        """Path of the webhook configuration."""
        return f"{WEBHOOKS}/{self.name}"

    # ---- state ----------------------------------------------------------------------------------------

    def material(self) -> Material:
        """Read the material in the Secret; empty if there is no Secret."""
        try:
            data = self.bed.api.get(self.secret).get("data") or {}
        except ApiError:
            data = {}
        content = {name: base64.b64decode(value) for name, value in data.items()}
        self.keys.update(content[name] for name in ("tls.key", "ca.key") if b"PRIVATE KEY" in content.get(name, b""))
        return material_from_data(content)

    def bundle(self) -> bytes:
        """Read the published caBundle."""
        webhooks = self.bed.api.get(self.configuration)["webhooks"]
        return base64.b64decode(webhooks[0]["clientConfig"].get("caBundle") or "")

    def call_error(self) -> str:
        """Make the API server call the webhook by a dry run. Return the error, or an empty string."""
        path = f"/api/v1/namespaces/{self.namespace}/configmaps?dryRun=All"
        try:
            self.bed.api.create(path, {"metadata": {"name": "dry-run"}})
        except ApiError as error:
            return str(error)
        return ""

    def valid(self) -> bool:
        """Return whether the stored pair is valid and the published bundle trusts it and all served certificates."""
        material, bundle = self.material(), self.bundle()
        if pair_problems(material.leaf, material.bundle, [ADDRESS], system_clock()):
            return False
        leaves = [material.leaf.certificate, *(replica.served for replica in self.replicas)]
        return all(is_trusted(leaf, bundle, system_clock()) for leaf in leaves)

    def converged(self) -> bool:
        """Return whether all replicas are ready and serve the stored leaf."""
        leaf = self.material().leaf.certificate
        return all(replica.ready and replica.served == leaf for replica in self.replicas)

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 20) -> float:
        """Poll until a condition holds. Return the seconds that it took."""
        start = time.monotonic()
        waiting.until(lambda: _holds(condition), seconds, what, self._logs)
        return time.monotonic() - start

    def _logs(self) -> str:
        return "\n".join(f"{replica.process.log}:\n{replica.process.tail(8)}" for replica in self.replicas)

    # ---- changes --------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Create the webhook configuration, without a caBundle."""
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
        webhook = {
            "name": "configmaps.certs.test",
            "clientConfig": {"url": f"https://{ADDRESS}:{self.port}/"},
            "rules": [rule],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Fail",
        }
        self.bed.api.create(WEBHOOKS, {"metadata": {"name": self.name}, "webhooks": [webhook]})

    def publish(self, bundle: bytes) -> None:
        """Write a caBundle as an administrator."""
        webhooks = self.bed.api.get(self.configuration)["webhooks"]
        webhooks[0]["clientConfig"]["caBundle"] = base64.b64encode(bundle).decode()
        self.bed.api.merge(self.configuration, {"webhooks": webhooks})

    def put(self, data: Mapping[str, bytes]) -> None:
        """Change the data of the Secret as an administrator."""
        encoded = {name: base64.b64encode(value).decode() for name, value in data.items()}
        self.bed.api.merge(self.secret, {"data": encoded})

    def kubeconfig(self, permissions: Permissions) -> Path:
        """Create a kubeconfig of the namespace's service account, with these permissions only."""
        _grant(self.bed, self.namespace, self.name, permissions)
        account = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default/token"
        token = self.bed.api.create(account, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
        kubeconfig = json.loads(self.bed.plane.kubeconfig.read_text())
        kubeconfig["users"][0]["user"] = {"token": token}
        path = self.bed.plane.state / f"{self.name}.kubeconfig"
        path.write_text(json.dumps(kubeconfig))
        return path

    def start(self, kubeconfig: Path, clock: float = 0, mode: str = "self-managed", **files: Path) -> Replica:
        """Start another replica, whose clock is `clock` seconds ahead."""
        (port,) = free_ports(1)
        options = {"service_namespace": self.namespace, "secret": SECRET, "webhook_configuration": self.name}
        arguments = {
            "kubeconfig": str(kubeconfig),
            "clock": clock,
            "address": ADDRESS,
            "files": {name: str(path) for name, path in files.items()},
            "options": {**options, "certs": mode},
            "ports": [port, self.port],
        }
        argv = [sys.executable, "-m", "tests.e2e.certs.replica", json.dumps(arguments)]
        process = self.bed.plane.spawn(f"{self.name}-{len(self.replicas)}", argv)
        self.replicas.append(Replica(process=process, port=port))
        return self.replicas[-1]

    def remove(self) -> None:
        """Stop the replicas and delete the configuration and the RBAC rules."""
        for replica in self.replicas:
            replica.process.ask_to_stop()
        for replica in self.replicas:
            replica.process.stop()
        for kind in ("clusterrolebindings", "clusterroles"):
            self.bed.api.delete(f"{RBAC}/{kind}/{self.name}")
        self.bed.api.delete(self.configuration)


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except (OSError, ApiError):  # a replica or an object does not exist yet
        return False


def _grant(bed: Bed, namespace: str, name: str, permissions: Permissions) -> None:
    secret_rules = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": list(ALL_VERBS)}]
    if permissions.create_secret:
        secret_rules.append({"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]})
    webhook_rule = {
        "apiGroups": ["admissionregistration.k8s.io"],
        "resources": ["mutatingwebhookconfigurations"],
        "resourceNames": [name],
        "verbs": list(permissions.configuration),
    }
    namespaced = f"{RBAC}/namespaces/{namespace}"
    for path, kind, rules in ((namespaced, "Role", secret_rules), (RBAC, "ClusterRole", [webhook_rule])):
        bed.api.create(f"{path}/{kind.lower()}s", {"metadata": {"name": name}, "rules": rules})
        bed.api.create(f"{path}/{kind.lower()}bindings", _binding(namespace, name, kind))


def _binding(namespace: str, name: str, kind: str) -> Object:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    }
