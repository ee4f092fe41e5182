"""Three ways to come by a certificate. Who only names one loads no X.509 and no Kubernetes client."""

from enum import StrEnum


class Mode(StrEnum):
    """Who renews the pair, and who tells the API server whom to trust."""

    SELF_MANAGED = "self-managed"
    """We do both; replicas share a Secret."""
    FILES = "files"
    """Somebody else does both; the pair is reloaded when its files change."""
    INJECTED = "injected"
    """cert-manager does both, its CA injector the latter; we are ready when the two agree."""
