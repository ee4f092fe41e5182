"""The settings of `serve`: each is a flag and an environment variable `DASK_COLOCATE_...`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from webhook.policy import PREFIX, Policy, resolve

PORT = 8443  # unprivileged; 10250 or 443 where a private GKE cluster's firewall lets nothing else through


class SettingsError(ValueError):
    """A setting cannot be used; the message says which, why, and what to write instead."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the webhook runs.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        kubeconfig: Cluster to watch; without it, the one this process runs in.
        namespaces_file: YAML file with Namespaces to use instead of a cluster's: no Kubernetes anywhere.
        tls_cert: PEM file with the certificate chain; with --namespaces-file a fresh one is made when left out.
        tls_key: PEM file with the certificate's private key.
        defaults: Policy where a namespace says nothing, as annotations without their prefix: "enabled=true; apart=5".
        log_level: Least severe lines to log.
    """

    host: str = "0.0.0.0"  # noqa: S104 - a pod's only address is not known before it runs
    port: int = PORT
    kubeconfig: Path | None = None
    namespaces_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    defaults: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    def __post_init__(self) -> None:
        """Refuse what cannot work together, before anything listens.

        Raises:
            SettingsError: With what to do.
        """
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SettingsError("--tls-cert and --tls-key belong together: give both, or neither")
        if self.kubeconfig and self.namespaces_file:
            raise SettingsError("--kubeconfig and --namespaces-file exclude each other: give one")
        if self.tls_cert is None and self.namespaces_file is None:
            raise SettingsError("--tls-cert and --tls-key are needed: the API server calls a webhook over TLS only")


def assignments(text: str) -> Mapping[str, str]:
    """`enabled=true; apart=5` as annotations of a Namespace, prefix and all.

    Raises:
        SettingsError: An item has no `=`.
    """
    found = {}
    for item in filter(None, map(str.strip, text.split(";"))):
        name, equals, value = item.partition("=")
        if not equals:
            raise SettingsError(f"{item!r}: expected KEY=VALUE, such as gpu-limit=1")
        found[f"{PREFIX}{name.strip().removeprefix(PREFIX)}"] = value.strip()
    return found


def default_policy(text: str) -> Policy:
    """The installation's policy. Unlike a namespace's annotations, a mistake here stops the start.

    Raises:
        SettingsError: Naming every problem.
    """
    policy = resolve(assignments(text))
    if policy.problems:
        raise SettingsError("--defaults: " + "; ".join(problem.text for problem in policy.problems))
    return policy
