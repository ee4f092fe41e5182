"""Certificate modes. Imports no X.509 library and no Kubernetes client, so that options load fast."""

from enum import StrEnum


class Mode(StrEnum):
    """Component that renews the key pair and publishes the CA bundle."""

    SELF_MANAGED = "self-managed"
    """The replicas do both; they share a Secret."""
    FILES = "files"
    """External; the key pair is reloaded when its files change."""
    INJECTED = "injected"
    """cert-manager and its CA injector; the replica is ready when the published bundle trusts the certificate."""
