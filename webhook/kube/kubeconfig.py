"""Official Kubernetes client, configured from a kubeconfig or from the service account of the Pod."""

import os
from pathlib import Path

import yaml
from kubernetes import config
from kubernetes.client import ApiClient, Configuration

from webhook.kube.api import ApiError


def load_client(kubeconfig: Path | None = None, context: str | None = None) -> ApiClient:
    """Create a client as kubectl does: from `kubeconfig`, $KUBECONFIG, ~/.kube/config or the Pod's service account.

    Raises:
        ApiError: None of them exists, or its content is invalid.
    """
    settings = Configuration()
    try:
        _load(settings, kubeconfig, context)
        settings.retries = False  # callers have their own back-off or deadline
        return ApiClient(settings)
    except (config.ConfigException, OSError) as error:
        raise ApiError(f"cannot load a kubeconfig: {error}") from None
    except (yaml.YAMLError, TypeError, ValueError, AttributeError, LookupError) as error:
        # The client does not validate the structure of the file.
        file = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        reason = " ".join(str(error).split())
        raise ApiError(f"cannot load a kubeconfig: {file} is invalid ({reason})") from None


def _load(settings: Configuration, kubeconfig: Path | None, context: str | None) -> None:
    default = os.environ.get("KUBECONFIG") or Path("~/.kube/config").expanduser().exists()
    if not (kubeconfig or context or default) and "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config(client_configuration=settings)  # load_config would print a message
    else:
        config.load_kube_config(str(kubeconfig) if kubeconfig else None, context, client_configuration=settings)
