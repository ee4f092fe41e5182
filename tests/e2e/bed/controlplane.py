"""etcd, API server, scheduler and controller manager, all on loopback and with their state in one folder."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.e2e.bed import pki, process
from tests.e2e.bed.api import Api

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Inside 127.0.0.0/8, which this machine owns already: a Service's ClusterIP can be bound to by a process
# here, and an API server's `clientConfig.service` reaches it with no kube-proxy.
SERVICES = "127.96.0.0/16"
_API_HOSTS = ["127.0.0.1", "localhost", "127.96.0.1", "kubernetes", "kubernetes.default.svc"]

# What a webhook answers in `auditAnnotations` is only seen in the audit log.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "Metadata",
            "verbs": ["create", "update", "patch"],
            "resources": [{"group": "kubernetes.dask.org"}, {"group": "", "resources": ["pods"]}],
        },
        {"level": "None"},
    ],
}


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """A running control plane: how to reach it as the administrator, and where it keeps its things.

    `kubeconfig` holds the address, the authority and the token. `audit` is the audit log, one JSON event
    a line, with writes to Dask resources and pods only.
    """

    url: str
    token: str
    kubeconfig: Path
    audit: Path
    state: Path
    programs: Mapping[str, Path]
    authority: pki.Authority
    api: Api
    processes: list[process.Process] = field(repr=False)

    @property
    def ca(self) -> Path:
        """The certificate that signs everything here, PEM."""
        return self.authority.certificate

    def spawn(self, name: str, argv: list[str], environment: Mapping[str, str] | None = None) -> process.Process:
        """Start one more process that stops with the control plane; its log is `STATE/NAME.log`."""
        started = process.start(name, argv, self.state / f"{name}.log", environment)
        self.processes.append(started)
        return started

    def stop(self) -> None:
        """Stop all that was started here, within about 3 s."""
        self.api.close()
        process.stop_all(self.processes)


def start(state: Path, programs: Mapping[str, Path]) -> ControlPlane:
    """Start a control plane with its state in the empty folder `state` and wait until it works.

    Raises:
        DiedError: a process ended or was not ready in time; all are stopped then.
    """
    port, *others = process.free_ports(5)
    plane = _prepare(state, programs, f"https://127.0.0.1:{port}")
    try:
        _start_store(plane, port, *others[:2])
        _start_controllers(plane, *others[2:])
    except BaseException:
        plane.stop()
        raise
    return plane


def _prepare(state: Path, programs: Mapping[str, Path], url: str) -> ControlPlane:
    token, authority = secrets.token_urlsafe(32), pki.authority(state)
    (state / "tokens.csv").write_text(f'{token},administrator,1,"system:masters"\n')
    (state / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))
    kubeconfig = state / "kubeconfig"
    kubeconfig.write_text(json.dumps(_kubeconfig(url, token, authority.certificate)))
    return ControlPlane(
        url=url,
        token=token,
        kubeconfig=kubeconfig,
        audit=state / "audit.log",
        state=state,
        programs=programs,
        authority=authority,
        api=Api(url, token, authority.certificate),
        processes=[],
    )


def _kubeconfig(url: str, token: str, ca: Path) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bed",
        "clusters": [{"name": "bed", "cluster": {"server": url, "certificate-authority": str(ca)}}],
        "users": [{"name": "administrator", "user": {"token": token}}],
        "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": "administrator"}}],
    }


def _start_store(plane: ControlPlane, port: int, client: int, peer: int) -> None:
    etcd = plane.spawn("etcd", _etcd(plane, f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"))
    etcd.wait_until(lambda: process.listening(client))
    server = plane.spawn("kube-apiserver", _apiserver(plane, port, f"http://127.0.0.1:{client}"))
    server.wait_until(plane.api.ready, seconds=60)


def _etcd(plane: ControlPlane, client: str, peer: str) -> list[str]:
    return [
        str(plane.programs["etcd"]),
        f"--data-dir={plane.state / 'etcd'}",
        "--unsafe-no-fsync",  # the data dies with the run
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
    ]


def _apiserver(plane: ControlPlane, port: int, etcd: str) -> list[str]:
    serving = plane.authority.issue("kube-apiserver", _API_HOSTS)
    account = pki.service_account_key(plane.state)
    return [
        str(plane.programs["kube-apiserver"]),
        f"--etcd-servers={etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",  # it would refuse to publish a loopback address
        f"--secure-port={port}",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
        f"--cert-dir={plane.state}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={account}",
        f"--service-account-key-file={account}",
        f"--token-auth-file={plane.state / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        f"--service-cluster-ip-range={SERVICES}",
        f"--audit-policy-file={plane.state / 'audit-policy.json'}",
        f"--audit-log-path={plane.audit}",
        "--audit-log-mode=blocking",  # an event is in the file before its request is answered
    ]


def _start_controllers(plane: ControlPlane, scheduler: int, manager: int) -> None:
    kubeconfig = f"--kubeconfig={plane.kubeconfig}"
    shared = [kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1", "--kube-api-qps=500"]
    shared += ["--kube-api-burst=1000", f"--cert-dir={plane.state}"]
    plane.spawn("kube-scheduler", [str(plane.programs["kube-scheduler"]), *shared, f"--secure-port={scheduler}"])
    plane.spawn(
        "kube-controller-manager",
        [
            str(plane.programs["kube-controller-manager"]),
            *shared,
            f"--secure-port={manager}",
            f"--service-account-private-key-file={plane.state / 'service-account.key'}",
            f"--root-ca-file={plane.ca}",
        ],
    )
