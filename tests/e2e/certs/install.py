"""An installation of replicas on the bed: a Secret, a webhook configuration, rights, and processes."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import sys
import time
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from typing import TYPE_CHECKING, Any

from certs import check
from certs.kube import local_time
from certs.store import material
from tests.e2e.bed import waiting
from tests.e2e.bed.api import WEBHOOKS, ApiError, Object
from tests.e2e.bed.process import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from certs.plan import Material
    from tests.e2e.bed.bed import Bed
    from tests.e2e.bed.process import Process

ADDRESS = "127.0.0.1"
SECRET = "tls"  # noqa: S105 - a Secret's name
RBAC = "/apis/rbac.authorization.k8s.io/v1"
EVERYTHING = ("get", "watch", "patch")


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What the replicas may do: by default the chart's rights, and to create the Secret."""

    creates: bool = True
    configuration: tuple[str, ...] = EVERYTHING


@dataclass(frozen=True, kw_only=True)
class Replica:
    """A running replica and its own port."""

    process: Process
    port: int

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of an answer; status 0 while nothing listens."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # what it answers is asked, not who it is
        connection = HTTPSConnection(ADDRESS, self.port, timeout=5, context=context)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, "nothing listens"
        finally:
            connection.close()

    @property
    def ready(self) -> bool:
        """Whether it says that it is ready."""
        return self.get("/readyz")[0] == 200

    @property
    def served(self) -> bytes:
        """The certificate that a new handshake gets, PEM."""
        return ssl.get_server_certificate((ADDRESS, self.port), timeout=5).encode()

    def count(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = (line for line in self.get("/metrics")[1].splitlines() if line.startswith(name))
        return sum(float(line.rpartition(" ")[2]) for line in lines)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One webhook on the API server: called for every ConfigMap of its namespace, and a call must succeed."""

    bed: Bed
    namespace: str
    port: int = field(default_factory=lambda: free_ports(1)[0])
    name: str = field(default_factory=lambda: f"certs-{secrets.token_hex(4)}")
    replicas: list[Replica] = field(default_factory=list)
    keys: set[bytes] = field(default_factory=set, repr=False)
    """Every private key that was seen in the Secret."""

    @property
    def secret(self) -> str:
        """The path of the Secret."""
        return f"/api/v1/namespaces/{self.namespace}/secrets/{SECRET}"

    @property
    def configuration(self) -> str:
        """The path of the webhook configuration."""
        return f"{WEBHOOKS}/{self.name}"

    # ---- what is there --------------------------------------------------------------------------------

    def held(self) -> Material:
        """What the Secret holds; nothing when there is none."""
        try:
            data = self.bed.api.get(self.secret).get("data") or {}
        except ApiError:
            data = {}
        read = {name: base64.b64decode(value) for name, value in data.items()}
        self.keys.update(read[name] for name in ("tls.key", "ca.key") if b"PRIVATE KEY" in read.get(name, b""))
        return material(read)

    def bundle(self) -> bytes:
        """The caBundle in force."""
        webhooks = self.bed.api.get(self.configuration)["webhooks"]
        return base64.b64decode(webhooks[0]["clientConfig"].get("caBundle") or "")

    def called(self) -> str:
        """Have the API server call the webhook, by a server-side dry run; what went wrong, or nothing."""
        path = f"/api/v1/namespaces/{self.namespace}/configmaps?dryRun=All"
        try:
            self.bed.api.create(path, {"metadata": {"name": "dry-run"}})
        except ApiError as error:
            return str(error)
        return ""

    def sound(self) -> bool:
        """Whether the Secret has a good pair, and the bundle in force trusts it and all that is served."""
        held, bundle = self.held(), self.bundle()
        if check.problems(held.leaf, held.bundle, [ADDRESS], local_time()):
            return False
        leaves = [held.leaf.certificate, *(one.served for one in self.replicas)]
        return all(check.chains(one, bundle, local_time()) for one in leaves)

    def agreed(self) -> bool:
        """Whether all replicas are ready and serve the leaf of the Secret."""
        leaf = self.held().leaf.certificate
        return all(one.ready and one.served == leaf for one in self.replicas)

    def wait(self, holds: Callable[[], bool], what: str, seconds: float = 20) -> float:
        """Poll until something holds; the seconds it took."""
        began = time.monotonic()
        waiting.until(lambda: _holds(holds), seconds, what, self._logs)
        return time.monotonic() - began

    def _logs(self) -> str:
        return "\n".join(f"{one.process.log}:\n{one.process.tail(8)}" for one in self.replicas)

    # ---- what is done ---------------------------------------------------------------------------------

    def configure(self) -> None:
        """Create the webhook configuration, with no caBundle."""
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

    def inject(self, bundle: bytes) -> None:
        """Write a caBundle as the administrator."""
        webhooks = self.bed.api.get(self.configuration)["webhooks"]
        webhooks[0]["clientConfig"]["caBundle"] = base64.b64encode(bundle).decode()
        self.bed.api.merge(self.configuration, {"webhooks": webhooks})

    def put(self, data: Mapping[str, bytes]) -> None:
        """Change the data of the Secret as the administrator."""
        encoded = {name: base64.b64encode(value).decode() for name, value in data.items()}
        self.bed.api.merge(self.secret, {"data": encoded})

    def kubeconfig(self, rights: Rights) -> Path:
        """Credentials of the namespace's service account with these rights and no others."""
        _grant(self.bed, self.namespace, self.name, rights)
        account = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default/token"
        token = self.bed.api.create(account, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
        written = json.loads(self.bed.plane.kubeconfig.read_text())
        written["users"][0]["user"] = {"token": token}
        path = self.bed.plane.state / f"{self.name}.kubeconfig"
        path.write_text(json.dumps(written))
        return path

    def start(self, kubeconfig: Path, clock: float = 0, **settings: Any) -> Replica:  # noqa: ANN401 - certs.assembly.Settings
        """Start one more replica; `clock` is by how many seconds its clock is ahead."""
        (port,) = free_ports(1)
        files = {name: str(settings.pop(name)) for name in ("certificate", "key", "bundle") if name in settings}
        known = {"namespace": self.namespace, "secret": SECRET, "configuration": self.name, "extra_names": [ADDRESS]}
        arguments = {
            "kubeconfig": str(kubeconfig),
            "clock": clock,
            "files": files,
            "mode": settings.pop("mode", "self-managed"),
            "settings": {**known, **settings},
            "ports": [port, self.port],
        }
        argv = [sys.executable, "-m", "tests.e2e.certs.replica", json.dumps(arguments)]
        process = self.bed.plane.spawn(f"{self.name}-{len(self.replicas)}", argv)
        self.replicas.append(Replica(process=process, port=port))
        return self.replicas[-1]

    def remove(self) -> None:
        """Stop the replicas and take the configuration and the rights away."""
        for replica in self.replicas:
            replica.process.ask_to_stop()
        for replica in self.replicas:
            replica.process.stop()
        for kind in ("clusterrolebindings", "clusterroles"):
            self.bed.api.delete(f"{RBAC}/{kind}/{self.name}")
        self.bed.api.delete(self.configuration)


def _holds(holds: Callable[[], bool]) -> bool:
    try:
        return holds()
    except (OSError, ApiError):  # not listening, or not there, yet
        return False


def _grant(bed: Bed, namespace: str, name: str, rights: Rights) -> None:
    own = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": list(EVERYTHING)}]
    if rights.creates:
        own.append({"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]})
    hooks = {
        "apiGroups": ["admissionregistration.k8s.io"],
        "resources": ["mutatingwebhookconfigurations"],
        "resourceNames": [name],
        "verbs": list(rights.configuration),
    }
    local = f"{RBAC}/namespaces/{namespace}"
    for path, kind, rules in ((local, "Role", own), (RBAC, "ClusterRole", [hooks])):
        bed.api.create(f"{path}/{kind.lower()}s", {"metadata": {"name": name}, "rules": rules})
        bed.api.create(f"{path}/{kind.lower()}bindings", _binding(namespace, name, kind))


def _binding(namespace: str, name: str, kind: str) -> Object:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    }
